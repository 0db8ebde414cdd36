"""How mail begins: what writes, what hands in, and who hears of it."""

from collections.abc import Callable

from app.auth.auth import Auth
from app.auth.notices import OwnersNotice
from app.core.config import Settings
from app.core.mail_settings import parse_mail_url, parse_sender
from app.mail.carrier import SmtpCarrier
from app.mail.orders import ChangeAsked, Kind, Mail, Order, ResetAsked
from app.mail.post import Outcome, Post
from app.mail.texts import Texts
from app.mail.writer import AccountWriter


def start_post(post: Post, auth: Auth, texts: Texts, count: Callable[[str], None] | None) -> None:
    """Let a queue begin to send; each mail's fate is a line of the trail, and counted if that is done."""

    def report(outcome: Outcome, content: Mail | Order, reason: str | None) -> None:
        user_id = None if isinstance(content, ResetAsked) else content.user_id
        auth.record(outcome, user_id=user_id, actor="service", mail=_kind(content), reason=reason)
        if count:
            count(outcome.removeprefix("mail_"))

    post.start(AccountWriter(auth, texts), make_carrier(auth.settings), report)


def make_carrier(settings: Settings) -> SmtpCarrier:
    """Return what hands in at the server of these settings, which must name one."""
    assert settings.mail_url
    assert settings.mail_from
    return SmtpCarrier(parse_mail_url(settings.mail_url.get_secret_value()), parse_sender(settings.mail_from).address)


def _kind(content: Mail | Order) -> Kind:
    match content:
        case Mail():
            return content.kind
        case ResetAsked():
            return "reset"
        case OwnersNotice():
            return content.what
        case ChangeAsked():
            return "change"
    return "verify"
