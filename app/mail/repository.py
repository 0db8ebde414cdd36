"""The SQL of addresses, and nothing else. Each function is one atomic statement."""

from datetime import datetime
from typing import Any

from psycopg import errors
from sqlalchemy import func, select, update
from sqlmodel import col

from app.accounts.errors import EmailTaken
from app.auth.active_session import Credentials, caller, in_active_session, user_id
from app.auth.models import User
from app.auth.principal import Principal
from app.core.database.pool import Database
from app.core.database.sql import now, parameter
from app.core.database.statement import Row, Statement


class Address(Row):
    email: str
    verified_at: datetime | None


_columns: Any = (col(User.email), col(User.email_verified_at).label("verified_at"))
SELECT_ADDRESS = Statement(select(*_columns).where(col(User.id) == user_id, in_active_session), Address)
# Whether the session is active is asked before, with the address and the version of the password that these name.
_is_as_read = (
    col(User.id) == user_id,
    col(User.email) == parameter("email", str),
    col(User.password_version) == parameter("password_version", int),
)
VERIFY = Statement(
    update(User)
    .where(*_is_as_read)
    .values(email_verified_at=func.coalesce(col(User.email_verified_at), now), updated_at=now)
    .returning(*_columns),
    Address,
)
CHANGE = Statement(
    update(User)
    .where(*_is_as_read)
    .values(email=parameter("new_email", str), email_verified_at=now, updated_at=now)
    .returning(*_columns),
    Address,
)


async def select_address(database: Database, principal: Principal) -> Address | None:
    """Return the address of an account, and when it was proven; None without an active session."""
    return await database.fetch_one(SELECT_ADDRESS, **caller(principal))


async def verify(database: Database, of: Credentials, now: datetime) -> Address | None:
    """Note that the address is proven; None if it or the password has changed since they were read."""
    return await database.fetch_one(VERIFY, **_as_read(of), now=now)


async def change(database: Database, of: Credentials, *, new_email: str, now: datetime) -> Address | None:
    """Replace the address by one that is proven; None if it or the password has changed since they were read.

    Raises: EmailTaken.
    """
    try:
        return await database.fetch_one(CHANGE, **_as_read(of), new_email=new_email, now=now)
    except errors.UniqueViolation:
        raise EmailTaken from None


def _as_read(of: Credentials) -> dict[str, Any]:
    return {"user_id": of.id, "email": of.email, "password_version": of.password_version}
