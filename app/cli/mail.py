"""`mail test`, and what `doctor` finds of the mail server."""

from collections.abc import Iterator

from app.accounts.emails import normalise_email
from app.cli.serve import echo
from app.core.clock import system_clock
from app.core.config import Settings, SettingsError
from app.core.mail_settings import parse_sender
from app.core.operator_error import OperatorError
from app.mail.message import make_mail
from app.mail.post import NotSent
from app.mail.start import make_carrier
from app.mail.texts import load_texts
from app.operations.doctor import Finding


def send_test(settings: Settings, address: str) -> None:
    """Send a mail to this address, at once. Raises: OperatorError."""
    if not settings.mail_url or not settings.mail_from:
        raise OperatorError("Mail is off: set MAIL_URL, MAIL_FROM, SERVICE_NAME and FRONTEND_URL.")
    to = normalise_email(address)
    if to is None:
        raise OperatorError("This is not a valid e-mail address.")
    now = system_clock()
    values = {"service": settings.service_name or "", "page": "", "when": f"{now:%Y-%m-%d %H:%M} UTC"}
    text = load_texts(settings.mail_templates).make("test", **values)
    mail = make_mail("test", text, sender=parse_sender(settings.mail_from), to=to, user_id=None, now=now)
    try:
        make_carrier(settings).send(mail)
    except NotSent as error:
        raise OperatorError(f"The mail was not sent: {error.reason}.") from None
    echo(f"The server has taken a mail to {to}. Look whether it arrives, and not among the spam.")


def look_at_mail(settings: Settings) -> Iterator[Finding]:
    """Yield whether the mail server greets and lets us in; nothing is sent."""
    try:
        load_texts(settings.mail_templates)
        make_carrier(settings).greet()
    except SettingsError as error:
        yield Finding("fail", "mail", str(error).partition("\n  ")[2])
    except NotSent as error:
        yield Finding("fail", "mail", f"cannot be sent: {error.reason}; `python -m app mail test` tries it")
    else:
        yield Finding("ok", "mail", "the server greets and lets us in; `python -m app mail test ADDRESS` sends one")
