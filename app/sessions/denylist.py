"""The SQL of the denylist: refresh tokens that were used, sessions that have ended. Each function is one statement."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, delete, exists, func, select
from sqlalchemy.orm import aliased
from sqlmodel import SQLModel, col

from app.auth.active_session import caller, in_active_session, session_has_ended, session_id, user_id, user_ids
from app.auth.models import DeniedToken, User
from app.auth.tokens import Claims
from app.core.database.pool import Database
from app.core.database.sql import constant, insert_from, now, parameter, plain
from app.core.database.statement import Row, Statement

Reason = Literal["reused", "signed_out"]

_FIRST = UUID(int=0)


class UsedToken(Row):
    used_at: datetime
    same_key: bool
    successor_used: bool


def deny(
    source: type[SQLModel] | FromClause, *conditions: ColumnElement[bool], **values: ColumnElement[Any]
) -> Statement[UUID]:
    """Return the INSERT of ids that are not in the list yet; its rows are these ids.

    The user's row, which the source has, is share-locked: a deletion at the same moment waits or comes first, and the
    foreign key never fails. Each reads the denylist, if only for this: a statement that also reads a divided table
    locks the user on one node only (Citus).
    """
    values |= {"user_id": user_id, "denied_at": now, "expires_at": parameter("expires_at", datetime)}
    inserted = insert_from(source, DeniedToken, values, *conditions, key_share=User)
    return Statement(inserted.on_conflict_do_nothing().returning(col(DeniedToken.id)), UUID)


_is_mine = col(DeniedToken.user_id) == user_id
_token_id, _key_hash = parameter("token_id", UUID), parameter("key_hash", bytes)

END_SESSION = deny(
    User,
    col(User.id) == user_id,
    ~session_has_ended,
    id=session_id,
    session_id=session_id,
    reason=parameter("reason", str),
)
ROTATE = deny(User, in_active_session, id=_token_id, session_id=session_id, reason=constant("used"), key_hash=_key_hash)

_Successor = aliased(DeniedToken, name="successor")
SELECT_USED_TOKEN = Statement(
    select(
        col(DeniedToken.denied_at).label("used_at"),
        func.coalesce(col(DeniedToken.key_hash) == _key_hash, constant(False)).label("same_key"),
        exists()
        .where(col(_Successor.user_id) == user_id, col(_Successor.id) == parameter("successor_id", UUID))
        .label("successor_used"),
    ).where(_is_mine, col(DeniedToken.id) == _token_id),
    UsedToken,
)

# By the database's clock, which is one for all workers: one whose own runs ahead would delete rows of valid tokens.
_has_expired = col(DeniedToken.expires_at) <= func.now()
_batch = parameter("batch", int)

# What one rotation deletes. An array, not IN: a plan cached while the table was small would scan it.
_oldest = (
    select(col(DeniedToken.id))
    .where(_is_mine, _has_expired)
    .order_by(col(DeniedToken.expires_at))
    .limit(_batch)
    .with_for_update(skip_locked=True)
)
PRUNE_USER = Statement(
    delete(DeniedToken)
    .where(_is_mine, col(DeniedToken.id) == func.array(_oldest.scalar_subquery()).any_())
    .returning(col(DeniedToken.id)),
    UUID,
)
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


async def insert_used_token(
    database: Database, claims: Claims, now: datetime, *, expires_at: datetime, key_hash: bytes | None
) -> bool:
    """Use up a refresh token; False if it was used before or its session is not active. Of many at once, one wins."""
    token = {"token_id": claims.token_id, "key_hash": key_hash, "now": now, "expires_at": expires_at}
    return await database.fetch_value(ROTATE, **caller(claims), **token) is not None


async def select_used_token(
    database: Database, claims: Claims, *, successor_id: UUID, key_hash: bytes | None
) -> UsedToken | None:
    """Return when a token was used, whether with this key, and whether its successor was used too."""
    token = {"token_id": claims.token_id, "successor_id": successor_id, "key_hash": key_hash}
    return await database.fetch_one(SELECT_USED_TOKEN, user_id=claims.user_id, **token)


async def insert_ended_session(
    database: Database, claims: Claims, reason: Reason, now: datetime, *, expires_at: datetime
) -> bool:
    """End a session. Return False if it had ended already, or the user is gone."""
    end = {"reason": reason, "now": now, "expires_at": expires_at}
    return await database.fetch_value(END_SESSION, **caller(claims), **end) is not None


async def count_denied_tokens(database: Database) -> int:
    """Return how many rows there are; of many, the estimate of the last ANALYZE."""
    return await database.fetch_value(COUNT) or 0


async def delete_expired_tokens_of(database: Database, user_id: UUID, *, batch: int) -> int:
    """Delete up to `batch` of a user's rows that no valid token needs, and return how many."""
    return len(await database.fetch_all(PRUNE_USER, user_id=user_id, batch=batch))


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
