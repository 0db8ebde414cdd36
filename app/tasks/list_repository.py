"""The SQL of the task list: filtered, sorted and paged in any combination, each compiled once."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, literal_column, or_, select, tuple_
from sqlmodel import col

from app.auth.active_session import UserStatement
from app.auth.user_database import UserDatabase
from app.core.database.sql import constant, null, parameter
from app.tasks.models import Order, Sort, Task, TaskRow
from app.tasks.repository import is_completed, is_mine, task_columns

_title = col(Task.title)
# Normalising takes 3 µs, looking whether it would change anything 1 µs, and for ASCII, the only text with as many bytes
# as characters, next to nothing.
_is_composed = or_(func.octet_length(_title) == func.char_length(_title), func.is_normalized(_title, constant("NFC")))
_searched_title = func.lower(case((_is_composed, _title), else_=func.normalize(_title)))
"""The title in the one form that all canonically equal spellings have, without regard to case."""

FILTERS: dict[str, ColumnElement[bool]] = {
    "completed": is_completed,
    "not completed": ~is_completed,
    "status": col(Task.status) == parameter("status", str),
    "priority": col(Task.priority) == parameter("priority", str),
    "q": func.strpos(_searched_title, func.lower(func.normalize(parameter("q", str)))) > constant(0),
}
"""What a field of `TaskQuery` demands of a task; of a flag, `not` and its name what it demands when it is false."""


class ListShape(NamedTuple):
    """What makes one list statement differ from another, apart from its values."""

    filters: frozenset[str] = frozenset()
    sort: Sort = "created_at"
    order: Order = "desc"
    counted: bool = False
    after: bool = False


def _sort_key(sort: Sort, value: Any) -> ColumnElement[Any]:
    """Return what a task with this value is sorted by: priority by rank, title without regard to case.

    A date or time that is null comes after every other with `order=asc`.
    """
    if sort == "priority":
        return case(
            (value == constant("high"), constant(3)), (value == constant("medium"), constant(2)), else_=constant(1)
        )
    if sort == "title":
        return func.lower(value)
    return func.coalesce(value, literal_column("'infinity'")) if getattr(Task, sort).nullable else value


def _matching(shape: ListShape, *columns: Any) -> Select[*tuple[Any, ...]]:
    filters = (condition for name, condition in FILTERS.items() if name in shape.filters)
    return select(*columns).select_from(Task).where(is_mine, *filters)


def _page(shape: ListShape) -> Select[*tuple[Any, ...]]:
    column = getattr(Task, shape.sort)
    key = tuple_(_sort_key(shape.sort, column), col(Task.id))
    page = _matching(shape, *task_columns)
    if shape.after:
        value = parameter("after_value", column.type)
        last = tuple_(_sort_key(shape.sort, value), parameter("after_id", UUID))
        page = page.where(key < last if shape.order == "desc" else key > last)
    page = page.order_by(*(part.desc() if shape.order == "desc" else part.asc() for part in key.clauses))
    return page.limit(parameter("limit", int)).offset(parameter("offset", int))


# The outer join keeps the page's order.
@cache
def list_statement(shape: ListShape) -> UserStatement[TaskRow]:
    """Compile the statement of this shape, once."""
    total = _matching(shape, func.count()).scalar_subquery() if shape.counted else null(int)
    return UserStatement(_page(shape), TaskRow, total=total)


async def select_tasks(
    db: UserDatabase, shape: ListShape, values: Mapping[str, Any], *, limit: int, offset: int
) -> tuple[list[TaskRow], int | None]:
    """Return the user's tasks of this shape, and how many match in all (if counted).

    `values`: of its filters and, to go on after a task, that one's `after_value` and `after_id`.
    """
    tasks, (total,) = await db.fetch_counted(list_statement(shape), **values, limit=limit, offset=offset)
    return tasks, total
