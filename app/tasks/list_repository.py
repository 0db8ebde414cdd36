"""The SQL of the task list: filtered, sorted and paged in any combination, each compiled once."""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    String,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    null,
    select,
    tuple_,
)
from sqlmodel import col

from app.core.database import Database, Statement
from app.tasks.models import Order, Priority, Sort, Status, Task
from app.tasks.repository import is_completed, owner, task_columns


class ListedTask(NamedTuple):
    """A task in a list, with what it was sorted by as text, and how many tasks match in all (if asked)."""

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
    sort_key: str
    total: int | None


class Count(NamedTuple):
    total: int


class Shape(NamedTuple):
    """What makes one list statement differ from another, apart from its values."""

    completed: bool | None
    by_status: bool
    by_priority: bool
    by_text: bool
    sort: Sort
    order: Order
    counted: bool
    after: bool


_rank = case((col(Task.priority) == "high", 3), (col(Task.priority) == "medium", 2), else_=1)
_SORT_KEYS: dict[Sort, tuple[Any, Any]] = {
    "created_at": (col(Task.created_at), DateTime(timezone=True)),
    "updated_at": (col(Task.updated_at), DateTime(timezone=True)),
    "priority": (_rank, Integer),
    "title": (func.lower(col(Task.title)), String),
}


def _filters(shape: Shape) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [col(Task.user_id) == owner]
    if shape.completed is not None:
        filters.append(is_completed if shape.completed else col(Task.status) != "completed")
    if shape.by_status:
        filters.append(col(Task.status) == bindparam("status", type_=String))
    if shape.by_priority:
        filters.append(col(Task.priority) == bindparam("priority", type_=String))
    if shape.by_text:
        needle = func.lower(bindparam("text", type_=String))
        filters.append(func.strpos(func.lower(col(Task.title)), needle) > 0)
    return filters


@lru_cache(maxsize=256)
def _list_statement(shape: Shape) -> Statement[ListedTask]:
    key, key_type = _SORT_KEYS[shape.sort]
    filters = _filters(shape)
    total = select(func.count()).select_from(Task).where(*filters).scalar_subquery() if shape.counted else null()
    statement = select(*task_columns, cast(key, Text), cast(total, Integer)).where(*filters)
    if shape.after:
        here = tuple_(key, col(Task.id))
        last = tuple_(bindparam("after_key", type_=key_type), bindparam("after_id", type_=Uuid))
        statement = statement.where(here < last if shape.order == "desc" else here > last)
    direction = "desc" if shape.order == "desc" else "asc"
    statement = statement.order_by(getattr(key, direction)(), getattr(col(Task.id), direction)())
    limit, offset = bindparam("limit", type_=Integer), bindparam("offset", type_=Integer)
    return Statement(statement.limit(limit).offset(offset), ListedTask)


@lru_cache(maxsize=64)
def _count_statement(shape: Shape) -> Statement[Count]:
    return Statement(select(func.count()).select_from(Task).where(*_filters(shape)), Count)


async def select_tasks(database: Database, user_id: UUID, shape: Shape, **values: Any) -> list[ListedTask]:
    """Give the user's tasks of this shape.

    Its values: status, priority, text, after_key, after_id, and always limit and offset.
    """
    return await database.fetch_all(_list_statement(shape), user_id=user_id, **values)


async def count_tasks(database: Database, user_id: UUID, shape: Shape, **values: Any) -> int:
    counted = await database.fetch_one(_count_statement(shape), user_id=user_id, **values)
    return counted.total if counted else 0
