"""What asking for a mail, proving an address and changing it mean, and which errors there are, in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.accounts.proving import prove
from app.auth.auth import Auth
from app.auth.errors import InvalidToken
from app.auth.notices import OwnersNotice
from app.auth.proof import Given, Use
from app.auth.tokens import Claims, LinkType
from app.auth.user_database import UserDatabase
from app.core.errors import TooManyRequests
from app.core.rate_limits.attempt import Attempt
from app.mail import repository
from app.mail.errors import InvalidLink
from app.mail.orders import ChangeAsked, Order, ResetAsked, VerifyAsked
from app.mail.post import Post
from app.mail.repository import Address


async def ask_for_reset(auth: Auth, post: Post, address: str, *, email: str) -> None:
    """Let whoever reads this address choose a new password, if an account has it.

    Raises: MailQueueFull, TooManyRequests. Nothing is looked up here, so that nobody can tell whether one has.
    """
    post.require_room()
    await _order(auth, post, address, ResetAsked(email), limited=[email])


async def ask_for_verification(auth: Auth, post: Post, db: UserDatabase, address: str) -> None:
    """Mail a link that proves the account's address. Raises: InvalidToken, MailQueueFull, TooManyRequests."""
    user, who = await db.get_user(), db.principal
    order = VerifyAsked(user.id, user.email, who.token_version)
    # By the user: strangers who ask for a new password with this address must not keep its owner from proving it.
    await _order(auth, post, address, order, limited=[f"verify {user.id}"])


async def ask_for_change(auth: Auth, post: Post, db: UserDatabase, address: str, *, email: str, proof: Given) -> None:
    """Mail a link to a new address, and a notice to the account's.

    Raises: InvalidToken, MailQueueFull, TooManyRequests, and what `prove` raises. Whether an account has the new
    address is told to whoever reads it, and to nobody else.
    """
    credentials, who = await db.get_credentials(), db.principal
    use = await prove(auth, db, credentials, proof, address, act="email")
    post.require_room()
    order = ChangeAsked(credentials.id, credentials.email, email, who.token_version)
    await _order(auth, post, address, order, limited=[email, str(credentials.id)], use=use)
    auth.record("email_change_asked", user_id=who.user_id, session_id=who.session_id)


async def _order(
    auth: Auth, post: Post, address: str, order: Order, *, limited: list[str], use: Use | None = None
) -> None:
    """Put an order into the queue. Raises: MailQueueFull, and TooManyRequests by the client's address alone.

    Where the others are `limited`, nothing is mailed and nobody is told: it would tell who else has asked.
    """
    settings = auth.settings
    by_client = Attempt(auth.limiter, "mail-client", address, settings.rate_limit_mail_client)
    with auth.recording_limit("mail_limited", None):
        async with by_client.counted():
            if use:
                await use()
            with suppress(TooManyRequests):
                async with _counted(auth, limited):
                    post.put(order)


@asynccontextmanager
async def _counted(auth: Auth, keys: list[str]) -> AsyncIterator[None]:
    """Count a mail by each of these. Raises: TooManyRequests."""
    if not keys:
        yield
        return
    first = Attempt(auth.limiter, "mail-account", keys[0], auth.settings.rate_limit_mail_account)
    async with first.counted(), _counted(auth, keys[1:]):
        yield


async def verify(auth: Auth, db: UserDatabase, *, token: str) -> Address:
    """Prove the address by the link that was mailed to it. Raises: InvalidToken, InvalidLink.

    It takes the mailbox and the session: who has made an account with another's address does not get it proven when its
    owner follows the link.
    """
    claims, found = _read_link(auth, db, token, "verify"), await db.get_credentials()
    if found.email != claims.email:
        raise InvalidLink
    address = await repository.verify(auth.database, found, db.principal.now)
    if address is None:
        raise InvalidLink
    auth.record("email_verified", user_id=found.id, session_id=db.principal.session_id)
    return address


async def confirm_change(auth: Auth, db: UserDatabase, *, token: str) -> Address:
    """Replace the address by that to which the link was mailed. Raises: InvalidToken, InvalidLink, EmailTaken."""
    claims, found = _read_link(auth, db, token, "change"), await db.get_credentials()
    assert claims.email
    assert claims.replaces
    is_of_version = claims.token_version == db.principal.token_version
    if not is_of_version or not auth.fingerprints.match(claims.replaces, "email", found.email):
        raise InvalidLink
    address = await repository.change(auth.database, found, new_email=claims.email, now=db.principal.now)
    if address is None:
        raise InvalidLink
    auth.record("email_changed", user_id=found.id, session_id=db.principal.session_id)
    auth.tell_owner(OwnersNotice("email_changed", found.id, found.email))
    return address


async def show_address(auth: Auth, db: UserDatabase) -> Address:
    """Return the address of the account, and when it was proven. Raises: InvalidToken."""
    address = await repository.select_address(auth.database, db.principal)
    if address is None:
        raise InvalidToken
    return address


def _read_link(auth: Auth, db: UserDatabase, token: str, kind: LinkType) -> Claims:
    """Return the claims of a link that was made for this user. Raises: InvalidLink."""
    try:
        claims = auth.tokens.read(token, kind, db.principal.now)
    except InvalidToken:
        raise InvalidLink from None
    if claims.user_id != db.principal.user_id:
        raise InvalidLink
    return claims
