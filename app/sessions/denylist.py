"""The SQL of the denylist: refresh tokens that were used, sessions that have ended. Each function is one statement."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Integer,
    LargeBinary,
    String,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    false,
    func,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col

from app.auth.active_session import Id, is_not_denied, session_is_active, user_id
from app.auth.models import DeniedToken, User
from app.auth.tokens import Claims
from app.core.database.pool import Database
from app.core.database.statement import Row, RowT, Statement

COUNTED_EXACTLY = 100_000
_FIRST = UUID(int=0)

COLUMNS = ["id", "session_id", "user_id", "reason", "denied_at", "expires_at"]

Reason = Literal["reused", "signed_out"]


class UsedToken(Row):
    used_at: datetime
    same_key: bool
    successor_used: bool


class Count(Row):
    rows: int


_now = bindparam("now", type_=DateTime(timezone=True))
_expires_at = bindparam("expires_at", type_=DateTime(timezone=True))
_session_id = bindparam("session_id", type_=Uuid)
_token_id = bindparam("token_id", type_=Uuid)
_key_hash = bindparam("key_hash", type_=LargeBinary)

# In both inserts the user's row is share-locked, so that a deletion at the same moment waits or comes first, and the
# foreign key never fails. Both read the denylist, of which one node has the user's part: the row is locked on that node
# and not on all.
END_SESSION = Statement(
    insert(DeniedToken)
    .from_select(
        COLUMNS,
        select(_session_id, _session_id, user_id, bindparam("reason", type_=String), _now, _expires_at)
        .select_from(User)
        .where(col(User.id) == user_id, is_not_denied)
        .with_for_update(key_share=True, read=True),
    )
    .on_conflict_do_nothing()
    .returning(col(DeniedToken.id)),
    Id,
)
ROTATE = Statement(
    insert(DeniedToken)
    .from_select(
        [*COLUMNS, "key_hash"],
        select(_token_id, _session_id, user_id, literal_column("'used'", String), _now, _expires_at, _key_hash)
        .select_from(User)
        .where(*session_is_active())
        .with_for_update(key_share=True, read=True),
    )
    .on_conflict_do_nothing()
    .returning(col(DeniedToken.id)),
    Id,
)

# By the database's clock, which is one for all workers: one whose own runs ahead would delete rows of valid tokens.
_has_expired = col(DeniedToken.expires_at) <= func.now()

# What one rotation deletes. Rows are found by their whole keys, in an array: with IN, a plan made for a small table
# would read all of it.
_expired_of_user = (
    select(col(DeniedToken.id))
    .where(col(DeniedToken.user_id) == user_id, _has_expired)
    .order_by(col(DeniedToken.expires_at))
    .limit(bindparam("batch", type_=Integer))
    .with_for_update(skip_locked=True)
)
_chosen = func.array(_expired_of_user.scalar_subquery(), type_=ARRAY(Uuid))
PRUNE_USER = Statement(
    delete(DeniedToken)
    .where(col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == any_(_chosen))
    .returning(col(DeniedToken.id)),
    Id,
)
# To delete everybody's expired rows, some users at a time: several nodes could not share a LIMIT of rows.
SELECT_USER_IDS = Statement(
    select(col(User.id))
    .where(col(User.id) > bindparam("after", type_=Uuid))
    .order_by(col(User.id))
    .limit(bindparam("batch", type_=Integer)),
    Id,
)
PRUNE = Statement(
    delete(DeniedToken)
    .where(col(DeniedToken.user_id) == any_(bindparam("user_ids", type_=ARRAY(Uuid))), _has_expired)
    .returning(col(DeniedToken.id)),
    Id,
)

_Successor = aliased(DeniedToken, name="successor")
SELECT_USED_TOKEN = Statement(
    select(
        col(DeniedToken.denied_at).label("used_at"),
        func.coalesce(col(DeniedToken.key_hash) == _key_hash, false()).label("same_key"),
        exists()
        .where(col(_Successor.user_id) == user_id, col(_Successor.id) == bindparam("successor_id", type_=Uuid))
        .label("successor_used"),
    ).where(col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == _token_id),
    UsedToken,
)

_estimated = cast(
    select(column("reltuples"))
    .select_from(table("pg_class"))
    .where(column("oid") == literal_column("'token_denylist'::regclass"))
    .scalar_subquery(),
    BigInteger,
)
COUNT = Statement(
    select(
        case(
            (_estimated < COUNTED_EXACTLY, select(func.count()).select_from(DeniedToken).scalar_subquery()),
            else_=_estimated,
        ).label("rows")
    ),
    Count,
)


async def insert_used_token(
    database: Database, claims: Claims, now: datetime, *, expires_at: datetime, key_hash: bytes | None
) -> bool:
    """Use up a refresh token; False if it was used before or its session is not active. Of many at once, one wins."""
    used = await database.fetch_one(
        ROTATE,
        user_id=claims.user_id,
        session_id=claims.session_id,
        token_version=claims.token_version,
        token_id=claims.token_id,
        now=now,
        expires_at=expires_at,
        key_hash=key_hash,
    )
    return used is not None


async def select_used_token(
    database: Database, claims: Claims, *, successor_id: UUID, key_hash: bytes | None
) -> UsedToken | None:
    """Return when a token was used, whether with this key, and whether its successor was used too."""
    return await database.fetch_one(
        SELECT_USED_TOKEN,
        user_id=claims.user_id,
        token_id=claims.token_id,
        successor_id=successor_id,
        key_hash=key_hash,
    )


async def insert_ended_session(
    database: Database, claims: Claims, reason: Reason, now: datetime, *, expires_at: datetime
) -> bool:
    """End a session. Return False if it had ended already, or the user is gone."""
    ended = await database.fetch_one(
        END_SESSION,
        user_id=claims.user_id,
        session_id=claims.session_id,
        reason=reason,
        now=now,
        expires_at=expires_at,
    )
    return ended is not None


async def count_denied_tokens(database: Database) -> int:
    """Return how many rows there are; of many, the estimate of the last ANALYZE."""
    found = await database.fetch_one(COUNT)
    assert found is not None
    return found.rows


async def delete_expired_tokens_of(database: Database, user_id: UUID, *, batch: int) -> int:
    """Delete up to `batch` of a user's rows that no valid token needs, and return how many."""
    return len(await database.fetch_all(PRUNE_USER, user_id=user_id, batch=batch))


def delete_expired_tokens(database: Database, *, batch: int) -> AsyncIterator[int]:
    """Delete every row that no valid token needs, of `batch` users at a time, and yield how many each time."""
    return delete_of_all_users(database, PRUNE, batch=batch)


async def delete_of_all_users(
    database: Database, statement: Statement[RowT], *, batch: int, **params: Any
) -> AsyncIterator[int]:
    """Run a deletion for all users, `batch` of them at a time as its `user_ids`, and yield how many rows each time."""
    after = _FIRST
    while users := await database.fetch_all(SELECT_USER_IDS, after=after, batch=batch):
        after = users[-1].id
        yield len(await database.fetch_all(statement, user_ids=[user.id for user in users], **params))
