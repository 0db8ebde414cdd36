"""The SQL of single tasks. Every statement names the user and checks the session; every write is one statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    Delete,
    Integer,
    String,
    Update,
    Uuid,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import UserStatement, in_active_session, session_is_active, user_id
from app.auth.user_database import UserDatabase
from app.core.database.statement import Statement
from app.tasks.models import Task, TaskRow

# Constants stand in the SQL, so that they are not sent with each request.
_COMPLETED, _PENDING = literal_column("'completed'", String), literal_column("'pending'", String)
is_completed = col(Task.status) == _COMPLETED


def column(field: str) -> Any:
    """Return the column of a task's field."""
    return is_completed.label("completed") if field == "completed" else getattr(Task, field)


task_columns = tuple(column(field) for field in TaskRow.__struct_fields__)

_task_id = bindparam("task_id", type_=Uuid)
_now = bindparam("now", type_=DateTime(timezone=True))
_versions = bindparam("versions", type_=ARRAY(Integer))
_is_mine = (col(Task.user_id) == user_id, col(Task.id) == _task_id)
_is_unchanged = or_(_versions.is_(None), col(Task.version) == any_(_versions))

# What the service decides; the other fields are written as they are sent.
_NEW: dict[str, Any] = {
    "id": _task_id,
    "user_id": user_id,
    "version": literal_column("1", Integer),
    "created_at": _now,
    "updated_at": _now,
}
_TOUCHED: dict[str, Any] = {
    "version": col(Task.version) + 1,
    # A writer that waits for a row lock has read the clock before the wait: the time must not run backwards.
    "updated_at": func.greatest(col(Task.updated_at), _now),
}
_STORED = [field for field in TaskRow.__struct_fields__ if field != "completed"]


def _new_value(field: str) -> Any:
    """Return the parameter with a field's new value; SQLAlchemy keeps the names of columns for itself."""
    return bindparam(f"new_{field}", type_=column(field).type)


# The outermost INSERT, so that it can run on the one machine that holds the user's tasks.
INSERT = Statement(
    insert(Task)
    .from_select(
        _STORED,
        select(*(_NEW.get(field, _new_value(field)) for field in _STORED)).where(*session_is_active()),
    )
    .on_conflict_do_nothing()
    .returning(*task_columns),
    TaskRow,
)
SELECT = UserStatement(select(*task_columns).where(*_is_mine).subquery("work"), TaskRow)


def _change(change: Update | Delete) -> UserStatement[TaskRow]:
    made = change.where(*_is_mine, _is_unchanged, in_active_session).returning(*task_columns)
    return UserStatement(made.cte("work"), TaskRow)


TOGGLE = _change(update(Task).values(status=case((is_completed, _PENDING), else_=_COMPLETED), **_TOUCHED))
DELETE = _change(delete(Task))


@lru_cache(maxsize=1024)
def update_statement(fields: frozenset[str], *, reopen: bool) -> UserStatement[TaskRow]:
    """Compile the UPDATE of these fields, once; `reopen` makes a completed task pending."""
    values = {field: _new_value(field) for field in fields}
    if reopen:
        values["status"] = case((is_completed, _PENDING), else_=col(Task.status))
    return _change(update(Task).values(**values, **_TOUCHED))


async def insert_task(db: UserDatabase, task_id: UUID, values: Mapping[str, Any]) -> TaskRow | None:
    """Return the new task, or None if the id is in use or the session not active."""
    return await db.insert(INSERT, task_id=task_id, now=db.principal.now, **_parameters(values))


async def select_task(db: UserDatabase, task_id: UUID) -> TaskRow | None:
    """Return the task, or None if this user has none with this id."""
    return await db.fetch_one(SELECT, task_id=task_id)


async def update_task(
    db: UserDatabase, task_id: UUID, values: Mapping[str, Any], *, reopen: bool, versions: Sequence[int] | None
) -> TaskRow | None:
    """Return the changed task, or None if this user has none with one of these versions."""
    statement = update_statement(frozenset(values), reopen=reopen)
    now = db.principal.now
    return await db.fetch_one(statement, task_id=task_id, versions=versions, now=now, **_parameters(values))


async def toggle_task(db: UserDatabase, task_id: UUID, *, versions: Sequence[int] | None) -> TaskRow | None:
    """Return the changed task, or None as for an update."""
    return await db.fetch_one(TOGGLE, task_id=task_id, versions=versions, now=db.principal.now)


async def delete_task(db: UserDatabase, task_id: UUID, *, versions: Sequence[int] | None) -> TaskRow | None:
    """Return the deleted task, or None as for an update."""
    return await db.fetch_one(DELETE, task_id=task_id, versions=versions)


def _parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{field}": value for field, value in values.items()}
