"""What can be done with one's own tasks, and what is refused. No HTTP, no SQL."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple, get_args
from uuid import UUID, uuid4, uuid5

from app.auth.user_database import Caller
from app.core.errors import ServiceUnavailable
from app.tasks import list_repository, repository
from app.tasks.errors import InvalidCursor, TaskChanged, TaskNotFound
from app.tasks.list_repository import Found, ListedTask, Shape, TasksT
from app.tasks.models import MOMENTS, Priority
from app.tasks.repository import Changes, TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskUpdate

BATCH = 1000
"""How many tasks of a list without a limit are in memory at once."""

Versions = Sequence[int] | None
"""The versions that a write is meant for; None for any."""


class Created(NamedTuple):
    """A task, and whether this very request made it."""

    task: TaskRow
    new: bool


class Page(NamedTuple, Generic[TasksT]):
    """Part of a list; `total` is counted only when a limit was given.

    `more` gives the rest of one without a limit batch by batch, so that no list is ever in memory as a whole. A task
    whose sort key changes while several are read may be missed or met twice; `created_at` never changes.
    """

    tasks: TasksT
    total: int | None
    next_cursor: str | None
    more: AsyncIterator[TasksT] | None


async def list_tasks(caller: Caller, query: TaskQuery) -> Page[Sequence[ListedTask]]:
    """Give the user's tasks. Raises: InvalidCursor. Source: FR-017."""
    return await _page(partial(list_repository.select_tasks, caller), query)


async def list_tasks_as_json(caller: Caller, query: TaskQuery) -> Page[bytes]:
    """Give them as the members of a JSON array, as the database writes them. Raises: InvalidCursor."""
    return await _page(partial(list_repository.select_json, caller), query)


_Select = Callable[..., Awaitable[Found[TasksT]]]


async def _page(select: _Select[TasksT], query: TaskQuery) -> Page[TasksT]:
    found, cursor = await _read(select, query)
    if query.limit is None and cursor:
        return Page(found.tasks, None, None, _rest(select, query, cursor))
    return Page(found.tasks, found.total, cursor, None)


async def _rest(select: _Select[TasksT], query: TaskQuery, cursor: str | None) -> AsyncIterator[TasksT]:
    while cursor:
        found, cursor = await _read(select, query.model_copy(update={"cursor": cursor, "offset": 0}))
        yield found.tasks


async def _read(select: _Select[TasksT], query: TaskQuery) -> tuple[Found[TasksT], str | None]:
    filters = {"status": query.status, "priority": query.priority, "text": query.q}
    limit = query.limit or BATCH
    found = await select(_shape(query), **filters, **_decode_cursor(query), limit=limit, offset=query.offset)
    return found, _encode_cursor(query, found.last) if found.last else None


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


def _encode_cursor(query: TaskQuery, last: dict[str, Any]) -> str:
    text = json.dumps([query.sort, query.order, str(last[query.sort]), str(last["id"])], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode_cursor(query: TaskQuery) -> dict[str, Any]:
    """Read a cursor. Raises: InvalidCursor, also when it belongs to another order."""
    if query.cursor is None:
        return {}
    try:
        sort, order, value, last_id = json.loads(base64.b64decode(query.cursor, b"-_", validate=True))
        if (sort, order) != (query.sort, query.order) or not isinstance(value, str) or "\0" in value:
            raise InvalidCursor
        value.encode()  # a lone surrogate cannot be sent to the database
        return {"after_value": _cursor_value(sort, value), "after_id": UUID(last_id)}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidCursor from error


def _cursor_value(sort: str, text: str) -> object:
    if sort in MOMENTS:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    elif sort == "title" or text in get_args(Priority):
        return text
    raise InvalidCursor


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
    """Give one of the user's tasks. Raises: TaskNotFound. Source: FR-018, FR-019."""
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
    """Delete one of the user's tasks. Raises: TaskNotFound, TaskChanged. Source: FR-022."""
    if await repository.delete_task(caller, task_id, versions=versions) is None:
        await _refuse(caller, task_id)


async def _refuse(caller: Caller, task_id: UUID) -> TaskRow:
    """Say why a write met no row. Raises: TaskNotFound, TaskChanged."""
    await get_task(caller, task_id)
    raise TaskChanged
