"""Which part of a list is read next: pages, and the cursor that goes on where one ended."""

import base64
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID

import msgspec

from app.auth.user_database import UserDatabase
from app.tasks import list_repository
from app.tasks.errors import InvalidCursor
from app.tasks.list_repository import ListShape
from app.tasks.models import TaskRow
from app.tasks.schemas import TaskQuery

BATCH = 1000
"""How many tasks of a list without a limit are in memory at once."""

_FIELD_TYPES = get_type_hints(TaskRow)
_decode = msgspec.json.Decoder(tuple[str, str, Any, UUID]).decode


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
    found = await list_repository.select_tasks(
        db,
        _shape(query),
        limit=query.limit or BATCH,
        offset=query.offset,
        after=None if query.cursor is None else _decode_cursor(query),
        status=query.status,
        priority=query.priority,
        text=query.q,
    )
    return Page(found.tasks, found.total, _encode_cursor(query, found.last) if found.last else None, None)


def _shape(query: TaskQuery) -> ListShape:
    return ListShape(
        completed=query.completed,
        by_status=query.status is not None,
        by_priority=query.priority is not None,
        by_text=query.q is not None,
        sort=query.sort,
        order=query.order,
        counted=query.limit is not None,
        after=query.cursor is not None,
    )


def _encode_cursor(query: TaskQuery, last: TaskRow) -> str:
    text = msgspec.json.encode((query.sort, query.order, getattr(last, query.sort), last.id))
    return base64.urlsafe_b64encode(text).decode()


def _decode_cursor(query: TaskQuery) -> tuple[Any, UUID]:
    """Return the sort value and the id of the last task. Raises: InvalidCursor, also when it is of another order."""
    try:
        sort, order, value, last_id = _decode(base64.b64decode(query.cursor or "", b"-_", validate=True))
        value = msgspec.convert(value, _FIELD_TYPES[sort])
    except (ValueError, RecursionError, KeyError) as error:
        raise InvalidCursor("cursor") from error
    is_odd = (isinstance(value, str) and "\0" in value) or (isinstance(value, datetime) and value.tzinfo is None)
    if (sort, order) != (query.sort, query.order) or is_odd:
        raise InvalidCursor("cursor")
    return value, last_id
