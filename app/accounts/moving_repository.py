"""The SQL of moving in and of taking everything along. Each statement is atomic."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import user_id, user_ids
from app.auth.models import User, UserState
from app.core.database.sql import now, parameter
from app.core.database.statement import Row, Statement


class Taken(Row):
    email: str
    id: UUID


class ExportedAccount(Row):
    id: UUID
    email: str
    name: str | None
    created_at: datetime
    updated_at: datetime
    email_verified_at: datetime | None
    is_active: bool


_emails = parameter("emails", list[str])
_values = {
    "id": func.unnest(user_ids),
    "email": func.unnest(_emails),
    "name": func.unnest(parameter("names", list[str])),
    "password_hash": func.unnest(parameter("hashes", list[str])),
    "created_at": func.unnest(parameter("created", list[datetime])),
    "updated_at": now,
}
_moved_in = (
    insert(User)
    .from_select(list(_values), select(*(value.label(name) for name, value in _values.items())))
    .on_conflict_do_nothing(index_elements=[col(User.email)])
    .returning(col(User.id))
    .cte("moved_in")
)
INSERT_USERS = Statement(
    select(_moved_in.c.id).add_cte(insert(UserState).from_select(["user_id"], select(_moved_in.c.id)).cte("state")),
    UUID,
)
SELECT_TAKEN = Statement(select(col(User.email), col(User.id)).where(col(User.email) == _emails.any_()), Taken)
EXPORT_ACCOUNT = Statement(
    select(
        *(col(User.id), col(User.email), col(User.name), col(User.created_at), col(User.updated_at)),
        *(col(User.email_verified_at), col(UserState.is_active)),
    ).where(col(User.id) == user_id, col(UserState.user_id) == user_id),
    ExportedAccount,
)
