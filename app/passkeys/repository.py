"""The SQL of passkeys, and nothing else. Each function is one atomic statement."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, and_, delete, func, or_, select, update
from sqlmodel import col

from app.auth.active_session import UserRow, UserStatement, insert_in_session, own_id, user_columns, user_id
from app.auth.models import DeniedToken, User, UserState
from app.auth.user_database import UserDatabase
from app.core.database.pool import Database
from app.core.database.sql import constant, insert_from, now, parameter
from app.core.database.statement import Row, Statement
from app.passkeys.challenges import Challenge
from app.passkeys.going_repository import ListedPasskey, is_mine, listed_columns
from app.passkeys.models import Passkey
from app.sessions.denylist import KEY
from app.sessions.lifetimes import DENYLIST_GRACE
from app.sessions.repository import begin_if

MAX_PASSKEYS = 10


class KeyOfUser(Row):
    """A key that may sign in, and whose it is."""

    id: UUID
    email: str
    name: str | None
    created_at: datetime
    public_key: bytes
    passkey_version: int

    @property
    def user(self) -> UserRow:
        return UserRow(self.id, self.email, self.name, self.created_at)


class OwnKey(Row):
    id: bytes
    public_key: bytes


_passkey_id = parameter("passkey_id", bytes)
_sign_count: Any = parameter("sign_count", BigInteger())
_synced = parameter("synced", bool)
_version = col(Passkey.passkey_version)
_is_this = col(Passkey.id) == _passkey_id
_is_mine_and_good = and_(is_mine, col(UserState.user_id) == user_id, _version == col(UserState.passkey_version))
"""Whether a reset has come since it was made."""

SELECT_FOR_SIGN_IN = Statement(
    select(*user_columns, col(Passkey.public_key), _version).where(
        col(User.id) == user_id, col(UserState.is_active), _is_mine_and_good, _is_this
    ),
    KeyOfUser,
)
SELECT_OWN = UserStatement(select(col(Passkey.id), col(Passkey.public_key)).where(_is_mine_and_good, _is_this), OwnKey)
LIST = UserStatement(
    select(*listed_columns).where(_is_mine_and_good).order_by(col(Passkey.created_at), col(Passkey.id)),
    ListedPasskey,
)

# A challenge is used by a row beside those of sessions. Whoever writes it has used it; it stays a day longer than the
# challenge, as clocks differ.
_used: dict[str, Any] = {name: parameter("challenge_id", UUID) for name in ("id", "session_id")}
_used |= {"user_id": own_id, "reason": constant("challenge"), "denied_at": now}
_used |= {"expires_at": parameter("expires_at", datetime)}
_may_sign_in = and_(
    col(UserState.user_id) == user_id,
    col(UserState.is_active),
    col(UserState.passkey_version) == parameter("proven_version", int),
)
USE_CHALLENGE = Statement(
    insert_from(UserState, DeniedToken, _used, _may_sign_in, key_share=UserState)
    .on_conflict_do_nothing(index_elements=KEY)
    .returning(col(DeniedToken.id)),
    UUID,
    quiet=True,
)
USE_CHALLENGE_IN_SESSION = Statement(
    insert_in_session(DeniedToken, _used).on_conflict_do_nothing(index_elements=KEY).returning(col(DeniedToken.id)),
    UUID,
    quiet=True,
)
SELECT_USED = UserStatement(
    select(col(DeniedToken.id)).where(
        col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == parameter("challenge_id", UUID)
    ),
    UUID,
)
# A copy of a key counts for itself: one of the two falls behind. Those that are synced do not count.
_rises = or_(
    col(Passkey.sign_count) < _sign_count,
    and_(col(Passkey.sign_count) == constant(0), _sign_count == constant(0)),
)
COUNT_USE = Statement(
    update(Passkey)
    .where(is_mine, _is_this, _rises)
    .values(sign_count=_sign_count, synced=_synced, last_used_at=now)
    .returning(col(Passkey.user_id)),
    UUID,
    quiet=True,
)
HAS_FALLEN_BEHIND = Statement(select(col(Passkey.user_id)).where(is_mine, _is_this, ~_rises), UUID)
BEGIN = begin_if(col(UserState.passkey_version) == parameter("proven_version", int))

_how_many: ColumnElement[int] = (
    select(func.count())
    .select_from(Passkey)
    .where(is_mine, _version == col(UserState.passkey_version))
    .correlate(UserState)
    .scalar_subquery()
)
_new: dict[str, Any] = {"user_id": own_id, "id": _passkey_id, "public_key": parameter("public_key", bytes)}
_new |= {"sign_count": _sign_count, "name": parameter("name", str), "synced": _synced}
_new |= {"passkey_version": col(UserState.passkey_version), "created_at": now}
_inserted = insert_in_session(Passkey, _new, _how_many < constant(MAX_PASSKEYS))
# What a reset has made worthless, and not deleted because it was made in that moment, may be made anew.
INSERT = Statement(
    _inserted.on_conflict_do_update(
        index_elements=["user_id", "id"],
        set_={name: _inserted.excluded[name] for name in _new if name not in ("user_id", "id")},
        where=_version < _inserted.excluded.passkey_version,
    ).returning(col(Passkey.created_at)),
    datetime,
    quiet=True,
)
DELETE = UserStatement(delete(Passkey).where(is_mine, _is_this).returning(col(Passkey.id)), bytes)


async def select_for_sign_in(database: Database, user_id: UUID, passkey_id: bytes) -> KeyOfUser | None:
    """Return a key with which this user may sign in, None if there is none."""
    return await database.fetch_one(SELECT_FOR_SIGN_IN, user_id=user_id, passkey_id=passkey_id)


async def select_own(db: UserDatabase, passkey_id: bytes) -> OwnKey | None:
    """Return a key of the user's, None if there is none."""
    return await db.fetch_one(SELECT_OWN, passkey_id=passkey_id)


async def select_passkeys(db: UserDatabase) -> list[ListedPasskey]:
    """Return the user's keys, oldest first."""
    return await db.fetch_all(LIST)


async def use_challenge(database: Database, key: KeyOfUser, challenge: Challenge, now: datetime) -> bool:
    """Use a challenge to sign in; False if it is used, or the key no longer good for that."""
    used = {**_row_of(challenge), "user_id": key.id, "proven_version": key.passkey_version, "now": now}
    return await database.fetch_value(USE_CHALLENGE, **used) is not None


async def use_challenge_in_session(db: UserDatabase, challenge: Challenge) -> bool:
    """Use a challenge that was given to the session; False if it is used, or the session has ended."""
    return await db.write(USE_CHALLENGE_IN_SESSION, **_row_of(challenge), now=db.principal.now) is not None


async def is_used(db: UserDatabase, challenge: Challenge) -> bool:
    """Return whether a challenge is used already."""
    return await db.fetch_one(SELECT_USED, challenge_id=challenge.id) is not None


async def count_use(
    database: Database, user_id: UUID, passkey_id: bytes, *, sign_count: int, synced: bool, now: datetime
) -> bool:
    """Note that a key was used; False if it has fallen behind, or is there no more."""
    use = {"sign_count": sign_count, "synced": synced, "now": now}
    return await database.fetch_value(COUNT_USE, user_id=user_id, passkey_id=passkey_id, **use) is not None


async def has_fallen_behind(database: Database, user_id: UUID, passkey_id: bytes, *, sign_count: int) -> bool:
    """Return whether a key says that it has signed less often than it has, so that there are two."""
    key = {"user_id": user_id, "passkey_id": passkey_id, "sign_count": sign_count}
    return await database.fetch_value(HAS_FALLEN_BEHIND, **key) is not None


async def insert_passkey(
    db: UserDatabase, passkey_id: bytes, *, public_key: bytes, sign_count: int, synced: bool, name: str | None
) -> datetime | None:
    """Return when a new key was made; None if there are too many, it is there, or the session has ended."""
    key = {"passkey_id": passkey_id, "public_key": public_key, "sign_count": sign_count, "synced": synced, "name": name}
    return await db.write_counted(INSERT, **key, now=db.principal.now)


async def delete_passkey(db: UserDatabase, passkey_id: bytes) -> bool:
    """Delete a key of the user's; False if there is none."""
    return await db.fetch_one(DELETE, passkey_id=passkey_id) is not None


def _row_of(challenge: Challenge) -> dict[str, Any]:
    return {"challenge_id": challenge.id, "expires_at": challenge.ends_at + DENYLIST_GRACE}
