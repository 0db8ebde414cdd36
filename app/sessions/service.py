"""What beginning, listing and ending sessions mean, and which errors there are, in order. No HTTP, no SQL."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from app.auth.active_session import UserRow
from app.auth.auth import Auth, read_expired_too, user_database
from app.auth.errors import InvalidToken, NotAuthenticated
from app.auth.principal import Principal
from app.auth.tokens import Claims, TokenPair, TokenType
from app.auth.user_database import UserDatabase
from app.core.database.connection import Transaction
from app.core.database.pool import DatabaseUnavailable
from app.core.database.statement import Statement
from app.sessions import denylist, lifetimes, repository, rotation_repository
from app.sessions.errors import SessionNotFound
from app.sessions.repository import ListedSession

_OF_SESSIONS: tuple[TokenType, ...] = ("access", "refresh", "script")


class NewSession(NamedTuple):
    """An account, and the id and the tokens of its new session."""

    user: UserRow
    id: UUID
    tokens: TokenPair


async def begin_session(
    auth: Auth,
    user: UserRow,
    *,
    version: int,
    device: str | None,
    begin: Statement[int] = repository.BEGIN,
    is_first: bool = False,
) -> NewSession | None:
    """Write a session down and issue its tokens, in this order: what its owner cannot see and end must not be.

    None if the account is closed, or what was verified, a password unless `begin` asks for another thing, is not of
    this version by now. Unless it is the first, the session that was used least recently ends where there are too many.
    """
    now, session_id = auth.clock(), uuid4()
    token_version = await repository.insert_session(
        auth.database, user.id, session_id, begin=begin, version=version, device=device, now=now
    )
    if token_version is None:
        return None
    principal = Principal(user.id, session_id, token_version, now)
    if not is_first:
        with suppress(DatabaseUnavailable):  # the next one ends them
            await _end_least_used(auth, principal)
    if principal.session_id.int % lifetimes.PRUNE_EVERY == 0:
        with suppress(DatabaseUnavailable):  # the session is written down, and its tokens must be sent
            await denylist.delete_expired_tokens_of(auth.database, user.id)
            await repository.delete_old_sessions_of(
                auth.database, user.id, kept=lifetimes.kept_after_use(auth.settings)
            )
    pair = auth.tokens.issue(principal, refresh_id=uuid4(), number=1)
    return NewSession(user, session_id, pair)


async def _end_least_used(auth: Auth, principal: Principal) -> None:
    most, now = auth.settings.max_sessions_per_user, principal.now
    if most:
        bounds = {"oldest": now - auth.lifetime, "expires_at": now + lifetimes.ENDED_SESSION_KEPT}
        user_id, by_session = principal.user_id, principal.session_id
        for session_id in await repository.end_least_used(auth.database, principal, most=most, **bounds):
            auth.record(
                "session_ended", user_id=user_id, session_id=session_id, by_session=by_session, reason="too_many"
            )


async def renew_session(auth: Auth, transaction: Transaction, principal: Principal, version: int) -> TokenPair:
    """Issue tokens of another version for a session, which replace all that it has. Raises: InvalidToken."""
    renewed = principal._replace(token_version=version, now=auth.clock())
    expires_at = renewed.now + lifetimes.kept_after_use(auth.settings)
    number = await rotation_repository.renew(transaction, renewed, expires_at=expires_at)
    if number is None:
        raise InvalidToken
    await repository.move_to_version(transaction, principal, version)
    return auth.tokens.issue(renewed, refresh_id=uuid4(), number=number + 1)


async def list_sessions(auth: Auth, db: UserDatabase) -> list[ListedSession]:
    """Return the user's living sessions, newest first: so many sign-ins, and all scripts'. Raises: InvalidToken."""
    found = newest_first(await repository.select_living(db, oldest=db.principal.now - auth.lifetime))
    shown = [session.id for session in found if session.kind == "person"][: repository.LISTED]
    return [session for session in found if session.kind == "script" or session.id in shown]


def newest_first(found: list[ListedSession]) -> list[ListedSession]:
    """Return sessions in the order in which people see them."""
    return sorted(found, key=lambda session: (session.created_at, session.id), reverse=True)


async def end_one(auth: Auth, db: UserDatabase, session_id: UUID) -> None:
    """End one of the user's living sessions, the current one or another. Raises: SessionNotFound, InvalidToken."""
    now = db.principal.now
    expires_at = now + lifetimes.ENDED_SESSION_KEPT
    if not await repository.end_one(db, session_id, oldest=now - auth.lifetime, expires_at=expires_at):
        raise SessionNotFound
    auth.record(
        "session_ended", user_id=db.principal.user_id, session_id=session_id, by_session=db.principal.session_id
    )


async def sign_out(
    auth: Auth, access_token: str | None, refresh_token: str | None, *, everywhere: bool, others: bool
) -> None:
    """End the sessions that the tokens belong to, expired or not; or all but the first one's.

    Raises: NotAuthenticated without a token, InvalidToken if none of those given is valid and may do this: a session
    that goes on may end the others and everything, one that was ended by a reuse everything.
    A refresh token of another user than the access token's is ignored. Source: FR-012, FR-057, RFC 7009 2.2.
    """
    now = auth.clock()
    given: list[tuple[str | None, TokenType]] = [(access_token, "access"), (refresh_token, "refresh")]
    valid = [claims for token, kind in given if (claims := read_expired_too(auth, token, kind, now))]
    if not valid:
        raise InvalidToken if access_token or refresh_token else NotAuthenticated
    mine = [claims for claims in valid if claims.user_id == valid[0].user_id]
    if everywhere:
        await _end_everything(auth, mine, now)
    elif others:
        await _end_others(auth, mine[0], now)
    else:
        for claims in {claims.session_id: claims for claims in mine}.values():
            await _end_own(auth, claims, now)


async def revoke(auth: Auth, token: str) -> None:
    """End the session of an access token, a refresh token or a script's, expired or not; any other has none.

    Source: FR-061, RFC 7009 2.
    """
    now = auth.clock()
    for kind in _OF_SESSIONS:
        if claims := read_expired_too(auth, token, kind, now):
            await _end_own(auth, claims, now)


async def _end_own(auth: Auth, claims: Claims, now: datetime) -> None:
    await denylist.end_session(auth.database, claims, now, expires_at=now + lifetimes.ENDED_SESSION_KEPT)
    auth.record("signed_out", user_id=claims.user_id, session_id=claims.session_id)


async def _end_everything(auth: Auth, given: list[Claims], now: datetime) -> None:
    """Sign out everywhere by any of these tokens, or find it done. Raises: InvalidToken."""
    for claims in given:
        may = lifetimes.may_end_everything(auth.settings, claims, now)
        if may and await repository.end_everywhere(auth.database, claims):
            auth.record("signed_out_everywhere", user_id=claims.user_id, session_id=claims.session_id)
            return
    for claims in given:
        if await repository.is_outdated(auth.database, claims):
            return
    raise InvalidToken


async def _end_others(auth: Auth, claims: Claims, now: datetime) -> None:
    """End every session but this one, which must go on. Raises: InvalidToken."""
    if not lifetimes.is_in_use(auth.settings, claims, now):
        raise InvalidToken
    ended = await repository.end_others(auth.database, claims, now, expires_at=now + lifetimes.ENDED_SESSION_KEPT)
    if ended:
        auth.record("session_ended", user_id=claims.user_id, by_session=claims.session_id, others=ended)
    else:
        await user_database(auth, claims, now).require_active()


def sessions_before(auth: Auth, user_id: UUID, refresh_tokens: Iterable[str]) -> list[Claims]:
    """Return what genuine tokens say of sessions that a device has had with this account."""
    now = auth.clock()
    found = [read_expired_too(auth, token, "refresh", now) for token in refresh_tokens]
    return [claims for claims in found if claims and claims.user_id == user_id]


async def end_replaced(auth: Auth, replaced: Iterable[Claims]) -> None:
    """End the sessions in whose place a new one has begun."""
    now = auth.clock()
    for claims in replaced:
        if await denylist.end_session(auth.database, claims, now, expires_at=now + lifetimes.ENDED_SESSION_KEPT):
            auth.record("session_ended", user_id=claims.user_id, session_id=claims.session_id, reason="replaced")


async def goes_on(auth: Auth, claims: Claims, now: datetime) -> bool:
    """Return whether a genuine token's session has not ended, as far as is still known."""
    if not lifetimes.is_end_remembered(claims, now):
        return False
    return await user_database(auth, claims, now).is_active()
