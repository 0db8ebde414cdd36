"""The SQL of the denylist: how sessions end, and how rows go that nothing needs. Each function is one statement.

A session has one row, made by its first refresh, by a new password or by its end.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, delete, func, select
from sqlalchemy.dialects.postgresql import Insert
from sqlmodel import SQLModel, col

from app.auth.active_session import (
    caller,
    in_active_session,
    is_active,
    is_of_version,
    own_id,
    session_id,
    user_id,
    user_ids,
)
from app.auth.models import DeniedToken, User, UserState
from app.auth.tokens import Claims
from app.core.database.pool import Database
from app.core.database.sql import constant, delete_some, insert_from, now, parameter, plain
from app.core.database.statement import Statement

_FIRST = UUID(int=0)


_is_mine = col(DeniedToken.user_id) == user_id
EXPIRES_AT = parameter("expires_at", datetime)
KEY = ["user_id", "id"]


def outliving(inserted: Insert) -> ColumnElement[datetime]:
    """Return an `expires_at` that no row loses: when a lifetime is lowered, older tokens must not outlive it."""
    return func.greatest(col(DeniedToken.expires_at), inserted.excluded.expires_at)


def deny(
    source: type[SQLModel] | FromClause,
    *conditions: ColumnElement[bool],
    id: ColumnElement[UUID],
    reason: ColumnElement[str],
    **how: Any,
) -> Statement[UUID]:
    """Return what ends sessions that have not ended yet; its rows are their ids. `how` is that of `insert_from`.

    The source has the user's row of `user_state`.
    """
    values: dict[str, Any] = {"id": id, "session_id": id, "user_id": own_id, "reason": reason}
    values |= {"denied_at": now, "expires_at": EXPIRES_AT}
    ended = insert_from(source, DeniedToken, values, *conditions, **how)
    changed = {name: ended.excluded[name] for name in ("reason", "denied_at")} | {"expires_at": outliving(ended)}
    return Statement(
        ended.on_conflict_do_update(index_elements=KEY, set_=changed, where=is_active).returning(col(DeniedToken.id)),
        UUID,
    )


# Of a token of this version: one of before a new password must not end the session that it has renewed.
END_SESSION = deny(UserState, is_of_version, id=session_id, reason=constant("signed_out"), key_share=UserState)
# A new password that comes at the same moment is waited for: it renews the session, which must not end by an old token.
END_REUSED = deny(UserState, in_active_session, id=session_id, reason=constant("reused"), share=UserState)
END_EXPIRED = deny(UserState, in_active_session, id=session_id, reason=constant("signed_out"), share=UserState)

# By the database's clock, which is one for all workers: one whose own runs ahead would delete rows of valid tokens.
_has_expired = col(DeniedToken.expires_at) <= func.now()
_batch = parameter("batch", int)

DELETE_SOME = Statement(delete_some(DeniedToken, _is_mine), UUID)
PRUNE_USER = Statement(delete(DeniedToken).where(_is_mine, _has_expired).returning(col(DeniedToken.id)), UUID)
# To delete everybody's expired rows, some users at a time: several nodes could not share a LIMIT of rows.
SELECT_USER_IDS = Statement(
    select(col(User.id)).where(col(User.id) > parameter("after", UUID)).order_by(col(User.id)).limit(_batch), UUID
)
PRUNE = Statement(
    delete(DeniedToken).where(col(DeniedToken.user_id) == user_ids.any_(), _has_expired).returning(col(DeniedToken.id)),
    UUID,
)
# In SQL's own words, because PostgreSQL's catalogue is no model.
COUNT = Statement(
    plain(
        """SELECT CASE WHEN (SELECT reltuples FROM pg_class WHERE oid = 'token_denylist'::regclass) < 100000
            THEN (SELECT count(*) FROM token_denylist)
            ELSE (SELECT reltuples::bigint FROM pg_class WHERE oid = 'token_denylist'::regclass) END AS rows""",
        rows=int,
    ),
    int,
)


async def end_session(database: Database, claims: Claims, now: datetime, *, expires_at: datetime) -> bool:
    """End a session because of a sign-out. Return False if it had ended already, was renewed, or the user is gone."""
    return await database.fetch_value(END_SESSION, **caller(claims), now=now, expires_at=expires_at) is not None


async def end_reused_session(database: Database, claims: Claims, now: datetime, *, expires_at: datetime) -> bool:
    """End a session because of a reuse. Return False if it is not active any more, or was renewed."""
    return await database.fetch_value(END_REUSED, **caller(claims), now=now, expires_at=expires_at) is not None


async def end_expired_session(database: Database, claims: Claims, now: datetime, *, expires_at: datetime) -> bool:
    """End a session that has lasted long enough. Return False if it is not active any more, or was renewed."""
    return await database.fetch_value(END_EXPIRED, **caller(claims), now=now, expires_at=expires_at) is not None


async def count_denied_tokens(database: Database) -> int:
    """Return how many rows there are; of many, the estimate of the last ANALYZE."""
    return await database.fetch_value(COUNT) or 0


async def delete_expired_tokens_of(database: Database, user_id: UUID) -> int:
    """Delete a user's rows that no valid token needs, and return how many."""
    return len(await database.fetch_all(PRUNE_USER, user_id=user_id))


def delete_expired_tokens(database: Database, *, batch: int) -> AsyncIterator[int]:
    """Delete every row that no valid token needs, of `batch` users at a time, and yield how many each time."""
    return delete_of_all_users(database, PRUNE, batch=batch)


async def delete_of_all_users(
    database: Database, statement: Statement[UUID], *, batch: int, **params: Any
) -> AsyncIterator[int]:
    """Run a deletion for all users, `batch` of them at a time as its `user_ids`, and yield how many rows each time."""
    after = _FIRST
    while users := await database.fetch_all(SELECT_USER_IDS, after=after, batch=batch):
        after = users[-1]
        yield len(await database.fetch_all(statement, user_ids=users, **params))
