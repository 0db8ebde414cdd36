"""The SQL of the denylist, and nothing else. Each function is one atomic statement."""

from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Integer,
    String,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal,
    literal_column,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col

from app.auth.active_session import signed_in
from app.auth.models import DeniedToken, User
from app.auth.repository import Id
from app.auth.tokens import Claims
from app.core.database.pool import Database, Statement
from app.core.rate_limits.database import counted

COUNTED_EXACTLY = 100_000

_COLUMNS = ["id", "session_id", "user_id", "reason", "denied_at", "expires_at"]

Reason = Literal["reused", "signed_out"]


class Rotation(NamedTuple):
    """Whether the sign-in is alive, this request is the one that used the token, and the limit allowed it to try.

    `expired` says that there are rows that nothing needs any more.
    """

    alive: bool
    won: bool
    allowed: bool
    expired: bool


class UsedToken(NamedTuple):
    used_at: datetime
    successor_used: bool


class Count(NamedTuple):
    rows: int


_now = bindparam("now", type_=DateTime(timezone=True))
_expires_at = bindparam("expires_at", type_=DateTime(timezone=True))
_session_id = bindparam("session_id", type_=Uuid)

END_SESSION = Statement(
    insert(DeniedToken)
    .from_select(
        _COLUMNS,
        select(
            _session_id,
            _session_id,
            col(User.id),
            bindparam("reason", type_=String),
            _now,
            _expires_at,
        )
        .where(col(User.id) == bindparam("user_id", type_=Uuid))
        .with_for_update(key_share=True, read=True),
    )
    .on_conflict_do_nothing(index_elements=[col(DeniedToken.id)])
    .returning(col(DeniedToken.id)),
    Id,
)


# By the database's clock, which is one for all workers: one whose own runs ahead would delete rows of living tokens.
_has_expired = col(DeniedToken.expires_at) <= func.now()
_expired = (
    select(col(DeniedToken.id))
    .where(_has_expired)
    .order_by(col(DeniedToken.expires_at))
    .limit(bindparam("batch", type_=Integer))
    .with_for_update(skip_locked=True)
)
# By an array, so that each is looked up by its key, however the table has grown since.
_chosen = func.array(_expired.scalar_subquery(), type_=ARRAY(Uuid))
PRUNE = Statement(
    delete(DeniedToken).where(col(DeniedToken.id) == any_(_chosen)).returning(col(DeniedToken.id)),
    Id,
)


def _rotation(*, counting: bool) -> Statement[Rotation]:
    """Use up a refresh token, if its sign-in is alive.

    `counting` counts the attempt, too, and does nothing else when there have been too many.

    The user's row is share-locked, so that a deletion at the same moment waits or comes first, and the
    foreign key never fails.
    """
    allowed = exists().select_from(counted) if counting else true()
    alive = select(col(User.id)).where(*signed_in(), allowed).with_for_update(key_share=True, read=True).cte("alive")
    used = (
        insert(DeniedToken)
        .from_select(
            _COLUMNS,
            select(
                bindparam("token_id", type_=Uuid),
                _session_id,
                alive.c.id,
                literal("used", String),
                _now,
                _expires_at,
            ),
        )
        .on_conflict_do_nothing(index_elements=[col(DeniedToken.id)])
        .returning(col(DeniedToken.id))
        .cte("used")
    )
    return Statement(
        select(
            exists().select_from(alive).label("alive"),
            exists().select_from(used).label("won"),
            allowed.label("allowed"),
            exists().where(_has_expired).label("expired"),
        ),
        Rotation,
    )


ROTATE = _rotation(counting=False)
ROTATE_AND_COUNT = _rotation(counting=True)
_Successor = aliased(DeniedToken, name="successor")
SELECT_USED_TOKEN = Statement(
    select(
        col(DeniedToken.denied_at),
        exists().where(col(_Successor.id) == bindparam("successor_id", type_=Uuid)).label("successor_used"),
    ).where(col(DeniedToken.id) == bindparam("token_id", type_=Uuid)),
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
        )
    ),
    Count,
)


async def insert_used_token(
    database: Database, claims: Claims, now: datetime, *, expires_at: datetime, counting: dict[str, Any] | None
) -> Rotation:
    """Use up a refresh token. Of any number of requests at once, one wins."""
    rotation = await database.fetch_one(
        ROTATE if counting is None else ROTATE_AND_COUNT,
        **(counting or {}),
        user_id=claims.user_id,
        session_id=claims.session_id,
        version=claims.token_version,
        token_id=claims.token_id,
        now=now,
        expires_at=expires_at,
    )
    assert rotation is not None
    return rotation


async def select_used_token(database: Database, token_id: UUID, *, successor_id: UUID) -> UsedToken | None:
    """Tell when a token was used, and whether the one that followed it was used too."""
    return await database.fetch_one(SELECT_USED_TOKEN, token_id=token_id, successor_id=successor_id)


async def insert_ended_session(
    database: Database, claims: Claims, reason: Reason, now: datetime, *, expires_at: datetime
) -> bool:
    """End a sign-in. False if it was over already, or the user is gone."""
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
    """Say how many rows there are; of many, as the last ANALYZE found them."""
    found = await database.fetch_one(COUNT)
    assert found is not None
    return found.rows


async def delete_expired_tokens(database: Database, *, batch: int) -> int:
    """Delete up to `batch` rows that no living token needs, and return how many."""
    return len(await database.fetch_all(PRUNE, batch=batch))
