"""The SQL of accounts, and nothing else. Each function is one atomic statement."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import UserRow, caller, in_active_session, is_of_version, user_columns, user_id, user_ids
from app.auth.models import User, UserState
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.core.database.connection import Transaction
from app.core.database.pool import Database
from app.core.database.sql import constant, now, null, parameter
from app.core.database.statement import Row, Statement

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
    password_version: int


class State(Row):
    user_id: UUID
    is_active: bool
    token_version: int


class Addressee(Row):
    email: str
    password_version: int


class ListedUser(Row):
    id: UUID
    email: str
    name: str | None
    created_at: datetime


_email, _name = parameter("email", str), parameter("name", str)
_old_hash, _new_hash = parameter("old_hash", str), parameter("new_hash", str)
_password_version = parameter("password_version", int)
_is_the_user = col(User.id) == user_id
_has_email = col(User.email) == _email

_made = (
    insert(User)
    .values(id=user_id, email=_email, name=_name, password_hash=_new_hash, created_at=now, updated_at=now)
    .on_conflict_do_nothing(index_elements=[col(User.email)])
    .returning(*user_columns)
    .cte("made")
)
# Both rows of an account in one statement.
INSERT_USER = Statement(
    select(*_made.c).add_cte(insert(UserState).from_select(["user_id"], select(_made.c.id)).cte("state")),
    UserRow,
    quiet=True,
)
_account_columns = (*user_columns, col(User.password_hash), col(User.password_version))
# An unknown e-mail fetches and reads as many columns as an account: the 9 µs that a row takes could be measured.
_dummy_account = (
    parameter("dummy_id", UUID),
    _email,
    null(str),
    parameter("dummy_created_at", datetime),
    parameter("dummy_hash", str),
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
    select(col(User.id), col(User.email), col(User.name), col(User.created_at))
    .where(col(User.email) > parameter("after", str))
    .order_by(col(User.email))
    .limit(parameter("limit", int)),
    ListedUser,
)
UPDATE_PASSWORD_HASH = Statement(
    update(User)
    .where(_is_the_user, col(User.password_hash) == _old_hash)
    .values(password_hash=_new_hash)
    .returning(col(User.id)),
    UUID,
)

# Changes of one's own account. Whether the session is active is asked before, with the version of the password that
# these name: of several at once one wins.
_is_as_read = col(UserState.password_version) == _password_version
UPDATE_NAME = Statement(
    update(User)
    .where(_is_the_user, col(User.password_version) == _password_version)
    .values(name=_name, updated_at=now)
    .returning(*user_columns),
    UserRow,
)


def _update_state(*conditions: ColumnElement[bool], **values: Any) -> Statement[State]:
    """Return the UPDATE of who may, which ends every session."""
    ended = col(UserState.token_version) + constant(1)
    updated = update(UserState).where(*conditions).values(token_version=ended, **values)
    return Statement(updated.returning(*_state_columns), State)


_state_columns = (col(UserState.user_id), col(UserState.is_active), col(UserState.token_version))
_new_version = {"password_version": col(UserState.password_version) + constant(1)}
CHANGE_STATE = _update_state(in_active_session, _is_as_read, **_new_version)
# A reset makes passkeys worthless, too: whoever had the account before may have made one.
_new_passkeys = {"passkey_version": col(UserState.passkey_version) + constant(1)}
RESET_STATE = _update_state(and_(is_of_version, col(UserState.is_active)), _is_as_read, **_new_version, **_new_passkeys)


def _update_password(*conditions: ColumnElement[bool], **values: Any) -> Statement[UUID]:
    """Return the UPDATE of a password, after that of who may in the same transaction."""
    values |= {"password_hash": _new_hash, "password_version": _password_version + constant(1), "updated_at": now}
    is_as_read = col(User.password_version) == _password_version
    return Statement(
        update(User).where(_is_the_user, is_as_read, *conditions).values(**values).returning(col(User.id)), UUID
    )


UPDATE_PASSWORD = _update_password()
# By a link that was sent to this address, which is proven by that.
UPDATE_PASSWORD_BY_MAIL = _update_password(_has_email, email_verified_at=now)
SELECT_EMAIL = Statement(
    select(col(User.email), col(User.password_version)).where(_is_the_user, is_of_version, col(UserState.is_active)),
    Addressee,
)

# Leaving: an account is closed for good, what belongs to it is deleted, and then the account.
_left: dict[str, Any] = {"is_active": constant(False), "leaving": constant(True)}
LEAVE = _update_state(in_active_session, _is_as_read, **_left)
_is_of_user = col(UserState.user_id) == user_id
DELETE_STATE = Statement(
    delete(UserState).where(_is_of_user, col(UserState.leaving)).returning(col(UserState.user_id)), UUID
)
DELETE_USER = Statement(delete(User).where(_is_the_user).returning(col(User.id)), UUID)
SELECT_LEAVING = Statement(
    select(col(UserState.user_id)).where(col(UserState.leaving)).limit(parameter("limit", int)), UUID
)

# What operators do.
SELECT_STATE = Statement(select(*_state_columns).where(_is_of_user), State)
SELECT_STATES = Statement(select(*_state_columns).where(col(UserState.user_id) == user_ids.any_()), State)
END_SESSIONS_OF = _update_state(_is_of_user)
UPDATE_ACTIVE = _update_state(_is_of_user, ~col(UserState.leaving), is_active=parameter("is_active", bool))
LEAVE_FOR_OPERATOR = _update_state(_is_of_user, **_left)
# A version that no earlier token has, even if the rows are older (from a dump or a standby): other versions grow by one
# when somebody signs out everywhere, this one counts the seconds since 2020. The column holds it until 2088.
# Text, because psql runs it too.
END_EVERY_SESSION = b"""UPDATE user_state SET token_version = greatest(
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


async def update_name(
    database: Database, user_id: UUID, *, password_version: int, name: str | None, now: datetime
) -> UserRow | None:
    """Rename a user; None if the password has changed since that version of it was read."""
    values = {"user_id": user_id, "password_version": password_version, "name": name, "now": now}
    return await database.fetch_one(UPDATE_NAME, **values)


async def change_password(
    transaction: Transaction, principal: Principal, *, password_version: int, new_hash: str
) -> int | None:
    """Change the password and end every session; return the new version of tokens, None if somebody was here before."""
    state = await transaction.fetch_one(CHANGE_STATE, **caller(principal), password_version=password_version)
    is_written = state and await _write_password(transaction, state, password_version, new_hash, principal.now)
    return state.token_version if state and is_written else None


async def reset_password(
    transaction: Transaction, claims: Claims, *, password_version: int, new_hash: str, now: datetime
) -> bool:
    """Change the password and end every session, unless the account is not active, of another version or address."""
    state = await transaction.fetch_one(RESET_STATE, **caller(claims), password_version=password_version)
    return state is not None and await _write_password(
        transaction, state, password_version, new_hash, now, by_mail_to=claims.email
    )


async def _write_password(
    transaction: Transaction,
    state: State,
    password_version: int,
    new_hash: str,
    now: datetime,
    *,
    by_mail_to: str | None = None,
) -> bool:
    values = {"user_id": state.user_id, "password_version": password_version, "new_hash": new_hash, "now": now}
    if by_mail_to is None:
        return await transaction.fetch_value(UPDATE_PASSWORD, **values) is not None
    return await transaction.fetch_value(UPDATE_PASSWORD_BY_MAIL, **values, email=by_mail_to) is not None


async def leave(database: Database, principal: Principal, *, password_version: int) -> bool:
    """Close one's account for good; False if it or its password has changed meanwhile."""
    return await database.fetch_one(LEAVE, **caller(principal), password_version=password_version) is not None


async def select_addressee(database: Database, claims: Claims) -> Addressee | None:
    """Return the address of an active account that has the token's version, and the version of its password."""
    return await database.fetch_one(SELECT_EMAIL, **caller(claims))


async def select_state(database: Database, user_id: UUID) -> State | None:
    """Return what a user may."""
    return await database.fetch_one(SELECT_STATE, user_id=user_id)


async def end_sessions_of(database: Database, user_id: UUID) -> bool:
    """End every session of one account; False if there is no account."""
    return await database.fetch_one(END_SESSIONS_OF, user_id=user_id) is not None


async def update_active(database: Database, user_id: UUID, *, is_active: bool) -> bool:
    """Open or close an account and end its sessions; False if there is none, or it is being deleted."""
    return await database.fetch_one(UPDATE_ACTIVE, user_id=user_id, is_active=is_active) is not None


async def leave_for_operator(database: Database, user_id: UUID) -> bool:
    """Close an account for good; False if there is none."""
    return await database.fetch_one(LEAVE_FOR_OPERATOR, user_id=user_id) is not None


async def select_leaving(database: Database, *, limit: int) -> list[UUID]:
    """Return accounts that were closed for good and are still there."""
    return await database.fetch_all(SELECT_LEAVING, limit=limit)


async def delete_user(transaction: Transaction, user_id: UUID) -> None:
    """Delete an account that was closed for good: first who may, which waits for whoever is writing for it."""
    if await transaction.fetch_value(DELETE_STATE, user_id=user_id):
        await transaction.fetch_value(DELETE_USER, user_id=user_id)


async def select_users(database: Database, *, after: str, limit: int) -> list[tuple[ListedUser, bool]]:
    """Return the next accounts in order of their e-mail addresses, each with whether it is active."""
    users = await database.fetch_all(SELECT_USERS, after=after, limit=limit)
    states = await database.fetch_all(SELECT_STATES, user_ids=[user.id for user in users])
    active = {state.user_id for state in states if state.is_active}
    return [(user, user.id in active) for user in users]
