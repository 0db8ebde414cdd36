"""The SQL of single tasks. Every statement names the user and checks the session; every write is one statement."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, or_, select, update
from sqlmodel import col

from app.auth.active_session import UserStatement, insert_in_session, own_id, this_transaction, user_id, work
from app.auth.user_database import UserDatabase
from app.core.database.sql import constant, delete_some, insert_from, now, parameter
from app.core.database.statement import Statement
from app.tasks.etags import Precondition
from app.tasks.models import Task, TaskRow, TaskTombstone
from app.tasks.schemas import Contradiction

is_mine = col(Task.user_id) == user_id
is_completed = col(Task.status) == constant("completed")


def column(field: str) -> Any:
    """Return the column of a task's field."""
    return is_completed.label("completed") if field == "completed" else getattr(Task, field)


task_columns = tuple(column(field) for field in TaskRow.__struct_fields__)

_task_id = parameter("task_id", UUID)
_versions, _excluded = parameter("versions", list[int]), parameter("excluded", list[int])
_is_asked_for = (is_mine, col(Task.id) == _task_id)
_is_meant = and_(or_(_versions.is_(None), col(Task.version) == _versions.any_()), col(Task.version) != _excluded.all_())


# What the service decides; the other fields are written as they are sent.
_NEW: dict[str, Any] = {
    "id": _task_id,
    "user_id": own_id,
    "version": constant(1),
    "created_at": now,
    "updated_at": now,
    "changed": func.this_transaction(own_id),
}
_TOUCHED: dict[str, Any] = {
    "version": col(Task.version) + constant(1),
    # A writer that waits for a row lock has read the clock before the wait: the time must not run backwards.
    "updated_at": func.greatest(col(Task.updated_at), now),
    "changed": this_transaction,
}
_STORED = [*(field for field in TaskRow.__struct_fields__ if field != "completed"), "changed"]


def _sent(field: str) -> ColumnElement[Any]:
    return parameter(field, column(field).type)


def _insert(*conditions: ColumnElement[bool], **values: ColumnElement[Any]) -> Statement[TaskRow]:
    # The outermost INSERT, so that it can run on the one machine that holds the user's tasks.
    new = _NEW | values
    row = {field: new[field] if field in new else _sent(field) for field in _STORED}
    made = insert_in_session(Task, row, *conditions)
    return Statement(made.on_conflict_do_nothing().returning(*task_columns), TaskRow)


INSERT = _insert()
# An id that was in use goes on with its versions: a client that was offline would take version 1 for an old one, and an
# `If-Match` of the deleted task must not match. While the task is visible nothing is inserted and the service asks
# again; otherwise it would wait for the deletion and then miss the tombstone.
_deleted_version = (
    select(col(TaskTombstone.version))
    .where(col(TaskTombstone.user_id) == user_id, col(TaskTombstone.id) == _task_id)
    .scalar_subquery()
)
INSERT_AGAIN = _insert(
    ~exists().where(*_is_asked_for), version=func.coalesce(_deleted_version, constant(0)) + constant(1)
)
# No more of them than are asked for, whatever there is.
_some = select(constant(1).label("one")).select_from(Task).where(is_mine).limit(parameter("most", int)).subquery("some")
COUNT = UserStatement(select(func.count().label("tasks")).select_from(_some), int)
SELECT = UserStatement(select(*task_columns).where(*_is_asked_for), TaskRow)


def _change(values: Mapping[str, Any], *conditions: ColumnElement[bool]) -> UserStatement[TaskRow]:
    change = update(Task).where(*_is_asked_for, _is_meant, *conditions).values(_TOUCHED | dict(values))
    return UserStatement(change.returning(*task_columns), TaskRow)


_pending = constant("pending")
_toggled: dict[str, Any] = {"status": case((is_completed, _pending), else_=constant("completed"))}
TOGGLE = _change(_toggled)
# Writes the row as it is if it has this state already: only a statement that holds the row's lock knows.
_is_so = is_completed == parameter("completed", bool)
SET_COMPLETED = _change(
    {name: case((_is_so, getattr(Task, name)), else_=value) for name, value in (_toggled | _TOUCHED).items()}
)


@cache
def update_statement(
    fields: frozenset[str], *, reopen: bool = False, contradicts: bool = False
) -> UserStatement[TaskRow]:
    """Compile the UPDATE of these fields, once.

    `reopen` makes a completed task pending. With `contradicts`, `status` and `completed` say different things: the one
    that differs from what is stored counts, and nothing is written if both do.
    """
    values: dict[str, Any] = {field: _sent(field) for field in fields}
    if reopen:
        values["status"] = case((is_completed, _pending), else_=col(Task.status))
    if not contradicts:
        return _change(values)
    status, version_read = _sent("status"), parameter("version_read", int)
    is_stored = col(Task.status) == status
    return _change(
        values | {"status": case((is_stored, _toggled["status"]), else_=status)},
        or_(is_stored, _is_so),
        or_(version_read.is_(None), col(Task.version) == version_read),
    )


# Outermost for the same reason.
_deleted = work(delete(Task).where(*_is_asked_for, _is_meant).returning(col(Task.id), col(Task.version)))
_key = {"id": _deleted.c.id, "user_id": user_id}
_told = {"version": _deleted.c.version, "changed": func.pg_current_xact_id(), "deleted_at": func.statement_timestamp()}
_buried = insert_from(_deleted, TaskTombstone, _key | _told)
DELETE = Statement(
    _buried.on_conflict_do_update(
        index_elements=list(_key), set_={name: _buried.excluded[name] for name in _told}
    ).returning(col(TaskTombstone.id)),
    UUID,
)


DELETE_SOME = Statement(delete_some(Task, is_mine), UUID)


async def insert_task(db: UserDatabase, task_id: UUID, values: Mapping[str, Any], *, again: bool) -> TaskRow | None:
    """Return the new task, or None if the id is in use or the session not active.

    `again` says that there may have been a task with this id before.
    """
    statement = INSERT_AGAIN if again else INSERT
    return await db.write(statement, task_id=task_id, now=db.principal.now, **values)


async def count_tasks(db: UserDatabase, *, most: int) -> int:
    """Return how many tasks the user has, or `most` if there are more."""
    return await db.fetch_one(COUNT, most=most) or 0


async def select_task(db: UserDatabase, task_id: UUID) -> TaskRow | None:
    """Return the task, or None if this user has none with this id."""
    return await db.fetch_one(SELECT, task_id=task_id)


async def update_task(
    db: UserDatabase,
    task_id: UUID,
    values: Mapping[str, Any],
    *,
    reopen: bool,
    contradiction: Contradiction | None,
    condition: Precondition,
) -> TaskRow | None:
    """Return the changed task, or None if this user has none that meets the condition and decides a contradiction."""
    statement = update_statement(frozenset(values), reopen=reopen, contradicts=contradiction is not None)
    params = {**values, **condition._asdict(), **(contradiction._asdict() if contradiction else {})}
    return await db.fetch_one(statement, task_id=task_id, now=db.principal.now, **params)


async def toggle_task(db: UserDatabase, task_id: UUID, *, condition: Precondition) -> TaskRow | None:
    """Return the changed task, or None as for an update."""
    return await db.fetch_one(TOGGLE, task_id=task_id, **condition._asdict(), now=db.principal.now)


async def set_completed(db: UserDatabase, task_id: UUID, *, completed: bool, condition: Precondition) -> TaskRow | None:
    """Return the task in this state, or None as for an update. One that is in it already is not changed."""
    return await db.fetch_one(
        SET_COMPLETED, task_id=task_id, completed=completed, **condition._asdict(), now=db.principal.now
    )


async def delete_task(db: UserDatabase, task_id: UUID, *, condition: Precondition) -> bool:
    """Return whether a task was deleted; not if this user has none that meets the condition, or the session ended."""
    return await db.write(DELETE, task_id=task_id, **condition._asdict()) is not None
