"""The SQL of single tasks. Every statement names the user and checks the session; every write is one statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Update,
    Uuid,
    any_,
    bindparam,
    case,
    delete,
    exists,
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
from app.tasks.models import DeletedTask, Task, TaskRow, TaskTombstone

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

_this_transaction = func.pg_current_xact_id()

# What the service decides; the other fields are written as they are sent.
_NEW: dict[str, Any] = {
    "id": _task_id,
    "user_id": user_id,
    "version": literal_column("1", Integer),
    "created_at": _now,
    "updated_at": _now,
    "changed": _this_transaction,
}
_TOUCHED: dict[str, Any] = {
    "version": col(Task.version) + 1,
    # A writer that waits for a row lock has read the clock before the wait: the time must not run backwards.
    "updated_at": func.greatest(col(Task.updated_at), _now),
    "changed": _this_transaction,
}
_STORED = [*(field for field in TaskRow.__struct_fields__ if field != "completed"), "changed"]


def _new_value(field: str) -> Any:
    """Return the parameter with a field's new value; SQLAlchemy keeps the names of columns for itself."""
    return bindparam(f"new_{field}", type_=column(field).type)


def _insert(conditions: Sequence[ColumnElement[bool]] = (), **values: ColumnElement[Any]) -> Statement[TaskRow]:
    # The outermost INSERT, so that it can run on the one machine that holds the user's tasks.
    new = _NEW | values
    row = select(*(new.get(field, _new_value(field)) for field in _STORED)).where(*session_is_active(), *conditions)
    statement = insert(Task).from_select(_STORED, row).on_conflict_do_nothing().returning(*task_columns)
    return Statement(statement, TaskRow)


INSERT = _insert()
# An id that was in use goes on with its versions: a client that was offline would take version 1 for an old one, and an
# `If-Match` of the deleted task must not match. Without the condition, a statement that waits for the deletion would
# not see the tombstone.
_deleted_version = (
    select(col(TaskTombstone.version))
    .where(col(TaskTombstone.user_id) == user_id, col(TaskTombstone.id) == _task_id)
    .scalar_subquery()
)
INSERT_AGAIN = _insert(
    [~exists().where(*_is_mine)], version=func.coalesce(_deleted_version, literal_column("0", Integer)) + 1
)
SELECT = UserStatement(select(*task_columns).where(*_is_mine).subquery("work"), TaskRow)


def _change(change: Update) -> UserStatement[TaskRow]:
    made = change.where(*_is_mine, _is_unchanged, in_active_session).returning(*task_columns)
    return UserStatement(made.cte("work"), TaskRow)


# Outermost for the same reason.
_deleted = (
    delete(Task)
    .where(*_is_mine, _is_unchanged, in_active_session)
    .returning(col(Task.id), col(Task.version))
    .cte("work")
)
_buried = insert(TaskTombstone).from_select(
    ["id", "user_id", "version", "changed", "deleted_at"],
    select(_deleted.c.id, user_id, _deleted.c.version, _this_transaction, func.statement_timestamp()),
)
DELETE = Statement(
    _buried.on_conflict_do_update(
        index_elements=["user_id", "id"],
        set_={name: _buried.excluded[name] for name in ("version", "changed", "deleted_at")},
    ).returning(col(TaskTombstone.id)),
    DeletedTask,
)
TOGGLE = _change(update(Task).values(status=case((is_completed, _PENDING), else_=_COMPLETED), **_TOUCHED))


@lru_cache(maxsize=1024)
def update_statement(fields: frozenset[str], *, reopen: bool) -> UserStatement[TaskRow]:
    """Compile the UPDATE of these fields, once; `reopen` makes a completed task pending."""
    values = {field: _new_value(field) for field in fields}
    if reopen:
        values["status"] = case((is_completed, _PENDING), else_=col(Task.status))
    return _change(update(Task).values(**values, **_TOUCHED))


async def insert_task(db: UserDatabase, task_id: UUID, values: Mapping[str, Any], *, again: bool) -> TaskRow | None:
    """Return the new task, or None if the id is in use or the session not active.

    `again` says that there may have been a task with this id before.
    """
    statement = INSERT_AGAIN if again else INSERT
    return await db.insert(statement, task_id=task_id, now=db.principal.now, **_parameters(values))


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


async def delete_task(db: UserDatabase, task_id: UUID, *, versions: Sequence[int] | None) -> bool:
    """Return whether a task was deleted; not if this user has none with one of these versions, or the session ended."""
    return await db.insert(DELETE, task_id=task_id, versions=versions) is not None


def _parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{field}": value for field, value in values.items()}
