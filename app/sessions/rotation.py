"""What refreshing means: each refresh token is exchanged once, by one statement that decides who was first."""

from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from app.auth.auth import Auth, user_database
from app.auth.errors import InvalidToken
from app.auth.events import logger
from app.auth.tokens import Claims, TokenPair, successor_id
from app.core.database.pool import DatabaseUnavailable
from app.sessions import denylist, lifetimes
from app.sessions.errors import SupersededToken
from app.sessions.service import end_session

PRUNE_BATCH_ON_REFRESH = 40


async def refresh(auth: Auth, refresh_token: str, *, key: str | None = None) -> TokenPair:
    """Exchange a refresh token for its successor, once; with the same key again for the same successor.

    Raises: InvalidToken, TooManyRequests. Source: FR-011, FR-051, RFC 9700 4.14.2.
    """
    now = auth.clock()
    claims = auth.tokens.read(refresh_token, "refresh", now)
    await auth.limiter.hit("refresh-session", str(claims.session_id), auth.settings.rate_limit_refresh_session)
    # The row says when the session was last used, as long as the successor may be valid.
    last_expiry = max(datetime.fromtimestamp(claims.expires_at, now.tzinfo), now + auth.lifetime)
    expires_at = last_expiry + lifetimes.DENYLIST_GRACE
    key_hash = sha256(key.encode()).digest() if key else None
    if not await denylist.insert_used_token(auth.database, claims, now, expires_at=expires_at, key_hash=key_hash):
        return await _answer_used_token(auth, claims, now, key_hash)
    if claims.token_id.int % lifetimes.PRUNE_EVERY == 0:
        with suppress(DatabaseUnavailable):  # the token is used: its successor must be sent all the same
            await denylist.delete_expired_tokens_of(auth.database, claims.user_id, batch=PRUNE_BATCH_ON_REFRESH)
    return _successor(auth, claims, now, now)


async def _answer_used_token(auth: Auth, claims: Claims, now: datetime, key_hash: bytes | None) -> TokenPair:
    """Return the same successor again to whoever has the key, and within the leeway; otherwise raise InvalidToken.

    The session ends, durably, unless it was the one with the key who came too late.
    """
    await user_database(auth, claims, now).require_active()
    leeway = timedelta(seconds=auth.settings.refresh_reuse_leeway_seconds)
    if key_hash or leeway:
        used = await denylist.select_used_token(
            auth.database, claims, successor_id=successor_id(claims.token_id), key_hash=key_hash
        )
        # Not with a leeway of zero: between requests at once `used_at` may lie ahead of this one's `now`.
        in_leeway = leeway and used and now - used.used_at <= leeway
        if used and not used.successor_used and (used.same_key or in_leeway):
            return _successor(auth, claims, used.used_at, now)
        if used and used.same_key:
            raise SupersededToken
    if await end_session(auth, claims, "reused", now):
        logger.warning("refresh_reuse_detected", extra={"user_id": claims.user_id, "session_id": claims.session_id})
        auth.record_event("refresh_reuse_detected")
    raise InvalidToken


def _successor(auth: Auth, claims: Claims, used_at: datetime, now: datetime) -> TokenPair:
    """Issue the next pair; both tokens derive from the used one and the moment of its use."""
    pair = auth.tokens.issue(
        claims.user_id,
        claims.session_id,
        claims.token_version,
        refresh_id=successor_id(claims.token_id),
        now=used_at,
    )
    if used_at == now:
        return pair
    age = max(0, int(now.timestamp()) - int(used_at.timestamp()))
    return msgspec.structs.replace(pair, expires_in=max(0, pair.expires_in - age))
