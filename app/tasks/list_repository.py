"""The SQL of the task list: filtered, sorted and paged in any combination, each compiled once."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
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

from app.auth.caller import Caller
from app.auth.caller_repository import for_owner, owner
from app.core.database import Statement
from app.tasks.models import Order, Priority, Sort, Status, Task
from app.tasks.repository import is_completed, task_columns


class ListedTask(NamedTuple):
    """A task in a list, with how many tasks match in all (if asked), and what it was sorted by as text."""

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
    sort_key: str


class JsonPage(NamedTuple):
    """Tasks as JSON; `found` counts one more than is shown if there are more, `last_*` are those of the last shown."""

    found: int
    json: bytes | None
    last_sort_key: str | None
    last_id: str | None
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


def _page(shape: Shape, *columns: Any) -> Select[Any]:
    """Select these columns of the tasks of this shape, the key and the id they are sorted by last."""
    key, key_type = _SORT_KEYS[shape.sort]
    statement = select(*columns, key.label("sort_key")).where(*_filters(shape))
    if shape.after:
        here = tuple_(key, col(Task.id))
        last = tuple_(bindparam("after_key", type_=key_type), bindparam("after_id", type_=Uuid))
        statement = statement.where(here < last if shape.order == "desc" else here > last)
    limit, offset = bindparam("limit", type_=Integer), bindparam("offset", type_=Integer)
    return statement.order_by(*_order(shape)).limit(limit).offset(offset)


def _order(shape: Shape) -> list[ColumnElement[Any]]:
    key, _ = _SORT_KEYS[shape.sort]
    return [getattr(part, shape.order)() for part in (key, col(Task.id))]


def _count(shape: Shape) -> Select[Any]:
    return select(func.count()).select_from(Task).where(*_filters(shape))


def _total(shape: Shape) -> ColumnElement[Any]:
    return (_count(shape).scalar_subquery() if shape.counted else cast(null(), Integer)).label("total")


@lru_cache(maxsize=256)
def _list_statement(shape: Shape) -> Statement[ListedTask]:
    position = func.row_number().over(order_by=_order(shape)).label("position")
    page = _page(shape, *task_columns, _total(shape), position).subquery("page")
    *columns, ordered_by, sort_key = page.c
    return Statement(for_owner(page).with_only_columns(*columns, cast(sort_key, Text)).order_by(ordered_by), ListedTask)


def _json(task: Any) -> ColumnElement[str]:
    """Write a task as pydantic writes TaskRead, character by character; a test holds one against the other."""
    return func.concat(
        _sql('{"id":"'), task.id,
        _sql('","user_id":"'), task.user_id,
        _sql('","title":'), func.to_json(task.title),
        _sql(',"description":'), func.coalesce(cast(func.to_json(task.description), Text), _sql("null")),
        _sql(',"completed":'), case((task.completed, _sql("true")), else_=_sql("false")),
        _sql(',"status":"'), task.status,
        _sql('","priority":"'), task.priority,
        _sql('","version":'), task.version,
        _sql(',"created_at":"'), _moment(task.created_at),
        _sql('","updated_at":"'), _moment(task.updated_at),
        _sql('"}'),
    )  # fmt: skip


def _moment(column: Any) -> ColumnElement[str]:
    """Write a moment in UTC, with six digits after the second or none."""
    text = func.to_char(func.timezone(_sql("UTC"), column), _sql('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    return func.replace(text, _sql(".000000Z"), _sql("Z"))


def _sql(text: str) -> ColumnElement[str]:
    """Write a constant into the statement, so that it is not sent each time."""
    return literal_column(f"'{text}'", String)


@lru_cache(maxsize=256)
def _json_statement(shape: Shape) -> Statement[JsonPage]:
    page = _page(shape, *task_columns).subquery("page")
    last = bindparam("last", type_=Integer)

    def of_last(column: Any) -> ColumnElement[str]:
        return cast(func.array_agg(column, type_=ARRAY(column.type))[last], Text)

    # The aggregates meet the rows in the page's order: nothing but the aggregation stands between. Ordering again
    # inside each would cost as much as all the rest.
    work = select(
        func.count(page.c.id).label("found"),
        func.convert_to(func.string_agg(_json(page.c), _sql(",")), _sql("UTF8")).label("json"),
        of_last(page.c.sort_key).label("last_sort_key"),
        of_last(page.c.id).label("last_id"),
        _total(shape),
    )
    return Statement(for_owner(work.subquery("work")), JsonPage)


@lru_cache(maxsize=64)
def _count_statement(shape: Shape) -> Statement[Count]:
    return Statement(for_owner(_count(shape).subquery("work")), Count)


async def select_tasks(caller: Caller, shape: Shape, **values: Any) -> Sequence[ListedTask]:
    """Give the user's tasks of this shape.

    Its values: status, priority, text, after_key, after_id, and always limit and offset.
    """
    return await caller.fetch_all(_list_statement(shape), **values)


async def select_json(caller: Caller, shape: Shape, *, limit: int, **values: Any) -> JsonPage:
    """Give at most `limit` tasks as the members of a JSON array of TaskRead, in UTF-8. Values: as above."""
    page = await caller.fetch_one(_json_statement(shape), limit=limit + 1, last=limit, **values)
    assert page is not None
    if page.json and page.found > limit:
        # A quote inside of a string is written as \", so that this is where the last object begins.
        page = page._replace(json=page.json[: page.json.rindex(b',{"id":"')])
    return page


async def count_tasks(caller: Caller, shape: Shape, **values: Any) -> int:
    counted = await caller.fetch_one(_count_statement(shape), **values)
    return counted.total if counted else 0
