"""What refreshing means: each refresh token is exchanged once, by one statement that decides who was first."""

import struct
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import NamedTuple

import msgspec

from app.auth.auth import Auth
from app.auth.errors import InvalidToken
from app.auth.principal import Principal
from app.auth.tokens import Claims, TokenPair, successor_id
from app.core.errors import TooManyRequests
from app.core.setting_types import Limit
from app.sessions import denylist, lifetimes, rotation_repository
from app.sessions.errors import RefreshTokenReused, SessionExpired, SupersededToken
from app.sessions.rotation_repository import USE_LENGTH, SessionState, Use

LATE = timedelta(minutes=5)
"""How long after its use a duplicate from the same client is taken for one that was delayed."""

_UNLIMITED = Limit(2**31 - 1, 60)
_SECONDS = struct.Struct(">I")


class Exchange(NamedTuple):
    """A refresh token that is presented, with which key and by which client, where these are known."""

    claims: Claims
    now: datetime
    key: str | None
    client: str | None

    @property
    def number(self) -> int:
        """Return the token's place in its session. One of 1.0 has none: it is the first that is counted."""
        return self.claims.number or 1

    @property
    def key_hash(self) -> bytes | None:
        """Return what is stored of the key."""
        return sha256(self.key.encode()).digest() if self.key else None


async def refresh(auth: Auth, refresh_token: str, *, client: str | None = None, key: str | None = None) -> TokenPair:
    """Exchange a refresh token for its successor, once; for the same one again with the same key, or at once.

    `client` is what stays the same while a client refreshes several times at once; None has no leeway.
    Raises: InvalidToken, SessionExpired, TooManyRequests. Source: FR-011, FR-051, RFC 9700 4.14.2.
    """
    now = auth.clock()
    claims = auth.tokens.read(refresh_token, "refresh", now, expired_too=True)
    await _refuse_expired(auth, claims, now)
    exchange = Exchange(claims, now, key, client)
    use, expires_at = _use(auth, exchange), _kept_until(auth, exchange)
    if await rotation_repository.rotate(auth.database, claims, use, expires_at=expires_at, limit=_limit(auth)):
        return _successor(auth, exchange, exchange.number, now)
    return await _answer_loser(auth, exchange)


async def _refuse_expired(auth: Auth, claims: Claims, now: datetime) -> None:
    """Raise SessionExpired, and end the session, if it has lasted long enough; InvalidToken for an expired token."""
    seconds, session_end = now.timestamp(), auth.tokens.session_end(claims.authenticated_at)
    if session_end is not None and session_end <= seconds:
        expires_at = now + lifetimes.ENDED_SESSION_KEPT
        if await denylist.end_expired_session(auth.database, claims, now, expires_at=expires_at):
            auth.record("session_ended", user_id=claims.user_id, session_id=claims.session_id, reason="too_old")
        raise SessionExpired
    if claims.expires_at <= seconds:
        raise _refused(auth, claims, "expired")


async def _answer_loser(auth: Auth, exchange: Exchange) -> TokenPair:
    """Give the same successor again to whoever has the key, or is the same client at once; otherwise raise.

    Who presents a used token in any other way ends the session, durably.
    """
    claims, now = exchange.claims, exchange.now
    number, state = await _read_state(auth, exchange)
    if state.denied_up_to is None or number > state.denied_up_to:
        raise _window_is_full(state, now)
    if _may_have_it_again(auth, exchange, number, state):
        if await _count_again(auth, exchange, number):
            return _given_again(auth, exchange, number, state)
        number, state = await _read_state(auth, exchange)
        if _may_have_it_again(auth, exchange, number, state):
            raise _window_is_full(state, now)
        # Otherwise the successor has just been used.
    if _is_late(auth, exchange, state.uses or b""):
        _refused(auth, claims, "late")
        raise SupersededToken
    expires_at = now + lifetimes.ENDED_SESSION_KEPT
    if await denylist.end_reused_session(auth.database, claims, now, expires_at=expires_at):
        about = {"used_at": state.used_at.isoformat(timespec="milliseconds") if state.used_at else None}
        auth.record(
            "refresh_reuse_detected", user_id=claims.user_id, session_id=claims.session_id, actor="unknown", **about
        )
        raise RefreshTokenReused
    raise _refused(auth, claims, await _why_not(auth, claims))


async def _read_state(auth: Auth, exchange: Exchange) -> tuple[int, SessionState]:
    """Return the token's number and what is known of its session. Raises: InvalidToken if that is not active.

    A token that 1.0 exchanged is number 0, and while its successor is not used the last one; no client is known.
    """
    claims = exchange.claims
    state = await rotation_repository.select_state(auth.database, claims)
    if state is None:
        raise _refused(auth, claims, await _why_not(auth, claims))
    if claims.number is not None:
        return claims.number, state
    used = await rotation_repository.select_used_token(
        auth.database, claims, successor_id=successor_id(claims.token_id)
    )
    if used is None:
        return exchange.number, state
    number = -1 if used.successor_used else 0
    denied_up_to = state.denied_up_to or 0
    return number, SessionState(denied_up_to, used.used_at, used.key_hash, None, None, state.window_ends)


def _refused(auth: Auth, claims: Claims, reason: str) -> InvalidToken:
    """Record why a genuine token does not refresh, and return the error, which does not tell."""
    auth.record("refresh_refused", user_id=claims.user_id, session_id=claims.session_id, actor="unknown", reason=reason)
    return InvalidToken()


async def _why_not(auth: Auth, claims: Claims) -> str:
    """Return why a genuine token's session is not active."""
    found = await rotation_repository.select_refusal(auth.database, claims)
    if found is None:
        return "account_deleted"
    if not found.is_active:
        return "account_closed"
    if found.token_version != claims.token_version:
        # A version that the database does not know is of a time that it has lost, in a restore or a failover.
        return "ended_with_all" if found.token_version > claims.token_version else "ahead_of_database"
    return found.reason or "unknown"


def _may_have_it_again(auth: Auth, exchange: Exchange, number: int, state: SessionState) -> bool:
    """Return whether the token's successor is unused, and whoever asks for it has the key or comes at once."""
    has_key = exchange.key is not None and exchange.key_hash == state.key_hash
    return number == state.denied_up_to and (has_key or _is_in_leeway(auth, exchange, state))


def _is_in_leeway(auth: Auth, exchange: Exchange, state: SessionState) -> bool:
    """Return whether the client that used the token comes again at once: tabs and libraries do."""
    leeway = timedelta(seconds=auth.settings.refresh_reuse_leeway_seconds)
    if not leeway or exchange.client is None or state.client is None or state.used_at is None:
        return False
    is_same = auth.fingerprints.match(state.client, exchange.claims.session_id, exchange.client)
    return is_same and exchange.now - state.used_at <= leeway


def _is_late(auth: Auth, exchange: Exchange, uses: bytes) -> bool:
    """Return whether one of the last uses was of this token, with this key, by this client, and not long ago."""
    if exchange.key is None or exchange.client is None:
        return False
    since = (exchange.now - LATE).timestamp()
    return any(
        _SECONDS.unpack_from(uses, place)[0] > since
        and auth.fingerprints.match(uses[place + _SECONDS.size : place + USE_LENGTH], *_parts(exchange))
        for place in range(0, len(uses), USE_LENGTH)
    )


def _use(auth: Auth, exchange: Exchange) -> Use:
    """Return what is kept of this use."""
    client = exchange.client
    return Use(
        exchange.number,
        exchange.now,
        exchange.key_hash,
        auth.fingerprints.of(exchange.claims.session_id, client) if client is not None else None,
        (_SECONDS.pack(int(exchange.now.timestamp())) + auth.fingerprints.of(*_parts(exchange)))[:USE_LENGTH],
    )


def _parts(exchange: Exchange) -> tuple[object, ...]:
    return exchange.claims.session_id, exchange.number, exchange.key, exchange.client


async def _count_again(auth: Auth, exchange: Exchange, number: int) -> bool:
    """Return False if the window is full, or the successor has been used meanwhile."""
    expires_at, limit = _kept_until(auth, exchange), _limit(auth)
    return await rotation_repository.count_again(
        auth.database, exchange.claims, number, exchange.now, expires_at=expires_at, limit=limit
    )


def _given_again(auth: Auth, exchange: Exchange, number: int, state: SessionState) -> TokenPair:
    """Return the pair that the token was exchanged for, and log that: two may share a session."""
    claims = exchange.claims
    auth.record("refresh_repeated", user_id=claims.user_id, session_id=claims.session_id)
    assert state.used_at is not None  # of a token that was used
    return _successor(auth, exchange, number, state.used_at)


def _kept_until(auth: Auth, exchange: Exchange) -> datetime:
    """Return until when the row is needed: as long as the token or its successor may be valid."""
    last_expiry = max(datetime.fromtimestamp(exchange.claims.expires_at, UTC), exchange.now + auth.lifetime)
    return last_expiry + lifetimes.DENYLIST_GRACE


def _window_is_full(state: SessionState, now: datetime) -> TooManyRequests:
    wait = state.window_ends - now if state.window_ends else timedelta()
    return TooManyRequests(retry_after_seconds=max(1, ceil(wait.total_seconds())))


def _limit(auth: Auth) -> Limit:
    return _UNLIMITED if auth.settings.rate_limits == "off" else auth.settings.rate_limit_refresh_session


def _successor(auth: Auth, exchange: Exchange, number: int, used_at: datetime) -> TokenPair:
    """Issue the next pair; both tokens derive from the used one, its number and the moment of its use."""
    claims, now = exchange.claims, exchange.now
    pair = auth.tokens.issue(
        Principal(claims.user_id, claims.session_id, claims.token_version, used_at),
        refresh_id=successor_id(claims.token_id),
        number=number + 1,
        authenticated_at=claims.authenticated_at,
    )
    if used_at == now:
        return pair
    age = max(0, int(now.timestamp()) - int(used_at.timestamp()))
    return msgspec.structs.replace(pair, expires_in=max(0, pair.expires_in - age))
