"""What signing up and in mean, and which errors there are, in order. No HTTP, no SQL."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

from app.accounts import repository
from app.accounts.common_passwords import is_common
from app.accounts.emails import normalise_email
from app.accounts.errors import CommonPassword, EmailTaken, InvalidCredentials
from app.accounts.repository import Account
from app.auth.active_session import UserRow
from app.auth.auth import Auth
from app.auth.notices import OwnersNotice
from app.auth.tokens import Claims
from app.core.database.pool import DatabaseUnavailable
from app.core.errors import ServiceUnavailable, TooManyRequests
from app.core.rate_limits.attempt import Attempt
from app.sessions.service import NewSession, begin_session, end_replaced, goes_on, sessions_before


async def sign_up(
    auth: Auth, address: str, *, email: str, password: str, name: str | None, device: str | None
) -> NewSession:
    """Make an account and open its first session. Raises: TooManyRequests, CommonPassword, EmailTaken.

    If the database fails between the two, there is the account, and its owner signs in. Source: FR-001, FR-005.
    """
    attempt = Attempt(auth.limiter, "signup-address", address, auth.settings.rate_limit_signup_address)
    with auth.recording_limit("sign_up_limited", None):
        async with attempt.counted():
            if auth.settings.common_passwords == "refuse" and is_common(password, email):
                raise CommonPassword
            # Before the insert, so that a taken e-mail takes as long.
            password_hash = await auth.passwords.hash(password, client=address)
            user = await repository.insert_user(
                auth.database, uuid4(), email=email, name=name, password_hash=password_hash, now=auth.clock()
            )
    if user is None:
        raise EmailTaken
    session = await begin_session(auth, user, version=0, device=device, is_first=True)
    auth.record("signed_up", user_id=user.id, session_id=session.id if session else None, device=device)
    if session is None:  # an operator has closed it already
        raise InvalidCredentials
    return session


async def sign_in(
    auth: Auth, address: str, *, email: str, password: str, device: str | None, refresh_tokens: Sequence[str] = ()
) -> NewSession:
    """Open a session. Raises: TooManyRequests, InvalidCredentials. Source: FR-006, NFR-005.

    A device that presents a refresh token of the account, used or expired, has signed in before: the new session
    replaces that one. Source: ASVS 5.0 7.2.4.
    """
    email = normalise_email(email) or ""
    by_address = Attempt(auth.limiter, "signin-address", address, auth.settings.rate_limit_signin_address)
    user_id = None
    try:
        async with by_address.counted():
            account = await repository.select_account(auth.database, email, dummy_hash=auth.passwords.dummy_hash)
            user_id = account.id if account.known else None
            before = sessions_before(auth, account.id, refresh_tokens)
            counter = await _counter(auth, account.id, email, before)
            by_account = Attempt(auth.limiter, *counter, auth.settings.rate_limit_signin_account)
            async with by_account.counted():
                verified = await auth.passwords.verify(password, account.password_hash, client=address)
                session = await _begin(auth, account, device) if account.known and verified.correct else None
    except TooManyRequests:
        auth.record("sign_in_locked", user_id=user_id, actor="unknown")
        raise
    if session is None:
        auth.record("sign_in_failed", user_id=user_id, actor="unknown")
        raise InvalidCredentials
    with suppress(ServiceUnavailable):  # the session has begun
        await by_account.succeed()
        await by_address.take_back()
        await end_replaced(auth, before)
    if verified.new_hash:
        with suppress(DatabaseUnavailable):  # the old one is good, and the next sign-in tries again
            await repository.update_password_hash(
                auth.database, account.id, old_hash=account.password_hash, new_hash=verified.new_hash
            )
    auth.record("signed_in", user_id=account.id, session_id=session.id, device=device)
    if not before:
        auth.tell_owner(OwnersNotice("signed_in", account.id, account.email, session.id, device))
    return session


async def _counter(auth: Auth, account_id: UUID, email: str, before: list[Claims]) -> tuple[str, str]:
    """Return what counts the tries of an account's password; strangers cannot lock that of a known device.

    Those whose sessions have ended share one: of these, an account may have any number.
    """
    for claims in before:
        if await goes_on(auth, claims, auth.clock()):
            return "signin-device", str(claims.session_id)
    return ("signin-device", str(account_id)) if before else ("signin-account", email)


async def _begin(auth: Auth, account: Account, device: str | None) -> NewSession | None:
    """Open a session; None if the account is closed, or was changed while the password was verified."""
    user = UserRow(account.id, account.email, account.name, account.created_at)
    return await begin_session(auth, user, version=account.password_version, device=device)
