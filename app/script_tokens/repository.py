"""The SQL of script tokens: how one begins. Its end and the list are those of all sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlmodel import col

from app.auth.active_session import UserStatement, insert_in_session, is_active, own_id, token_version, user_id
from app.auth.models import DeniedToken, UserState
from app.auth.user_database import UserDatabase
from app.core.database.sql import constant, now, parameter
from app.core.database.statement import Statement
from app.sessions.models import Session
from app.sessions.repository import MAX_SCRIPT_TOKENS

_has_ended = exists().where(col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == col(Session.id), ~is_active)
_living_scripts = (
    select(func.count().label("tokens"))
    .select_from(Session)
    .where(
        col(Session.user_id) == user_id,
        col(Session.kind) == constant("script"),
        col(Session.token_version) == token_version,
        col(Session.expires_at) > now,
        ~_has_ended,
    )
)
COUNT = UserStatement(_living_scripts, int)
# It asks whether the password is still that which was verified.
_begun: dict[str, Any] = {"user_id": own_id, "id": parameter("script_id", UUID), "created_at": now}
_begun |= {"device": parameter("name", str), "token_version": col(UserState.token_version)}
_begun |= {"kind": constant("script"), "scopes": parameter("scopes", list[str])}
_begun |= {"expires_at": parameter("expires_at", datetime)}
BEGIN_SCRIPT = Statement(
    insert_in_session(
        Session,
        _begun,
        col(UserState.password_version) == parameter("password_version", int),
        _living_scripts.scalar_subquery() < constant(MAX_SCRIPT_TOKENS),
    ).returning(col(Session.id)),
    UUID,
    quiet=True,
)


async def has_room(db: UserDatabase) -> bool:
    """Return whether the user may have another token."""
    tokens = await db.fetch_one(COUNT, now=db.principal.now)
    return tokens is not None and tokens < MAX_SCRIPT_TOKENS


async def insert_token(
    db: UserDatabase, script_id: UUID, *, name: str, scopes: Sequence[str], expires_at: datetime, password_version: int
) -> bool:
    """Write a script's session down.

    False if the caller's has ended, the password is another by now, or there are too many.
    """
    script: dict[str, Any] = {"script_id": script_id, "name": name, "scopes": list(scopes), "expires_at": expires_at}
    script |= {"password_version": password_version, "now": db.principal.now}
    return await db.write_counted(BEGIN_SCRIPT, **script) is not None
