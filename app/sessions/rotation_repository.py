"""The SQL of rotation: which refresh tokens of a session are used. Each function is one statement."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from app.auth.active_session import caller, in_active_session, is_active, own_id, session_id, user_id
from app.auth.models import DeniedToken, UserState
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.core.database.connection import Statements
from app.core.database.pool import Database
from app.core.database.sql import constant, insert_from, now, null, parameter
from app.core.database.statement import Row, Statement
from app.core.setting_types import Limit
from app.sessions.denylist import EXPIRES_AT, KEY, outliving

USE_LENGTH = 8
"""Of one use in `uses`, the newest first: four bytes are the time, and as many a fingerprint."""
USES_KEPT = 8


class Use(NamedTuple):
    """What is kept of the exchange of a refresh token: when, and digests of its key and of who used it."""

    number: int
    now: datetime
    key_hash: bytes | None
    client: bytes | None
    use: bytes


class SessionState(Row):
    """What is known of an active session: up to which number its tokens are used, and of the last use.

    Without a row, because it was never refreshed, all of it is None.
    """

    denied_up_to: int | None
    used_at: datetime | None
    key_hash: bytes | None
    client: bytes | None
    uses: bytes | None
    window_ends: datetime | None


class Refusal(Row):
    """What may be the reason that a session is not active; `reason` is that of its end."""

    is_active: bool
    token_version: int
    reason: str | None


class UsedToken(Row):
    """A refresh token that 1.0 has exchanged."""

    used_at: datetime
    key_hash: bytes | None
    successor_used: bool


_is_mine = col(DeniedToken.user_id) == user_id
_number, _token_id = parameter("number", int), parameter("token_id", UUID)
_window_end = parameter("window_end", datetime)
_window_is_open = and_(col(DeniedToken.window_ends).is_not(None), col(DeniedToken.window_ends) > now)
_counted: dict[str, ColumnElement[Any]] = {
    "counted": case((_window_is_open, col(DeniedToken.counted) + constant(1)), else_=constant(1)),
    "window_ends": case((_window_is_open, col(DeniedToken.window_ends)), else_=_window_end),
}
_has_room = or_(~_window_is_open, col(DeniedToken.counted) < parameter("amount", int))

_row: dict[str, Any] = {"id": session_id, "session_id": session_id, "user_id": own_id}
_row |= {"reason": constant("active"), "denied_up_to": _number, "denied_at": now, "expires_at": EXPIRES_AT}
_used = {
    **_row,
    "key_hash": parameter("key_hash", bytes),
    "client": parameter("client", bytes),
    "uses": parameter("use", bytes),
    "counted": constant(1),
    "window_ends": _window_end,
}


def _rotate(*conditions: ColumnElement[bool]) -> Statement[UUID]:
    """Return the exchange of a token: of many at once, the one that raises the number.

    The row is rewritten where it stands; only a first one makes its foreign key lock the user.
    """
    rotated = insert_from(UserState, DeniedToken, _used, in_active_session, *conditions)
    uses = rotated.excluded.uses.op("||")(func.coalesce(col(DeniedToken.uses), constant(b"")))
    changed: dict[str, ColumnElement[Any]] = {
        name: rotated.excluded[name] for name in ("denied_up_to", "denied_at", "key_hash", "client")
    }
    changed |= {"expires_at": outliving(rotated), **_counted}
    changed |= {"uses": func.substr(uses, constant(1), constant(USES_KEPT * USE_LENGTH))}
    # Lower, not one lower: a standby that takes over may lack the last uses.
    wins = and_(col(DeniedToken.denied_up_to) < rotated.excluded.denied_up_to, is_active, _has_room)
    return Statement(
        rotated.on_conflict_do_update(index_elements=KEY, set_=changed, where=wins).returning(col(DeniedToken.id)),
        UUID,
        quiet=True,
    )


ROTATE = _rotate()
# A token without a number, which 1.0 issued, is used if one of 1.0's rows names it.
ROTATE_UNNUMBERED = _rotate(~exists().where(_is_mine, col(DeniedToken.id) == _token_id))
# There is a row to count in, but for a session whose tokens 1.0 alone has exchanged.
COUNT_AGAIN = Statement(
    insert_from(UserState, DeniedToken, {**_row, "counted": constant(1), "window_ends": _window_end}, in_active_session)
    .on_conflict_do_update(
        index_elements=KEY, set_=_counted, where=and_(is_active, col(DeniedToken.denied_up_to) == _number, _has_room)
    )
    .returning(col(DeniedToken.id)),
    UUID,
    quiet=True,
)
SELECT_STATE = Statement(
    select(
        col(DeniedToken.denied_up_to),
        col(DeniedToken.denied_at).label("used_at"),
        *(col(DeniedToken.key_hash), col(DeniedToken.client), col(DeniedToken.uses)),
        col(DeniedToken.window_ends),
    )
    .select_from(UserState)
    .outerjoin(DeniedToken, and_(_is_mine, col(DeniedToken.id) == session_id))
    .where(in_active_session),
    SessionState,
)
SELECT_REFUSAL = Statement(
    select(col(UserState.is_active), col(UserState.token_version), col(DeniedToken.reason))
    .select_from(UserState)
    .outerjoin(DeniedToken, and_(_is_mine, col(DeniedToken.id) == session_id))
    .where(col(UserState.user_id) == user_id),
    Refusal,
)
_Successor = aliased(DeniedToken, name="successor")
SELECT_USED_TOKEN = Statement(
    select(
        col(DeniedToken.denied_at).label("used_at"),
        col(DeniedToken.key_hash),
        exists()
        .where(col(_Successor.user_id) == user_id, col(_Successor.id) == parameter("successor_id", UUID))
        .label("successor_used"),
    ).where(_is_mine, col(DeniedToken.id) == _token_id),
    UsedToken,
)
_renewed = insert_from(UserState, DeniedToken, _row | {"denied_up_to": constant(1)}, in_active_session)
# A pair that replaces others without one of them being used: what has been issued is denied.
RENEW = Statement(
    _renewed.on_conflict_do_update(
        index_elements=KEY,
        set_={
            "denied_up_to": col(DeniedToken.denied_up_to) + constant(1),
            "denied_at": _renewed.excluded.denied_at,
            "expires_at": outliving(_renewed),
            **dict.fromkeys(("key_hash", "client", "uses"), null(bytes)),
        },
        where=is_active,
    ).returning(col(DeniedToken.denied_up_to)),
    int,
)


async def rotate(database: Database, claims: Claims, use: Use, *, expires_at: datetime, limit: Limit) -> bool:
    """Use up a refresh token; False if it was used before, its session is not active, or its window is full."""
    window_end = use.now + timedelta(seconds=limit.window_seconds)
    values = {**use._asdict(), "expires_at": expires_at, "window_end": window_end, "amount": limit.amount}
    if claims.number is not None:
        return await database.fetch_value(ROTATE, **caller(claims), **values) is not None
    return (
        await database.fetch_value(ROTATE_UNNUMBERED, **caller(claims), **values, token_id=claims.token_id) is not None
    )


async def count_again(
    database: Database, claims: Claims, number: int, now: datetime, *, expires_at: datetime, limit: Limit
) -> bool:
    """Count a pair that is given again; False if the window is full, or its token not the last one used any more."""
    window_end = now + timedelta(seconds=limit.window_seconds)
    values = {"number": number, "now": now, "expires_at": expires_at, "window_end": window_end, "amount": limit.amount}
    return await database.fetch_value(COUNT_AGAIN, **caller(claims), **values) is not None


async def renew(database: Statements, principal: Principal, *, expires_at: datetime) -> int | None:
    """Deny every token of a session that was issued so far, and return the last one's number; None if it has ended."""
    return await database.fetch_value(RENEW, **caller(principal), now=principal.now, expires_at=expires_at)


async def select_state(database: Database, claims: Claims) -> SessionState | None:
    """Return the state of a token's session; None if it is not active."""
    return await database.fetch_one(SELECT_STATE, **caller(claims))


async def select_refusal(database: Database, claims: Claims) -> Refusal | None:
    """Return what may be the reason that a token's session is not active; None if its user is gone."""
    return await database.fetch_one(SELECT_REFUSAL, user_id=claims.user_id, session_id=claims.session_id)


async def select_used_token(database: Database, claims: Claims, *, successor_id: UUID) -> UsedToken | None:
    """Return how 1.0 exchanged a token; None if it did not."""
    token = {"token_id": claims.token_id, "successor_id": successor_id}
    return await database.fetch_one(SELECT_USED_TOKEN, user_id=claims.user_id, **token)
