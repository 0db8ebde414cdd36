"""What can be done with one's own tasks, and what is refused. No HTTP, no SQL."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID, uuid4, uuid5

from app.auth.caller import Caller
from app.core.errors import ServiceUnavailable
from app.tasks import list_repository, repository
from app.tasks.errors import InvalidCursor, TaskChanged, TaskNotFound
from app.tasks.list_repository import ListedTask, Shape
from app.tasks.repository import Changes, TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskUpdate

BatchT = TypeVar("BatchT")

BATCH = 1000
"""How many tasks of a list without a limit are in memory at once."""

Versions = Sequence[int] | None
"""The versions that a write is meant for; None for any."""


class Created(NamedTuple):
    """A task, and whether this very request made it."""

    task: TaskRow
    new: bool


class Page(NamedTuple):
    """Part of a list; `total` is counted only when a limit was given.

    `more` gives the rest of one without a limit batch by batch, so that no list is ever in memory as a whole. A task
    whose sort key changes while several are read may be missed or met twice; `created_at` never changes.
    """

    tasks: Sequence[ListedTask]
    total: int | None
    next_cursor: str | None
    more: AsyncIterator[Sequence[ListedTask]] | None


class JsonPage(NamedTuple):
    """The same as the members of JSON arrays."""

    json: bytes
    total: int | None
    next_cursor: str | None
    more: AsyncIterator[bytes] | None


async def list_tasks(caller: Caller, query: TaskQuery) -> Page:
    """Give the user's tasks. Raises: InvalidCursor. Source: FR-017."""
    tasks, cursor = await _rows(caller, query)
    if query.limit is None:
        return Page(tasks, None, None, _rest(partial(_rows, caller), query, cursor) if cursor else None)
    total = tasks[0].total if tasks else await list_repository.count_tasks(caller, _shape(query), **_filters(query))
    return Page(tasks, total, cursor, None)


async def _rest(
    read: Callable[[TaskQuery], Awaitable[tuple[BatchT, str | None]]], query: TaskQuery, cursor: str | None
) -> AsyncIterator[BatchT]:
    while cursor:
        batch, cursor = await read(query.model_copy(update={"cursor": cursor, "offset": 0}))
        yield batch


async def _rows(caller: Caller, query: TaskQuery) -> tuple[Sequence[ListedTask], str | None]:
    limit = query.limit or BATCH
    tasks = await list_repository.select_tasks(  # one more tells whether there is a next page
        caller, _shape(query), **_filters(query), **_after(query), limit=limit + 1, offset=query.offset
    )
    shown = tasks[:limit]
    return shown, None if len(tasks) == len(shown) else _cursor(query, shown[-1].sort_key, str(shown[-1].id))


async def list_tasks_as_json(caller: Caller, query: TaskQuery) -> JsonPage:
    """Give them as the database writes them: a list of 1,000 takes a fifth of the time. Raises: as above."""
    page, cursor = await _json_page(caller, query)
    if query.limit is not None:
        return JsonPage(page.json or b"", page.total, cursor, None)
    if cursor is None:
        return JsonPage(page.json or b"", None, None, None)
    more = (batch.json or b"" async for batch in _rest(partial(_json_page, caller), query, cursor))
    return JsonPage(page.json or b"", None, None, more)


async def _json_page(caller: Caller, query: TaskQuery) -> tuple[list_repository.JsonPage, str | None]:
    limit = query.limit or BATCH
    page = await list_repository.select_json(
        caller, _shape(query), **_filters(query), **_after(query), limit=limit, offset=query.offset
    )
    if page.found <= limit or page.last_sort_key is None or page.last_id is None:
        return page, None
    return page, _cursor(query, page.last_sort_key, page.last_id)


def _shape(query: TaskQuery) -> Shape:
    return Shape(
        completed=query.completed,
        by_status=query.status is not None,
        by_priority=query.priority is not None,
        by_text=query.q is not None,
        sort=query.sort,
        order=query.order,
        counted=query.limit is not None,
        after=query.cursor is not None,
    )


def _filters(query: TaskQuery) -> dict[str, Any]:
    return {"status": query.status, "priority": query.priority, "text": query.q}


def _cursor(query: TaskQuery, last_sort_key: str, last_id: str) -> str:
    text = json.dumps([query.sort, query.order, last_sort_key, last_id], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def _after(query: TaskQuery) -> dict[str, Any]:
    """Read a cursor. Raises: InvalidCursor, also when it belongs to another order."""
    if query.cursor is None:
        return {}
    try:
        sort, order, key, last_id = json.loads(base64.b64decode(query.cursor, b"-_", validate=True))
        if (sort, order) != (query.sort, query.order) or not isinstance(key, str) or "\0" in key:
            raise InvalidCursor
        key.encode()  # a lone surrogate cannot be sent to the database
        return {"after_key": _key(sort, key), "after_id": UUID(last_id)}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidCursor from error


def _key(sort: str, text: str) -> object:
    if sort == "title":
        return text
    if sort == "priority":
        return max(0, min(int(text), 99))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise InvalidCursor
    return moment


async def create_task(caller: Caller, data: TaskCreate, *, idempotency_key: str | None = None) -> Created:
    """Make a task; with a key at most once, until that task is deleted. Source: FR-015, FR-016."""
    task_id = uuid5(caller.user_id, idempotency_key) if idempotency_key else uuid4()
    for _ in range(3):  # again only if the task was deleted between the two statements
        task = await repository.insert_task(
            caller,
            task_id,
            title=data.title,
            description=data.description,
            status=data.initial_status,
            priority=data.priority,
        )
        if task:
            return Created(task, new=True)
        if task := await repository.select_task(caller, task_id):
            return Created(task, new=False)
    raise ServiceUnavailable


async def get_task(caller: Caller, task_id: UUID) -> TaskRow:
    """Raises: TaskNotFound. Source: FR-018, FR-019."""
    task = await repository.select_task(caller, task_id)
    if task is None:
        raise TaskNotFound
    return task


async def update_task(caller: Caller, task_id: UUID, data: TaskUpdate, *, versions: Versions = None) -> TaskRow:
    """Change what was sent. Raises: TaskNotFound, TaskChanged. Source: FR-020, FR-028."""
    completed = data.get("completed")
    changes = Changes(
        title=data.get("title"),
        set_description="description" in data.model_fields_set,
        description=data.get("description"),
        status=data.get("status") or ("completed" if completed else None),
        reopen=completed is False and data.get("status") is None,
        priority=data.get("priority"),
    )
    task = await repository.update_task(caller, task_id, changes, versions=versions)
    return task or await _refuse(caller, task_id)


async def toggle_task(caller: Caller, task_id: UUID, *, versions: Versions = None) -> TaskRow:
    """Go from completed to pending, and from anything else to completed. Raises: as above. Source: FR-021."""
    task = await repository.toggle_task(caller, task_id, versions=versions)
    return task or await _refuse(caller, task_id)


async def delete_task(caller: Caller, task_id: UUID, *, versions: Versions = None) -> None:
    """Raises: TaskNotFound, TaskChanged. Source: FR-022."""
    if await repository.delete_task(caller, task_id, versions=versions) is None:
        await _refuse(caller, task_id)


async def _refuse(caller: Caller, task_id: UUID) -> TaskRow:
    """Say why a write met no row. Raises: TaskNotFound, TaskChanged."""
    await get_task(caller, task_id)
    raise TaskChanged
