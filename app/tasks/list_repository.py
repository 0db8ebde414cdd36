"""The SQL of the task list: filtered, sorted and paged in any combination, each compiled once."""

from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Integer,
    String,
    Subquery,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    select,
    tuple_,
)
from sqlmodel import col

from app.auth.active_session import UserStatement, user_id
from app.auth.user_database import UserDatabase
from app.tasks.models import Order, Sort, Task, TaskRow
from app.tasks.repository import is_completed, task_columns

SHAPES = 2048  # more than there are: none is compiled twice


class ListShape(NamedTuple):
    """What makes one list statement differ from another, apart from its values."""

    completed: bool | None
    by_status: bool
    by_priority: bool
    by_text: bool
    sort: Sort
    order: Order
    counted: bool
    after: bool


class TaskSlice(NamedTuple):
    """At most `limit` tasks, the last of them if there are more, and how many match in all (if asked)."""

    tasks: list[TaskRow]
    last: TaskRow | None
    total: int | None


# What a field that is null sorts as: after every other with `order=asc`.
_NULL_SORTS_AS: dict[type, ColumnElement[Any]] = {
    Date: literal_column("'infinity'::date", Date),
    DateTime: literal_column("'infinity'::timestamptz", DateTime),
}


def _sort_key(sort: Sort, value: Any) -> ColumnElement[Any]:
    """Return what a task with this value is sorted by: priority by rank, title without regard to case."""
    if sort == "priority":
        return case((value == "high", 3), (value == "medium", 2), else_=1)
    if sort == "title":
        return func.lower(value)
    column = getattr(Task, sort)
    return func.coalesce(value, _NULL_SORTS_AS[type(column.type)]) if column.nullable else value


def _filters(shape: ListShape) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [col(Task.user_id) == user_id]
    if shape.completed is not None:
        filters.append(is_completed if shape.completed else not_(is_completed))
    if shape.by_status:
        filters.append(col(Task.status) == bindparam("status", type_=String))
    if shape.by_priority:
        filters.append(col(Task.priority) == bindparam("priority", type_=String))
    if shape.by_text:
        needle = func.lower(bindparam("text", type_=String))
        filters.append(func.strpos(func.lower(col(Task.title)), needle) > 0)
    return filters


def _page(shape: ListShape) -> Subquery:
    column = getattr(Task, shape.sort)
    key = tuple_(_sort_key(shape.sort, column), col(Task.id))
    statement = select(*task_columns).where(*_filters(shape))
    if shape.after:
        value = bindparam("after_value", type_=column.type)
        last = tuple_(_sort_key(shape.sort, value), bindparam("after_id", type_=Uuid))
        statement = statement.where(key < last if shape.order == "desc" else key > last)
    statement = statement.order_by(*(part.desc() if shape.order == "desc" else part.asc() for part in key.clauses))
    limit, offset = bindparam("limit", type_=Integer), bindparam("offset", type_=Integer)
    return statement.limit(limit).offset(offset).subquery("page")


# The outer join keeps the page's order.
@lru_cache(maxsize=SHAPES)
def list_statement(shape: ListShape) -> UserStatement[TaskRow]:
    """Compile the statement of this shape, once."""
    if not shape.counted:
        return UserStatement(_page(shape), TaskRow, total=literal_column("NULL", Integer))
    total = select(func.count()).select_from(Task).where(*_filters(shape)).scalar_subquery()
    return UserStatement(_page(shape), TaskRow, total=total)


async def select_tasks(
    db: UserDatabase,
    shape: ListShape,
    *,
    limit: int,
    offset: int,
    after: tuple[Any, UUID] | None = None,
    **filters: Any,
) -> TaskSlice:
    """Return the user's tasks of this shape. `filters`: status, priority, text. `after`: a task's sort value and id."""
    if after:
        filters["after_value"], filters["after_id"] = after
    tasks, (total,) = await db.fetch_counted(list_statement(shape), limit=limit + 1, offset=offset, **filters)
    last = tasks[limit - 1] if len(tasks) > limit else None
    return TaskSlice(tasks[:limit], last, total)
