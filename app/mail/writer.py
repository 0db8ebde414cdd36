"""Makes mails of orders: looks up for whom they are, signs the links, and says no more than the reader knows."""

from uuid import UUID

from app.accounts import repository as accounts
from app.auth.auth import Auth
from app.auth.notices import OwnersNotice
from app.core.errors import TooManyRequests
from app.core.mail_settings import parse_sender
from app.mail.message import make_mail
from app.mail.orders import ChangeAsked, Kind, Mail, Order, ResetAsked, VerifyAsked
from app.mail.texts import Texts
from app.sessions.repository import select_living_of


class AccountWriter:
    """Writes to whom the database says an address belongs, at the moment of sending."""

    def __init__(self, auth: Auth, texts: Texts) -> None:
        settings = auth.settings
        assert settings.mail_from
        assert settings.service_name
        self._auth = auth
        self._texts = texts
        self._sender = parse_sender(settings.mail_from)
        self._service = settings.service_name
        self._page = next(origin for origin in settings.frontend_url if origin.startswith("http"))

    async def write(self, order: Order) -> list[Mail]:
        """Return what is to be sent, if anything. Raises: ServiceUnavailable."""
        match order:
            case ResetAsked():
                return await self._reset(order)
            case VerifyAsked():
                token = self._auth.tokens.issue_verification(
                    order.user_id, order.token_version, self._auth.clock(), email=order.email
                )
                return [self._mail("verify", order.email, order.user_id, link=f"{self._page}/verify#token={token}")]
            case ChangeAsked():
                return await self._change(order)
            case OwnersNotice():
                return await self._notice(order)

    async def _reset(self, order: ResetAsked) -> list[Mail]:
        """Nobody has the address, or the account is closed: a mail is made all the same, and goes to nobody.

        So that the work is the same, and with it the time of the requests that the process answers meanwhile.
        """
        auth = self._auth
        account = await accounts.select_account(auth.database, order.email, dummy_hash=auth.passwords.dummy_hash)
        state = await accounts.select_state(auth.database, account.id)
        version = state.token_version if state else 0
        token = auth.tokens.issue_reset(account.id, version, auth.clock(), email=order.email)
        mail = self._mail("reset", order.email, account.id, link=f"{self._page}/reset#token={token}")
        is_open = state is not None and state.is_active
        return [mail if is_open else mail._replace(to=None, user_id=None)]

    async def _change(self, order: ChangeAsked) -> list[Mail]:
        """The old address is told in any case: whether the new one has an account only its reader learns."""
        auth = self._auth
        notice = self._mail("change_asked", order.email, order.user_id)
        account = await accounts.select_account(auth.database, order.new_email, dummy_hash=auth.passwords.dummy_hash)
        if account.known:
            return [notice, self._mail("known", order.new_email, account.id)]
        token = auth.tokens.issue_change(
            order.user_id,
            order.token_version,
            auth.clock(),
            email=order.new_email,
            replaces=auth.fingerprints.of("email", order.email),
        )
        link = f"{self._page}/email#token={token}"
        return [notice, self._mail("change", order.new_email, order.user_id, link=link)]

    async def _notice(self, notice: OwnersNotice) -> list[Mail]:
        """Tell of one kind of event as often as a link may be sent, so that nobody's mailbox is filled by others."""
        auth = self._auth
        if notice.what not in auth.settings.mail_notices:
            return []
        if notice.what == "signed_in" and await self._is_known_device(notice):
            return []
        try:
            key = f"{notice.what}\0{notice.user_id}"
            await auth.limiter.hit("mail-notice", key, auth.settings.rate_limit_mail_account)
        except TooManyRequests:
            return []
        return [self._mail(notice.what, notice.email, notice.user_id)]

    async def _is_known_device(self, notice: OwnersNotice) -> bool:
        """Return whether the user was signed in with a device of this name already."""
        auth = self._auth
        state = await accounts.select_state(auth.database, notice.user_id)
        if state is None:
            return True
        now, version = auth.clock(), state.token_version
        living = await select_living_of(
            auth.database, notice.user_id, token_version=version, oldest=now - auth.lifetime, now=now
        )
        signed_in = [session for session in living if session.kind == "person"]
        return any(session.device == notice.device for session in signed_in if session.id != notice.session_id)

    def _mail(self, kind: Kind, to: str, user_id: UUID, **values: str) -> Mail:
        now = self._auth.clock()
        text = self._texts.make(
            kind, service=self._service, page=self._page, when=f"{now:%Y-%m-%d %H:%M} UTC", **values
        )
        return make_mail(kind, text, sender=self._sender, to=to, user_id=user_id, now=now)
