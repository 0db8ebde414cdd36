"""The SQL of the task list: filtered, sorted and paged in any combination, each compiled once."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache, reduce
from operator import add
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    String,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    tuple_,
)
from sqlmodel import col

from app.auth.active_session import only_if_active, owner
from app.auth.user_database import Caller
from app.core.database.pool import Statement, Utf8Bytes
from app.tasks.models import MOMENTS, Order, Priority, Sort, Status, Task
from app.tasks.repository import is_completed, task_columns

TasksT = TypeVar("TasksT")

SHAPES = 768  # all that there are: none is ever compiled again


class ListedTask(NamedTuple):
    """A task in a list, with how many tasks match in all (if asked)."""

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
    total: int | None


class JsonRow(NamedTuple):
    """How many tasks were read, they as the members of a JSON array, and how many match in all (if asked)."""

    read: int  # first, and never null: by its first column a caller knows that there is a row
    json: bytes | None
    total: int | None


class Found(NamedTuple, Generic[TasksT]):
    """At most `limit` tasks, what the last of them holds if there are more, and how many match in all (if asked)."""

    tasks: TasksT
    last: dict[str, Any] | None
    total: int | None


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


def _sort_key(sort: Sort, value: Any) -> ColumnElement[Any]:
    """Give what a task with this value is sorted by."""
    if sort == "priority":
        return case((value == _sql("high"), 3), (value == _sql("medium"), 2), else_=1)
    return func.lower(value) if sort == "title" else value


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


def _page(shape: Shape, *columns: Any) -> Select[Any]:
    key = _sort_key(shape.sort, getattr(Task, shape.sort)), col(Task.id)
    order = (getattr(part, shape.order)() for part in key)
    statement = select(*columns).where(*_filters(shape)).order_by(*order)
    if shape.after:
        value = bindparam("after_value", type_=DateTime(timezone=True) if shape.sort in MOMENTS else String())
        here, last = tuple_(*key), tuple_(_sort_key(shape.sort, value), bindparam("after_id", type_=Uuid))
        statement = statement.where(here < last if shape.order == "desc" else here > last)
    return statement.limit(bindparam("limit", type_=Integer)).offset(bindparam("offset", type_=Integer))


def _total(shape: Shape) -> ColumnElement[Any]:
    if not shape.counted:
        return cast(null(), Integer).label("total")
    return select(func.count()).select_from(Task).where(*_filters(shape)).scalar_subquery().label("total")


# Both statements keep the page's order: neither `for_owner` nor the aggregate changes it. An ORDER BY inside of the
# aggregate would cost 40 % more.
@lru_cache(maxsize=SHAPES)
def _list_statement(shape: Shape) -> Statement[ListedTask]:
    page = _page(shape, *task_columns, _total(shape))
    return Statement(only_if_active(page.subquery("page")), ListedTask)


@lru_cache(maxsize=SHAPES)
def _json_statement(shape: Shape) -> Statement[JsonRow]:
    page = _page(shape, *task_columns).subquery("page")
    members = cast(func.string_agg(_json(page.c), _sql(",")), Utf8Bytes)
    work = select(func.count().label("read"), members.label("json"), _total(shape)).select_from(page)
    return Statement(only_if_active(work.subquery("work")), JsonRow)


def _sql(text: str) -> ColumnElement[str]:
    """Write a constant into the statement, so that it is not sent each time."""
    return literal_column(f"'{text}'", String)


# A subquery, so that it is written once for a statement and not for each task.
_USER_ID = select(_sql('","user_id":"') + cast(owner, Text) + _sql('"')).scalar_subquery()
_DONE = _sql(',"completed":true,"status":"completed"')
_UTC: ColumnElement[Any] = literal_column("interval '0'")  # by its name it would be looked up each time


def _json(task: Any) -> ColumnElement[str]:
    """Write a task as pydantic writes TaskRead, character by character; a test holds one against the other."""
    parts = (
        _sql('{"id":"'), cast(task.id, Text),
        _USER_ID,
        _sql(',"title":'), cast(func.to_json(task.title), Text),
        _sql(',"description":'), func.coalesce(cast(func.to_json(task.description), Text), _sql("null")),
        case((task.completed, _DONE), else_=_sql(',"completed":false,"status":"') + task.status + _sql('"')),
        _sql(',"priority":"'), task.priority,
        _sql('","version":'), cast(task.version, Text),
        _sql(',"created_at":"'), _timestamp(task.created_at),
        _sql('","updated_at":"'), _timestamp(task.updated_at),
        _sql('"}'),
    )  # fmt: skip  # a line for each member
    return reduce(add, parts)


def _timestamp(column: Any) -> ColumnElement[str]:
    """Write a moment in UTC, with six digits after the second or none."""
    text = func.to_char(func.timezone(_UTC, column), _sql('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    return func.replace(text, _sql(".000000Z"), _sql("Z"))


async def select_tasks(caller: Caller, shape: Shape, *, limit: int, **values: Any) -> Found[Sequence[ListedTask]]:
    """Give the user's tasks of this shape.

    Its values: status, priority, text, after_value, after_id, and always offset.
    """
    tasks = await caller.fetch_all(_list_statement(shape), limit=limit + 1, **values)
    last = tasks[limit - 1]._asdict() if len(tasks) > limit else None
    if tasks or not shape.counted:
        return Found(tasks[:limit], last, tasks[0].total if tasks else None)
    return Found((), None, (await select_json(caller, shape, limit=limit, **values)).total)  # no row to carry it


async def select_json(caller: Caller, shape: Shape, *, limit: int, **values: Any) -> Found[bytes]:
    """Give them as the members of a JSON array of TaskRead, in UTF-8. Values: as above."""
    row = await caller.fetch_one(_json_statement(shape), limit=limit + 1, **values)
    assert row is not None
    text = row.json or b""
    if row.read <= limit:
        return Found(text, None, row.total)
    # A quote inside of a string is written as \", so that this is where an object begins.
    begins = b',{"id":"'
    shown = text[: text.rindex(begins)]
    last = shown[shown.rfind(begins) + 1 :]  # all of it, if it is one task alone
    return Found(shown, json.loads(last), row.total)
