"""The SQL of tasks, and nothing else. Every statement names the owner; every write is one statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Integer,
    String,
    Uuid,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.selectable import HasCTE
from sqlmodel import col

from app.auth.active_session import only_if_active, owner
from app.auth.user_database import Caller
from app.core.database.pool import Statement
from app.tasks.models import Priority, Status, Task


class TaskRow(NamedTuple):
    id: UUID
    user_id: UUID
    title: str
    description: str | None
    completed: bool
    status: Status
    priority: Priority
    version: int
    created_at: datetime
    updated_at: datetime


class Changes(NamedTuple):
    """New values; None leaves the old one, except for the description, which `set_description` decides."""

    title: str | None
    set_description: bool
    description: str | None
    status: Status | None
    reopen: bool
    priority: Priority | None


is_completed = col(Task.status) == "completed"
task_columns = (
    col(Task.id),
    col(Task.user_id),
    col(Task.title),
    col(Task.description),
    is_completed.label("completed"),
    col(Task.status),
    col(Task.priority),
    col(Task.version),
    col(Task.created_at),
    col(Task.updated_at),
)
_mine = (col(Task.id) == bindparam("task_id", type_=Uuid), col(Task.user_id) == owner)
_now = bindparam("now", type_=DateTime(timezone=True))
_versions = bindparam("versions", type_=ARRAY(Integer))
_unchanged = or_(_versions.is_(None), col(Task.version) == any_(_versions))
_touched: dict[str, Any] = {
    "version": col(Task.version) + 1,
    # Writers that wait for each other's row lock took their time before: it never runs backwards.
    "updated_at": func.greatest(col(Task.updated_at), _now),
}


def _statement(
    work: HasCTE,
) -> Statement[TaskRow]:
    return Statement(only_if_active(work.cte("work")), TaskRow)


INSERT = _statement(
    insert(Task)
    .from_select(
        ["id", "user_id", "title", "description", "status", "priority", "version", "created_at", "updated_at"],
        select(
            bindparam("task_id", type_=Uuid),
            owner,
            bindparam("title", type_=String),
            bindparam("description", type_=String),
            bindparam("status", type_=String),
            bindparam("priority", type_=String),
            literal(1, Integer),
            _now,
            _now,
        ).where(owner.is_not(None)),
    )
    .on_conflict_do_nothing(index_elements=[col(Task.id)])
    .returning(*task_columns)
)
SELECT = _statement(select(*task_columns).where(*_mine))
UPDATE = _statement(
    update(Task)
    .where(*_mine, _unchanged)
    .values(
        title=func.coalesce(bindparam("new_title", type_=String), col(Task.title)),
        description=case(
            (bindparam("set_description", type_=Boolean), bindparam("new_description", type_=String)),
            else_=col(Task.description),
        ),
        status=case(
            (bindparam("reopen", type_=Boolean) & is_completed, "pending"),
            else_=func.coalesce(bindparam("new_status", type_=String), col(Task.status)),
        ),
        priority=func.coalesce(bindparam("new_priority", type_=String), col(Task.priority)),
        **_touched,
    )
    .returning(*task_columns)
)
TOGGLE = _statement(
    update(Task)
    .where(*_mine, _unchanged)
    .values(status=case((is_completed, "pending"), else_="completed"), **_touched)
    .returning(*task_columns)
)
DELETE = _statement(delete(Task).where(*_mine, _unchanged).returning(*task_columns))


async def insert_task(
    caller: Caller, task_id: UUID, *, title: str, description: str | None, status: Status, priority: Priority
) -> TaskRow | None:
    """Give the new task, or None if the id is in use."""
    return await caller.fetch_one(
        INSERT,
        task_id=task_id,
        title=title,
        description=description,
        status=status,
        priority=priority,
        now=caller.now,
    )


async def select_task(caller: Caller, task_id: UUID) -> TaskRow | None:
    return await caller.fetch_one(SELECT, task_id=task_id)


async def update_task(
    caller: Caller, task_id: UUID, changes: Changes, *, versions: Sequence[int] | None
) -> TaskRow | None:
    """Give the changed task, or None if there is none of this user with one of these versions."""
    return await caller.fetch_one(
        UPDATE,
        task_id=task_id,
        versions=versions,
        now=caller.now,
        new_title=changes.title,
        set_description=changes.set_description,
        new_description=changes.description,
        new_status=changes.status,
        reopen=changes.reopen,
        new_priority=changes.priority,
    )


async def toggle_task(caller: Caller, task_id: UUID, *, versions: Sequence[int] | None) -> TaskRow | None:
    return await caller.fetch_one(TOGGLE, task_id=task_id, versions=versions, now=caller.now)


async def delete_task(caller: Caller, task_id: UUID, *, versions: Sequence[int] | None) -> TaskRow | None:
    return await caller.fetch_one(DELETE, task_id=task_id, versions=versions)
