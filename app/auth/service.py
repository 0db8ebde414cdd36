"""What signing up, in and out and refreshing mean: what is refused, in which order. No HTTP, no SQL."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from app.auth import denylist as denylist_repository
from app.auth import repository
from app.auth.active_session import UserRow
from app.auth.common_passwords import is_common
from app.auth.emails import normalise_email
from app.auth.errors import CommonPassword, EmailTaken, InvalidCredentials, InvalidToken, NotAuthenticated
from app.auth.passwords import PasswordHasher
from app.auth.tokens import Claims, TokenCodec, TokenPair, TokenType, successor_id
from app.auth.user_database import Caller
from app.core.clock import Clock
from app.core.config import MAX_REFRESH_TOKEN_DAYS, Settings
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.errors import TooManyRequests
from app.core.logging import get_logger
from app.core.rate_limits.database import RateLimiter

logger = get_logger("app.auth")

AUTH_EVENTS = ("sign_in_failed", "sign_in_locked", "refresh_reuse_detected")

# A row of the denylist stays this long after its last token has expired, whatever the clocks say.
DENYLIST_GRACE = timedelta(days=1)
# As long as a token of the session can be good under any setting. The refresh lifetime of the moment would not do: a
# token's life is judged by the setting, so that lowering it, signing out, pruning and raising it again would revive
# what had been signed out; and which lives the session's other tokens were given, nobody knows. It costs one row a
# sign-out, where a session that is in use for a day leaves 96 for its refreshes.
ENDED_SESSION_KEPT = timedelta(days=MAX_REFRESH_TOKEN_DAYS) + DENYLIST_GRACE
PRUNE_BATCH_ON_REFRESH = 5


@dataclass(frozen=True, slots=True)
class Auth:
    """What the operations work with."""

    database: Database
    settings: Settings
    tokens: TokenCodec
    passwords: PasswordHasher
    limiter: RateLimiter
    clock: Clock
    count: Callable[[str], None]


class SignedIn(NamedTuple):
    """An account and the tokens of its new sign-in."""

    user: UserRow
    tokens: TokenPair


async def sign_up(auth: Auth, address: str, *, email: str, password: str, name: str | None) -> SignedIn:
    """Make an account and sign it in. Raises: TooManyRequests, CommonPassword, EmailTaken. Source: FR-001, FR-005."""
    await auth.limiter.hit("signup-address", address, auth.settings.rate_limit_signup_address)
    if auth.settings.common_passwords == "refuse" and is_common(password, email):
        raise CommonPassword
    # Before the insert: a taken e-mail takes as long.
    password_hash = await auth.passwords.hash(password, client=address)
    now = auth.clock()
    user = await repository.insert_user(
        auth.database, uuid4(), email=email, name=name, password_hash=password_hash, now=now
    )
    if user is None:
        raise EmailTaken
    logger.info("signed_up", extra={"user_id": user.id})
    return _begin_session(auth, user, 0, now)


async def sign_in(auth: Auth, address: str, *, email: str, password: str) -> SignedIn:
    """Open a sign-in. Raises: TooManyRequests, InvalidCredentials. Source: FR-006, NFR-005."""
    email = normalise_email(email) or ""
    await _count_attempt(auth, address, email)
    account = await repository.select_account(auth.database, email, dummy_hash=auth.passwords.dummy_hash)
    verdict = await auth.passwords.verify(password, account.password_hash, client=address)
    if not account.known or not account.is_active or not verdict.correct:
        logger.warning("sign_in_failed", extra={"user_id": account.id, "address": address})
        auth.count("sign_in_failed")
        raise InvalidCredentials
    await auth.limiter.clear("signin-account", email)
    await auth.limiter.give_back("signin-address", address)
    if verdict.new_hash:
        await repository.update_password_hash(
            auth.database, account.id, old_hash=account.password_hash, new_hash=verdict.new_hash
        )
    logger.info("signed_in", extra={"user_id": account.id, "address": address})
    user = UserRow(account.id, account.email, account.name, account.created_at)
    return _begin_session(auth, user, account.token_version, auth.clock())


async def _count_attempt(auth: Auth, address: str, email: str) -> None:
    """Count before the hash, so that attempts at once cannot slip through together."""
    await auth.limiter.hit("signin-address", address, auth.settings.rate_limit_signin_address)
    try:
        await auth.limiter.hit("signin-account", email, auth.settings.rate_limit_signin_account)
    except TooManyRequests:
        # Nothing was tried: one locked account must not lock the office behind this address.
        await auth.limiter.give_back("signin-address", address)
        logger.warning("sign_in_locked", extra={"address": address})
        auth.count("sign_in_locked")
        raise


def _begin_session(auth: Auth, user: UserRow, version: int, now: datetime) -> SignedIn:
    return SignedIn(user, auth.tokens.issue(user.id, uuid4(), version, refresh_id=uuid4(), now=now))


async def refresh(auth: Auth, refresh_token: str) -> TokenPair:
    """Exchange a refresh token for its successor, once. Raises: InvalidToken, TooManyRequests.

    Source: FR-011, RFC 9700 4.14.2.
    """
    now = auth.clock()
    claims = auth.tokens.read(refresh_token, "refresh", now)
    limit = auth.settings.rate_limit_refresh_session
    counting = await auth.limiter.join("refresh-session", str(claims.session_id), limit)
    expires_at = datetime.fromtimestamp(claims.expires_at, now.tzinfo) + DENYLIST_GRACE
    rotation = await denylist_repository.insert_used_token(
        auth.database, claims, now, expires_at=expires_at, counting=counting and counting.params
    )
    if rotation.expired:
        with suppress(DatabaseUnavailable):  # the token is used: its successor must be given all the same
            await denylist_repository.delete_expired_tokens(auth.database, batch=PRUNE_BATCH_ON_REFRESH)
    if counting and not rotation.allowed:
        await counting.refuse()
    if not rotation.alive:
        raise InvalidToken
    if rotation.won:
        return _successor(auth, claims, now)
    return await _reused(auth, claims, now)


async def _reused(auth: Auth, claims: Claims, now: datetime) -> TokenPair:
    """Give the same successor again within the leeway; otherwise end the sign-in, durably, and refuse."""
    leeway = timedelta(seconds=auth.settings.refresh_reuse_leeway_seconds)
    if leeway:
        used = await denylist_repository.select_used_token(
            auth.database, claims.token_id, successor_id=successor_id(claims.token_id)
        )
        if used and not used.successor_used and now - used.used_at <= leeway:
            pair = _successor(auth, claims, used.used_at)
            age = max(0, int(now.timestamp()) - int(used.used_at.timestamp()))
            return pair._replace(expires_in=max(0, pair.expires_in - age))
    expires_at = now + ENDED_SESSION_KEPT
    if await denylist_repository.insert_ended_session(auth.database, claims, "reused", now, expires_at=expires_at):
        logger.warning("refresh_reuse_detected", extra={"user_id": claims.user_id, "session_id": claims.session_id})
        auth.count("refresh_reuse_detected")
    raise InvalidToken


def _successor(auth: Auth, claims: Claims, used_at: datetime) -> TokenPair:
    """Issue the pair that follows; everything in it derives from the parent and the moment of its use."""
    return auth.tokens.issue(
        claims.user_id,
        claims.session_id,
        claims.token_version,
        refresh_id=successor_id(claims.token_id),
        now=used_at,
    )


async def sign_out(auth: Auth, access_token: str | None, refresh_token: str | None, *, everywhere: bool) -> None:
    """End the sign-ins that the tokens belong to, expired or not.

    Raises: NotAuthenticated without a token, InvalidToken if none of those given is genuine.
    A refresh token of another user than the access token's is ignored. Source: FR-012, RFC 7009 2.2.
    """
    now = auth.clock()
    given: list[tuple[str | None, TokenType]] = [(access_token, "access"), (refresh_token, "refresh")]
    genuine = [claims for token, kind in given if (claims := _genuine(auth, token, kind, now))]
    if not genuine:
        raise InvalidToken if access_token or refresh_token else NotAuthenticated
    user_id = genuine[0].user_id
    expires_at = now + ENDED_SESSION_KEPT
    for claims in {c.session_id: c for c in genuine if c.user_id == user_id}.values():
        if everywhere:
            await repository.update_token_version(auth.database, claims, now)
        await denylist_repository.insert_ended_session(auth.database, claims, "signed_out", now, expires_at=expires_at)
    logger.info("signed_out", extra={"user_id": user_id, "everywhere": everywhere})


def _genuine(auth: Auth, token: str | None, kind: TokenType, now: datetime) -> Claims | None:
    try:
        return auth.tokens.read(token, kind, now, expired_too=True) if token else None
    except InvalidToken:
        return None


def authenticate(auth: Auth, access_token: str) -> Caller:
    """Say who sent this access token. Raises: InvalidToken. Source: FR-013, FR-014.

    Only its signature and its times are checked here, so that a forged one costs no connection.
    """
    now = auth.clock()
    return Caller(auth.database, auth.tokens.read(access_token, "access", now), now)
