"""The SQL of the list of sessions. Each function is one statement; which sessions are active, the denylist says."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, and_, delete, exists, func, join, or_, select, true, union, update
from sqlmodel import col

from app.auth.active_session import (
    UserStatement,
    caller,
    in_active_session,
    is_active,
    is_of_version,
    own_id,
    session_id,
    token_version,
    user_id,
    user_ids,
)
from app.auth.models import DeniedToken, UserState
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.auth.user_database import UserDatabase
from app.core.database.connection import Statements
from app.core.database.pool import Database
from app.core.database.sql import constant, delete_some, insert_from, now, parameter
from app.core.database.statement import Row, Statement
from app.sessions.denylist import delete_of_all_users, deny
from app.sessions.models import Session

_NO_SESSION = UUID(int=0)
LISTED = 100
"""Sign-ins that their owner sees, the newest."""
MAX_SCRIPT_TOKENS = 20


class ListedSession(Row):
    id: UUID
    device: str | None
    created_at: datetime
    last_used_at: datetime
    current: bool
    kind: str
    scopes: list[str] | None
    expires_at: datetime | None


_is_mine = col(Session.user_id) == user_id
_is_of_this_version = col(Session.token_version) == token_version
_is_denied_to_me = col(DeniedToken.user_id) == user_id

_begun: dict[str, Any] = {"user_id": own_id, "id": session_id, "created_at": now}
_begun |= {"device": parameter("device", str), "token_version": col(UserState.token_version)}


def begin_if(is_as_verified: ColumnElement[bool]) -> Statement[int]:
    """Return what begins a session if what was verified before is still good, by the `proven_version` of it."""
    may_begin = and_(col(UserState.user_id) == user_id, col(UserState.is_active), is_as_verified)
    begun = insert_from(UserState, Session, _begun, may_begin, key_share=UserState)
    return Statement(begun.returning(col(Session.token_version)), int, quiet=True)


BEGIN = begin_if(col(UserState.password_version) == parameter("proven_version", int))

# The denylist's row of a session tells whether it has ended, and otherwise when its tokens were last refreshed.
_last_used_at = func.coalesce(col(DeniedToken.denied_at), col(Session.created_at))
_is_script = col(Session.kind) == constant("script")
_living = (
    select(
        col(Session.id),
        col(Session.device),
        col(Session.created_at),
        _last_used_at.label("last_used_at"),
        (col(Session.id) == session_id).label("current"),
        *(col(Session.kind), col(Session.scopes), col(Session.expires_at)),
    )
    .outerjoin(DeniedToken, and_(_is_denied_to_me, col(DeniedToken.id) == col(Session.id)))
    .where(
        _is_mine,
        _is_of_this_version,
        or_(col(DeniedToken.id).is_(None), is_active),
        # A script's has an end of its own, however seldom it is used.
        func.coalesce(col(Session.expires_at) > now, _last_used_at > parameter("oldest", datetime)),
    )
)
_newest_first = (col(Session.created_at).desc(), col(Session.id).desc())
# All of the scripts, whose number is bounded, before the newest sign-ins.
LIST = UserStatement(
    _living.order_by(_is_script.desc(), *_newest_first).limit(constant(LISTED + MAX_SCRIPT_TOKENS)), ListedSession
)
LIST_FOR_OPERATOR = Statement(_living, ListedSession)


def _sign_out(sessions: FromClause, *conditions: ColumnElement[bool]) -> Statement[UUID]:
    # In the order of their ids, as every statement that ends several: otherwise two could wait for each other.
    return deny(
        join(UserState, sessions, true()),
        *conditions,
        id=sessions.c.id,
        reason=constant("signed_out"),
        key_share=UserState,
        order_by=sessions.c.id,
    )


_alive = _living.subquery("alive")
END_ONE = _sign_out(_alive, in_active_session, _alive.c.id == parameter("ended_id", UUID))

# All but so many that were used last. Of several that begin at once none ends the newest.
_least_used = (
    select(_alive.c.id)
    .where(_alive.c.kind == constant("person"))
    .order_by(_alive.c.last_used_at.desc(), _alive.c.id)
    .offset(parameter("most", int))
    .subquery("least_used")
)
END_LEAST_USED = _sign_out(_least_used, is_of_version)

# However long they were not used: a lifetime that is raised again must not bring them back. And those that have been
# refreshed but are not in the list, because they began before there was one.
_others = union(
    select(col(Session.id)).where(_is_mine, _is_of_this_version, col(Session.id) != session_id),
    select(col(DeniedToken.id)).where(_is_denied_to_me, is_active, col(DeniedToken.id) != session_id),
).subquery("others")
END_OTHERS = _sign_out(_others, in_active_session)

# After a reuse has ended a session, its owner may still sign out everywhere with it. Whoever else holds tokens of a
# session that has ended, such as a telephone that was put out, must not.
_ended_otherwise = exists().where(
    _is_denied_to_me, col(DeniedToken.id) == session_id, ~is_active, col(DeniedToken.reason) != constant("reused")
)
END_EVERYWHERE = Statement(
    update(UserState)
    .where(is_of_version, ~_ended_otherwise)
    .values(token_version=col(UserState.token_version) + constant(1))
    .returning(col(UserState.user_id)),
    UUID,
)
SELECT_NEWER = Statement(
    select(col(UserState.user_id)).where(
        col(UserState.user_id) == user_id, col(UserState.token_version) > token_version
    ),
    UUID,
)
MOVE_TO_VERSION = Statement(
    update(Session)
    .where(_is_mine, col(Session.id) == session_id)
    .values(token_version=parameter("new_version", int))
    .returning(col(Session.id)),
    UUID,
)

DELETE_SOME = Statement(delete_some(Session, _is_mine), UUID)

# By the database's clock, as in the denylist. A row goes by its age, or if the denylist has the end of its session. Not
# by version: while a password changes, a session has the old one for a moment.
_out_of_use = func.now() - parameter("kept", timedelta)


def _is_over(is_denied_to_owner: ColumnElement[bool]) -> ColumnElement[bool]:
    used_since = exists().where(
        is_denied_to_owner, col(DeniedToken.id) == col(Session.id), col(DeniedToken.denied_at) > _out_of_use
    )
    has_ended = exists().where(is_denied_to_owner, col(DeniedToken.id) == col(Session.id), ~is_active)
    is_unused = and_(~_is_script, col(Session.created_at) <= _out_of_use, ~used_since)
    return or_(has_ended, is_unused, col(Session.expires_at) <= func.now())


PRUNE_USER = Statement(delete(Session).where(_is_mine, _is_over(_is_denied_to_me)).returning(col(Session.id)), UUID)
PRUNE = Statement(
    delete(Session)
    .where(col(Session.user_id) == user_ids.any_(), _is_over(col(DeniedToken.user_id) == col(Session.user_id)))
    .returning(col(Session.id)),
    UUID,
)


async def insert_session(
    database: Database,
    user_id: UUID,
    session_id: UUID,
    *,
    begin: Statement[int],
    version: int,
    device: str | None,
    now: datetime,
) -> int | None:
    """Write down a session that begins, and return the version of its tokens.

    None if the account is closed, or what was verified is of another version by now: the session must not begin.
    """
    session = {"user_id": user_id, "session_id": session_id, "device": device, "now": now}
    return await database.fetch_value(begin, **session, proven_version=version)


async def select_living(db: UserDatabase, *, oldest: datetime) -> list[ListedSession]:
    """Return the user's living sessions, of many the newest, in no order; sign-ins that were used since `oldest`."""
    return await db.fetch_all(LIST, oldest=oldest, now=db.principal.now)


async def select_living_of(
    database: Database, user_id: UUID, *, token_version: int, oldest: datetime, now: datetime
) -> list[ListedSession]:
    """Return the same for an operator."""
    operator = {"user_id": user_id, "session_id": _NO_SESSION, "token_version": token_version}
    return await database.fetch_all(LIST_FOR_OPERATOR, **operator, oldest=oldest, now=now)


async def end_one(db: UserDatabase, session_id: UUID, *, oldest: datetime, expires_at: datetime) -> bool:
    """End one of the user's living sessions; False if there is none with this id, or the caller's is not active."""
    end = {"ended_id": session_id, "now": db.principal.now, "expires_at": expires_at}
    return await db.write(END_ONE, **end, oldest=oldest) is not None


async def end_least_used(
    database: Database, principal: Principal, *, most: int, oldest: datetime, expires_at: datetime
) -> list[UUID]:
    """End the sessions beyond so many that were used least recently; return their ids."""
    end = {"most": most, "oldest": oldest, "now": principal.now, "expires_at": expires_at}
    return await database.fetch_all(END_LEAST_USED, **caller(principal), **end)


async def end_others(database: Database, claims: Claims, now: datetime, *, expires_at: datetime) -> int:
    """End every session of the user but this one, if this one is active; return how many."""
    return len(await database.fetch_all(END_OTHERS, **caller(claims), now=now, expires_at=expires_at))


async def end_everywhere(database: Database, claims: Claims) -> bool:
    """End every session of the user; False if the token's has ended otherwise than by a reuse, or by this already."""
    return await database.fetch_value(END_EVERYWHERE, **caller(claims)) is not None


async def is_outdated(database: Database, claims: Claims) -> bool:
    """Return whether every session that the token's user had when it was issued has ended or got new tokens."""
    values = {"user_id": claims.user_id, "token_version": claims.token_version}
    return await database.fetch_value(SELECT_NEWER, **values) is not None


async def move_to_version(database: Statements, principal: Principal, version: int) -> None:
    """Note that a session has got tokens of another version."""
    await database.fetch_value(MOVE_TO_VERSION, **caller(principal), new_version=version)


async def delete_old_sessions_of(database: Database, user_id: UUID, *, kept: timedelta) -> int:
    """Delete a user's sessions that were not used for so long, and return how many."""
    return len(await database.fetch_all(PRUNE_USER, user_id=user_id, kept=kept))


def delete_old_sessions(database: Database, *, kept: timedelta, batch: int) -> AsyncIterator[int]:
    """Delete everybody's sessions that were not used for so long, and yield how many each time."""
    return delete_of_all_users(database, PRUNE, batch=batch, kept=kept)
