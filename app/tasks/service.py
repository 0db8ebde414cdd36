"""What a user can do with tasks, and which errors there are. No HTTP, no SQL."""

from contextlib import suppress
from typing import NamedTuple, NoReturn
from uuid import UUID, uuid4, uuid5

from pydantic import MISSING

from app.auth.user_database import UserDatabase
from app.core.database.pool import DatabaseUnavailable
from app.core.errors import ServiceUnavailable, ValidationFailed
from app.tasks import changes, pages, repository
from app.tasks.errors import NoVersionInTag, TaskChanged, TaskExcluded, TaskNotFound, TooManyTasks
from app.tasks.etags import Precondition
from app.tasks.limit import TaskLimit
from app.tasks.models import TaskRow
from app.tasks.pages import Page
from app.tasks.schemas import CONTRADICTION, Contradiction, TaskCompletion, TaskCreate, TaskQuery, TaskUpdate

_ANY = Precondition()


class Created(NamedTuple):
    """A task, and whether this request made it."""

    task: TaskRow
    new: bool


async def list_tasks(db: UserDatabase, query: TaskQuery) -> Page:
    """Return the user's tasks. Raises: InvalidCursor. Source: FR-017."""
    return await pages.read_page(db, query)


async def create_task(
    db: UserDatabase, data: TaskCreate, limit: TaskLimit, *, idempotency_key: str | None = None
) -> Created:
    """Make a task; with a key at most once, until that task is deleted. Raises: TooManyTasks.

    Source: FR-015, FR-016.
    """
    task_id = uuid5(db.principal.user_id, idempotency_key) if idempotency_key else uuid4()
    try:
        await limit.check(db)
    except TooManyTasks:
        if idempotency_key and (task := await repository.select_task(db, task_id)):
            return Created(task, new=False)
        raise
    values = data.values()
    for _ in range(3):  # again only if the task was deleted between the two statements
        if task := await repository.insert_task(db, task_id, values, again=idempotency_key is not None):
            limit.add(db.principal.user_id)
            return Created(task, new=True)
        if task := await repository.select_task(db, task_id):
            return Created(task, new=False)
    raise ServiceUnavailable


async def get_task(db: UserDatabase, task_id: UUID) -> TaskRow:
    """Return one of the user's tasks. Raises: TaskNotFound. Source: FR-018, FR-019."""
    task = await repository.select_task(db, task_id)
    if task is None:
        raise TaskNotFound
    return task


async def update_task(db: UserDatabase, task_id: UUID, data: TaskUpdate, *, condition: Precondition = _ANY) -> TaskRow:
    """Change what was sent. Raises: TaskNotFound, CONDITION_ERRORS, ValidationFailed. Source: FR-020, FR-028."""
    contradiction = data.contradiction
    task = await repository.update_task(
        db, task_id, data.values(), reopen=data.reopens, contradiction=contradiction, condition=condition
    )
    return task or await _explain(db, task_id, condition, contradiction)


async def tick_task(
    db: UserDatabase, task_id: UUID, data: TaskCompletion | None, *, condition: Precondition = _ANY
) -> TaskRow:
    """Give a task the state that was sent, or the other one. Raises: TaskNotFound, CONDITION_ERRORS. Source: FR-021."""
    if data is None or data.completed is MISSING:
        task = await repository.toggle_task(db, task_id, condition=condition)
    else:
        task = await repository.set_completed(db, task_id, completed=data.completed, condition=condition)
    return task or await _explain(db, task_id, condition)


async def delete_task(db: UserDatabase, task_id: UUID, *, condition: Precondition = _ANY) -> None:
    """Delete one of the user's tasks. Raises: TaskNotFound, CONDITION_ERRORS. Source: FR-022."""
    if not await repository.delete_task(db, task_id, condition=condition):
        await _explain(db, task_id, condition)
    with suppress(DatabaseUnavailable):  # the task is deleted all the same
        await changes.prune_after_deletion(db, task_id)


async def _explain(
    db: UserDatabase, task_id: UUID, condition: Precondition, contradiction: Contradiction | None = None
) -> NoReturn:
    """Raise why a write found no task: TaskNotFound, CONDITION_ERRORS, ValidationFailed."""
    task = await get_task(db, task_id)
    version = task.version
    if condition.versions is not None and version not in condition.versions:
        raise TaskChanged if condition.versions else NoVersionInTag
    if condition.excluded is None or version in condition.excluded:
        raise TaskExcluded
    if contradiction and contradiction.version_read in (None, version) and not contradiction.is_decided_by(task.status):
        raise ValidationFailed([CONTRADICTION])
    raise TaskChanged
