"""The SQL of accounts, and nothing else. Each function is one atomic statement."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    String,
    Uuid,
    bindparam,
    cast,
    delete,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import Id, UserRow, user_columns
from app.auth.models import User
from app.core.database.pool import Database
from app.core.database.statement import NoRow, Row, Statement
from app.sessions.repository import END_ALL

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


_account_columns = (*user_columns, col(User.password_hash), col(User.is_active), col(User.token_version))
# An unknown e-mail fetches and reads as many columns as an account: the 9 µs that a row takes could be measured.
_dummy_account = (
    cast(bindparam("dummy_id"), Uuid),
    cast(bindparam("email"), String),
    cast(null(), String),
    cast(bindparam("dummy_created_at"), DateTime(timezone=True)),
    cast(bindparam("dummy_hash"), String),
    true(),
    cast(literal(0), Integer),
)

INSERT_USER = Statement(
    insert(User)
    .values(
        id=bindparam("id"),
        email=bindparam("email"),
        name=bindparam("name"),
        password_hash=bindparam("password_hash"),
        is_active=True,
        token_version=0,
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
    .on_conflict_do_nothing(index_elements=[col(User.email)])
    .returning(*user_columns),
    UserRow,
)
SELECT_ACCOUNT = Statement(
    select(true().label("known"), *_account_columns)
    .where(col(User.email) == bindparam("email"))
    .union_all(select(false().label("known"), *_dummy_account))
    .limit(1),
    Account,
)
UPDATE_PASSWORD_HASH = Statement(
    update(User)
    .where(col(User.id) == bindparam("user_id"), col(User.password_hash) == bindparam("old_hash"))
    .values(password_hash=bindparam("new_hash"))
    .returning(col(User.id)),
    Id,
)
_of_email = col(User.email) == bindparam("which")

# A version that no earlier token has, even if the rows are older (from a dump or a standby): other versions grow by one
# when somebody signs out everywhere, this one counts the seconds since 2020. The column holds it until 2088.
# Without parameters, so that psql can run the text.
_seconds: ColumnElement[int] = literal_column(
    "floor(extract(epoch FROM statement_timestamp() - timestamptz '2020-01-01 00:00Z'))::int"
)
END_EVERY_SESSION = Statement(
    update(User).values(
        token_version=func.greatest(col(User.token_version) + literal_column("1"), _seconds),
        updated_at=func.statement_timestamp(),
    ),
    NoRow,
)
END_SESSIONS_OF = Statement(update(User).where(_of_email).values(**END_ALL).returning(col(User.id)), Id)
UPDATE_ACTIVE = Statement(
    update(User).where(_of_email).values(**END_ALL, is_active=bindparam("active")).returning(col(User.id)), Id
)
DELETE_USER = Statement(delete(User).where(_of_email).returning(col(User.id)), Id)
SELECT_USERS = Statement(
    select(col(User.email), col(User.name), col(User.is_active), col(User.created_at))
    .where(col(User.email) > bindparam("after", type_=String))
    .order_by(col(User.email))
    .limit(bindparam("limit", type_=Integer)),
    ListedUser,
)


async def insert_user(
    database: Database, user_id: UUID, *, email: str, name: str | None, password_hash: str, now: datetime
) -> UserRow | None:
    """Return the new account, or None if the e-mail is taken."""
    return await database.fetch_one(
        INSERT_USER, id=user_id, email=email, name=name, password_hash=password_hash, now=now
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
    return (
        await database.fetch_one(UPDATE_PASSWORD_HASH, user_id=user_id, old_hash=old_hash, new_hash=new_hash)
    ) is not None


async def end_sessions_of(database: Database, email: str, *, now: datetime) -> bool:
    """End every session of one account; False if there is no account."""
    return await database.fetch_one(END_SESSIONS_OF, which=email, now=now) is not None


async def update_active(database: Database, email: str, *, is_active: bool, now: datetime) -> bool:
    """Open or close an account and end its sessions; False if there is no account."""
    return await database.fetch_one(UPDATE_ACTIVE, which=email, active=is_active, now=now) is not None


async def delete_user(database: Database, email: str) -> bool:
    """Delete an account and all that belongs to it; False if there is no account."""
    return await database.fetch_one(DELETE_USER, which=email) is not None


async def select_users(database: Database, *, after: str, limit: int) -> list[ListedUser]:
    """Return the next accounts in order of their e-mail addresses."""
    return await database.fetch_all(SELECT_USERS, after=after, limit=limit)
