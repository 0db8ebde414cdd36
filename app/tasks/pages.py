"""Which part of a list is read next: pages, and the cursor that goes on where one ended."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID

import msgspec

from app.auth.user_database import UserDatabase
from app.core.cursors import InvalidCursor, decode_cursor, encode_cursor
from app.tasks import list_repository
from app.tasks.list_repository import FILTERS, ListShape
from app.tasks.models import TaskRow
from app.tasks.schemas import TaskQuery

BATCH = 1000
"""How many tasks of a list without a limit are in memory at once."""

_FIELD_TYPES = get_type_hints(TaskRow)
_FILTERS = [name for name in TaskQuery.model_fields if name in FILTERS]


class Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The order of a list, and the sort value and the id of the last task that was read."""

    sort: str
    order: str
    value: Any
    id: UUID


class Page(NamedTuple):
    """Part of a list; `total` is counted only when a limit was given.

    `more` yields the rest of a list without a limit, batch by batch, so that no list is ever in memory as a whole. A
    task whose sort key changes while several batches are read may be missed or met twice; `created_at` never changes.
    """

    tasks: list[TaskRow]
    total: int | None
    next_cursor: str | None
    more: AsyncIterator[list[TaskRow]] | None


async def read_page(db: UserDatabase, query: TaskQuery) -> Page:
    """Return the page that a query asks for. Raises: InvalidCursor."""
    page = await _read(db, query)
    if query.limit is None and page.next_cursor:
        return Page(page.tasks, None, None, _rest(db, query, page.next_cursor))
    return page


async def _rest(db: UserDatabase, query: TaskQuery, cursor: str | None) -> AsyncIterator[list[TaskRow]]:
    while cursor:
        page = await _read(db, query.model_copy(update={"cursor": cursor, "offset": 0}))
        yield page.tasks
        cursor = page.next_cursor


async def _read(db: UserDatabase, query: TaskQuery) -> Page:
    limit, values = query.limit or BATCH, _filters(query)
    after = _after(query)
    shape = ListShape(frozenset(values), query.sort, query.order, counted=query.limit is not None, after=bool(after))
    if after:
        values["after_value"], values["after_id"] = after
    # One more than asked for tells whether there are more.
    tasks, total = await list_repository.select_tasks(db, shape, values, limit=limit + 1, offset=query.offset)
    cursor = _cursor_after(query, tasks[limit - 1]) if len(tasks) > limit else None
    return Page(tasks[:limit], total, cursor, None)


def _filters(query: TaskQuery) -> dict[str, Any]:
    """Return the values of the filters that a query names."""
    named = {name: value for name in _FILTERS if (value := getattr(query, name)) is not None}
    return {f"not {name}" if value is False else name: value for name, value in named.items()}


def _cursor_after(query: TaskQuery, last: TaskRow) -> str:
    return encode_cursor(Cursor(query.sort, query.order, getattr(last, query.sort), last.id))


def _after(query: TaskQuery) -> tuple[Any, UUID] | None:
    """Return the sort value and the id of the last task. Raises: InvalidCursor, also when it is of another order."""
    if query.cursor is None:
        return None
    cursor = decode_cursor(query.cursor, Cursor, field="cursor")
    try:
        value = msgspec.convert(cursor.value, _FIELD_TYPES[query.sort])
    except ValueError as error:
        raise InvalidCursor("cursor") from error
    is_odd = (isinstance(value, str) and "\0" in value) or (isinstance(value, datetime) and value.tzinfo is None)
    if (cursor.sort, cursor.order) != (query.sort, query.order) or is_odd:
        raise InvalidCursor("cursor")
    return value, cursor.id
