"""The SQL of accounts, and nothing else. Each function is one atomic statement."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import UserRow, caller, user_columns, user_id
from app.auth.models import User
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.core.database.connection import Statements
from app.core.database.pool import Database
from app.core.database.sql import constant, now, null, parameter
from app.core.database.statement import Row, Statement
from app.sessions.repository import END_ALL, is_of_version

_NOBODY = UUID(int=0)
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


class Account(Row):
    """An account, or with `known` false the dummy that stands in for one that is not there."""

    known: bool
    id: UUID
    email: str
    name: str | None
    created_at: datetime
    password_hash: str
    is_active: bool
    token_version: int


class ListedUser(Row):
    email: str
    name: str | None
    is_active: bool
    created_at: datetime


_email, _name = parameter("email", str), parameter("name", str)
_old_hash, _new_hash = parameter("old_hash", str), parameter("new_hash", str)
_has_email = col(User.email) == _email
_has_password = col(User.password_hash) == _old_hash
_NEW_PASSWORD = {"password_hash": _new_hash, **END_ALL}

INSERT_USER = Statement(
    insert(User)
    .values(
        id=user_id,
        email=_email,
        name=_name,
        password_hash=_new_hash,
        is_active=constant(True),
        token_version=constant(0),
        created_at=now,
        updated_at=now,
    )
    .on_conflict_do_nothing(index_elements=[col(User.email)])
    .returning(*user_columns),
    UserRow,
)
_account_columns = (*user_columns, col(User.password_hash), col(User.is_active), col(User.token_version))
# An unknown e-mail fetches and reads as many columns as an account: the 9 µs that a row takes could be measured.
_dummy_account = (
    parameter("dummy_id", UUID),
    _email,
    null(str),
    parameter("dummy_created_at", datetime),
    parameter("dummy_hash", str),
    constant(True),
    constant(0),
)
SELECT_ACCOUNT = Statement(
    select(constant(True).label("known"), *_account_columns)
    .where(_has_email)
    .union_all(select(constant(False), *_dummy_account))
    .limit(constant(1)),
    Account,
)
SELECT_USERS = Statement(
    select(col(User.email), col(User.name), col(User.is_active), col(User.created_at))
    .where(col(User.email) > parameter("after", str))
    .order_by(col(User.email))
    .limit(parameter("limit", int)),
    ListedUser,
)


def _update(values: dict[str, Any], *conditions: ColumnElement[bool]) -> Statement[int]:
    """Return the UPDATE of an account, which tells its version."""
    updated = update(User).where(*conditions).values(**values)
    return Statement(updated.returning(col(User.token_version)), int)


UPDATE_PASSWORD_HASH = _update({"password_hash": _new_hash}, col(User.id) == user_id, _has_password)

# Changes of one's own account. Whether the session is active is asked before: no statement can read the denylist, which
# may be divided among nodes, and change what each has a copy of. These name the version, so that of several at once one
# wins; a session that ends in the same moment stays ended, because its new tokens are of the same session.
_is_mine = and_(is_of_version, col(User.is_active))
UPDATE_NAME = Statement(
    update(User).where(_is_mine).values(name=_name, updated_at=now).returning(*user_columns), UserRow
)
CHANGE_PASSWORD = _update(_NEW_PASSWORD, _is_mine, _has_password)
RESET_PASSWORD = _update(_NEW_PASSWORD, _is_mine)
DELETE_MYSELF = Statement(delete(User).where(_is_mine, _has_password).returning(col(User.id)), UUID)
SELECT_EMAIL = Statement(select(col(User.email)).where(_is_mine), str)

# What operators do.
END_SESSIONS_OF = _update(END_ALL, _has_email)
UPDATE_ACTIVE = _update({"is_active": parameter("is_active", bool), **END_ALL}, _has_email)
DELETE_USER = Statement(delete(User).where(_has_email).returning(col(User.id)), UUID)
# A version that no earlier token has, even if the rows are older (from a dump or a standby): other versions grow by one
# when somebody signs out everywhere, this one counts the seconds since 2020. The column holds it until 2088.
# Text, because psql runs it too.
END_EVERY_SESSION = b"""UPDATE users SET updated_at = statement_timestamp(), token_version = greatest(
    token_version + 1, floor(extract(epoch FROM statement_timestamp() - timestamptz '2020-01-01 00:00Z'))::int)"""


async def insert_user(
    database: Database, user_id: UUID, *, email: str, name: str | None, password_hash: str, now: datetime
) -> UserRow | None:
    """Return the new account, or None if the e-mail is taken."""
    return await database.fetch_one(
        INSERT_USER, user_id=user_id, email=email, name=name, new_hash=password_hash, now=now
    )


async def select_account(database: Database, email: str, *, dummy_hash: str) -> Account:
    """Return the account of a normalised e-mail; if there is none, a dummy with this hash."""
    account = await database.fetch_one(
        SELECT_ACCOUNT, email=email, dummy_hash=dummy_hash, dummy_id=_NOBODY, dummy_created_at=_NEVER
    )
    assert account is not None
    return account


async def update_password_hash(database: Database, user_id: UUID, *, old_hash: str, new_hash: str) -> bool:
    """Replace a hash, unless somebody else has replaced it already."""
    parameters = {"user_id": user_id, "old_hash": old_hash, "new_hash": new_hash}
    return await database.fetch_value(UPDATE_PASSWORD_HASH, **parameters) is not None


async def update_name(database: Database, principal: Principal, name: str | None) -> UserRow | None:
    """Rename a user; None if all of the user's sessions have ended."""
    return await database.fetch_one(UPDATE_NAME, **caller(principal), name=name, now=principal.now)


async def change_password(database: Statements, principal: Principal, *, old_hash: str, new_hash: str) -> int | None:
    """Change the password and end every session; return the new version, None if somebody was here before."""
    return await database.fetch_value(
        CHANGE_PASSWORD, **caller(principal), old_hash=old_hash, new_hash=new_hash, now=principal.now
    )


async def delete_myself(database: Database, principal: Principal, *, old_hash: str) -> bool:
    """Delete an account and all that belongs to it; False if it or its password has changed meanwhile."""
    return await database.fetch_value(DELETE_MYSELF, **caller(principal), old_hash=old_hash) is not None


async def select_email(database: Database, claims: Claims) -> str | None:
    """Return the address of an active account that has the token's version."""
    return await database.fetch_value(SELECT_EMAIL, **caller(claims))


async def reset_password(database: Database, claims: Claims, *, new_hash: str, now: datetime) -> bool:
    """Change the password and end every session, unless the account is not active or of another version."""
    return await database.fetch_value(RESET_PASSWORD, **caller(claims), new_hash=new_hash, now=now) is not None


async def end_sessions_of(database: Database, email: str, *, now: datetime) -> bool:
    """End every session of one account; False if there is no account."""
    return await database.fetch_value(END_SESSIONS_OF, email=email, now=now) is not None


async def update_active(database: Database, email: str, *, is_active: bool, now: datetime) -> bool:
    """Open or close an account and end its sessions; False if there is no account."""
    return await database.fetch_value(UPDATE_ACTIVE, email=email, is_active=is_active, now=now) is not None


async def delete_user(database: Database, email: str) -> bool:
    """Delete an account and all that belongs to it; False if there is no account."""
    return await database.fetch_value(DELETE_USER, email=email) is not None


async def select_users(database: Database, *, after: str, limit: int) -> list[ListedUser]:
    """Return the next accounts in order of their e-mail addresses."""
    return await database.fetch_all(SELECT_USERS, after=after, limit=limit)
