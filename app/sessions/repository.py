"""The SQL of the list of sessions. Each function is one statement; which sessions are active, the denylist says."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Interval,
    Select,
    String,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import Id, UserStatement, session_is_active, user_id
from app.auth.models import DeniedToken, User
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.auth.user_database import UserDatabase
from app.core.database.pool import Database
from app.core.database.statement import Row, Statement
from app.sessions.denylist import COLUMNS, delete_of_all_users
from app.sessions.models import Session

_NO_SESSION = UUID(int=0)


class ListedSession(Row):
    id: UUID
    device: str | None
    created_at: datetime
    last_used_at: datetime
    current: bool


_session_id = bindparam("session_id", type_=Uuid)
_token_version = bindparam("token_version", type_=Integer)
_now = bindparam("now", type_=DateTime(timezone=True))
_expires_at = bindparam("expires_at", type_=DateTime(timezone=True))
_oldest = bindparam("oldest", type_=DateTime(timezone=True))
_USED, _SIGNED_OUT = literal_column("'used'", String), literal_column("'signed_out'", String)

_is_mine = col(Session.user_id) == user_id
_is_of_this_version = col(Session.token_version) == _token_version
_was_used = (col(DeniedToken.user_id) == user_id, col(DeniedToken.reason) == _USED)

# It asks whether the account is still what it was when the password was verified. The session, which is new, is not in
# the denylist: asked all the same, so that the user's row is locked on one node and not on all.
BEGIN = Statement(
    insert(Session)
    .from_select(
        ["user_id", "id", "device", "token_version", "created_at"],
        select(user_id, _session_id, bindparam("device", type_=String), _token_version, _now)
        .select_from(User)
        .where(*session_is_active())
        .with_for_update(key_share=True, read=True),
    )
    .returning(col(Session.id)),
    Id,
)

# What the denylist tells of each session, by one look at the user's rows: the row that ends a session has its own id.
_told = (
    select(
        col(DeniedToken.session_id),
        func.max(col(DeniedToken.denied_at)).filter(col(DeniedToken.reason) == _USED).label("last_used_at"),
        func.bool_or(col(DeniedToken.id) == col(DeniedToken.session_id)).label("has_ended"),
    )
    .where(col(DeniedToken.user_id) == user_id)
    .group_by(col(DeniedToken.session_id))
)


def _living(told: FromClause) -> Select[*tuple[Any, ...]]:
    """Select the user's sessions that have not ended, each with its last use."""
    last_used_at = func.coalesce(told.c.last_used_at, col(Session.created_at))
    return (
        select(
            col(Session.id),
            col(Session.device),
            col(Session.created_at),
            last_used_at.label("last_used_at"),
            (col(Session.id) == _session_id).label("current"),
        )
        .outerjoin(told, told.c.session_id == col(Session.id))
        .where(_is_mine, _is_of_this_version, told.c.has_ended.is_not(true()), last_used_at > _oldest)
    )


# Materialized: where most users have few rows, the planner would read those of a user with many again for each session.
_all_living = _living(_told.cte("told").prefix_with("MATERIALIZED"))
LIST = UserStatement(_all_living.subquery("work"), ListedSession)
LIST_FOR_OPERATOR = Statement(_all_living, ListedSession)


def _end(which: Any, *conditions: ColumnElement[bool]) -> Statement[Id]:
    """Deny sessions, by the column of their ids; the user's row is locked as in the denylist's own inserts."""
    return Statement(
        insert(DeniedToken)
        .from_select(
            COLUMNS,
            select(which.c.id, which.c.id, user_id, _SIGNED_OUT, _now, _expires_at)
            .select_from(User)
            .join(which, true())
            .where(*conditions)
            .with_for_update(key_share=True, read=True, of=User),
        )
        .on_conflict_do_nothing()
        .returning(col(DeniedToken.id)),
        Id,
    )


_alive = _living(_told.subquery("told")).subquery("alive")
END_ONE = _end(_alive, *session_is_active(), _alive.c.id == bindparam("ended_id", type_=Uuid))

# Sessions that began before there was a list have no row: the refreshes of the others tell of them.
_others = union(
    select(col(Session.id)).where(_is_mine, _is_of_this_version, col(Session.id) != _session_id),
    select(col(DeniedToken.session_id)).where(
        *_was_used, col(DeniedToken.denied_at) > _oldest, col(DeniedToken.session_id) != _session_id
    ),
).subquery("others")
# As with signing out everywhere, the token's own session may have ended.
END_OTHERS = _end(_others, col(User.id) == user_id, col(User.token_version) == _token_version)

END_ALL: dict[str, Any] = {"token_version": col(User.token_version) + 1, "updated_at": bindparam("now")}
"""What ends every session of a user, in an UPDATE of the user's row."""

# The token's own session may have ended: after a reuse has ended it, its owner may still sign out everywhere with it.
# (Nor could one statement read the denylist, which may be divided among nodes, and change what each has a copy of.)
END_EVERYWHERE = Statement(
    update(User)
    .where(col(User.id) == user_id, col(User.token_version) == bindparam("old_version", type_=Integer))
    .values(**END_ALL)
    .returning(col(User.id)),
    Id,
)
MOVE_TO_VERSION = Statement(
    update(Session)
    .where(_is_mine, col(Session.id) == _session_id)
    .values(token_version=bindparam("new_version", type_=Integer))
    .returning(col(Session.id)),
    Id,
)

# By the database's clock, as in the denylist. A row goes by its age alone, however its session has ended: a rule by
# versions could meet a session between the two statements of a change of the password.
_out_of_use = func.now() - cast(bindparam("kept"), Interval)


def _is_over(used_by: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    used_since = exists().where(
        used_by, col(DeniedToken.session_id) == col(Session.id), col(DeniedToken.denied_at) > _out_of_use
    )
    return col(Session.created_at) <= _out_of_use, ~used_since


PRUNE_USER = Statement(
    delete(Session).where(_is_mine, *_is_over(col(DeniedToken.user_id) == user_id)).returning(col(Session.id)), Id
)
PRUNE = Statement(
    delete(Session)
    .where(
        col(Session.user_id) == any_(bindparam("user_ids", type_=ARRAY(Uuid))),
        *_is_over(col(DeniedToken.user_id) == col(Session.user_id)),
    )
    .returning(col(Session.id)),
    Id,
)


async def insert_session(database: Database, principal: Principal, *, device: str | None) -> bool:
    """Write down a session that begins; False if its account has changed since, so that it must not begin."""
    begun = await database.fetch_one(
        BEGIN,
        user_id=principal.user_id,
        session_id=principal.session_id,
        token_version=principal.token_version,
        device=device,
        now=principal.now,
    )
    return begun is not None


async def select_living(db: UserDatabase, *, oldest: datetime) -> list[ListedSession]:
    """Return the user's sessions that were used since `oldest` and have not ended, in no order."""
    return await db.fetch_all(LIST, oldest=oldest)


async def select_living_of(
    database: Database, user_id: UUID, *, token_version: int, oldest: datetime
) -> list[ListedSession]:
    """Return the same for an operator."""
    return await database.fetch_all(
        LIST_FOR_OPERATOR, user_id=user_id, session_id=_NO_SESSION, token_version=token_version, oldest=oldest
    )


async def end_one(db: UserDatabase, session_id: UUID, *, oldest: datetime, expires_at: datetime) -> bool:
    """End one of the user's living sessions; False if there is none with this id, or the caller's is not active."""
    now = db.principal.now
    ended = await db.insert(END_ONE, ended_id=session_id, now=now, oldest=oldest, expires_at=expires_at)
    return ended is not None


async def end_others(
    database: Database, claims: Claims, now: datetime, *, oldest: datetime, expires_at: datetime
) -> int:
    """End every session of the user but this one, if the token has the user's version; return how many."""
    ended = await database.fetch_all(
        END_OTHERS,
        user_id=claims.user_id,
        session_id=claims.session_id,
        token_version=claims.token_version,
        now=now,
        oldest=oldest,
        expires_at=expires_at,
    )
    return len(ended)


async def end_everywhere(database: Database, claims: Claims, now: datetime) -> bool:
    """End every session of the user, if the token has the user's version."""
    ended = await database.fetch_one(END_EVERYWHERE, user_id=claims.user_id, old_version=claims.token_version, now=now)
    return ended is not None


async def move_to_version(database: Database, principal: Principal, version: int) -> None:
    """Note that a session has got tokens of another version."""
    await database.fetch_one(
        MOVE_TO_VERSION, user_id=principal.user_id, session_id=principal.session_id, new_version=version
    )


async def delete_old_sessions_of(database: Database, user_id: UUID, *, kept: timedelta) -> int:
    """Delete a user's sessions that were not used for so long, and return how many."""
    return len(await database.fetch_all(PRUNE_USER, user_id=user_id, kept=kept))


def delete_old_sessions(database: Database, *, kept: timedelta, batch: int) -> AsyncIterator[int]:
    """Delete everybody's sessions that were not used for so long, and yield how many each time."""
    return delete_of_all_users(database, PRUNE, batch=batch, kept=kept)
