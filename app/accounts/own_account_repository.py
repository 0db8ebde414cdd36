"""The SQL with which people change their own accounts. Each function is one atomic statement."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, bindparam, delete, select, update
from sqlmodel import col

from app.auth.active_session import Id, UserRow, user_columns, user_id
from app.auth.models import User
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.core.database.pool import Database
from app.core.database.statement import Row, Statement
from app.sessions.repository import END_ALL


class Version(Row):
    token_version: int


class Email(Row):
    email: str


# Changes of one's own account. Whether the session is active is asked before: no statement can read the denylist, which
# may be divided among nodes, and change what each has a copy of. These name the version, so that of several at once one
# wins; a session that ends in the same moment stays ended, because its new tokens are of the same session.
_is_mine = (
    col(User.id) == user_id,
    col(User.token_version) == bindparam("old_version", type_=Integer),
    col(User.is_active),
)
_has_password = col(User.password_hash) == bindparam("old_hash", type_=String)
_new_password: dict[str, Any] = {"password_hash": bindparam("new_hash", type_=String), **END_ALL}

UPDATE_NAME = Statement(
    update(User)
    .where(*_is_mine)
    .values(name=bindparam("new_name", type_=String), updated_at=bindparam("now"))
    .returning(*user_columns),
    UserRow,
)
CHANGE_PASSWORD = Statement(
    update(User).where(*_is_mine, _has_password).values(**_new_password).returning(col(User.token_version)), Version
)
RESET_PASSWORD = Statement(
    update(User).where(*_is_mine).values(**_new_password).returning(col(User.token_version)), Version
)
DELETE_MYSELF = Statement(delete(User).where(*_is_mine, _has_password).returning(col(User.id)), Id)
SELECT_EMAIL = Statement(select(col(User.email)).where(*_is_mine), Email)


async def update_name(database: Database, principal: Principal, name: str | None) -> UserRow | None:
    """Rename a user; None if all of the user's sessions have ended."""
    return await database.fetch_one(
        UPDATE_NAME,
        user_id=principal.user_id,
        old_version=principal.token_version,
        new_name=name,
        now=principal.now,
    )


async def change_password(database: Database, principal: Principal, *, old_hash: str, new_hash: str) -> int | None:
    """Change the password and end every session; return the new version, None if somebody was here before."""
    changed = await database.fetch_one(
        CHANGE_PASSWORD,
        user_id=principal.user_id,
        old_version=principal.token_version,
        old_hash=old_hash,
        new_hash=new_hash,
        now=principal.now,
    )
    return changed.token_version if changed else None


async def delete_myself(database: Database, principal: Principal, *, old_hash: str) -> bool:
    """Delete an account and all that belongs to it; False if it or its password has changed meanwhile."""
    deleted = await database.fetch_one(
        DELETE_MYSELF, user_id=principal.user_id, old_version=principal.token_version, old_hash=old_hash
    )
    return deleted is not None


async def select_email(database: Database, claims: Claims) -> str | None:
    """Return the address of an active account that has the token's version."""
    found = await database.fetch_one(SELECT_EMAIL, user_id=claims.user_id, old_version=claims.token_version)
    return found.email if found else None


async def reset_password(database: Database, claims: Claims, *, new_hash: str, now: datetime) -> bool:
    """Change the password and end every session, unless the account is not active or of another version."""
    changed = await database.fetch_one(
        RESET_PASSWORD, user_id=claims.user_id, old_version=claims.token_version, new_hash=new_hash, now=now
    )
    return changed is not None
