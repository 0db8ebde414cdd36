"""What has changed since a moment, for clients that were offline, and the cursor that names the moment."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Annotated, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from app.auth.user_database import UserDatabase
from app.core.cursors import decode_cursor, encode_cursor
from app.tasks import changes_repository
from app.tasks.changes_repository import Moment
from app.tasks.errors import SyncExpired
from app.tasks.models import TaskRow

BATCH = 1000
"""How many tasks, or ids, of an answer are in memory at once."""

KEPT = timedelta(days=30)
"""How long a cursor is good for."""

TOMBSTONES_KEPT = KEPT + timedelta(days=1)
"""Longer, because after a failover the clock may be another."""

# One deletion in so many deletes the user's old tombstones, more than all of them make.
PRUNE_EVERY = 64
PRUNE_BATCH = 200

_FIRST = UUID(int=0)
_EVERYTHING = 0
T = TypeVar("T", TaskRow, UUID)
Batches: TypeAlias = AsyncIterator[list[T]]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A moment as a client keeps it, of one user: what transactions below `since` wrote has been told.

    `issued_at` is in seconds since 1970, by the database's clock.
    """

    user_id: UUID
    epoch: UUID | None
    timeline: _Number
    since: _Number
    issued_at: _Number
    server: _Number | None = None  # cursors of 1.0 name neither
    place: _Number | None = None


class Changes(NamedTuple):
    """The first tasks, and the first ids of those that were deleted; the rest of both, if any; the next cursor."""

    tasks: list[TaskRow]
    more_tasks: Batches[TaskRow] | None
    deleted: list[UUID]
    more_deleted: Batches[UUID] | None
    next: str


async def read_changes(db: UserDatabase, since: str | None, *, field: str = "since") -> Changes:
    """Return everything, or what has changed since a cursor. Raises: InvalidCursor, SyncExpired. Source: FR-059."""
    cursor = None if since is None else decode_cursor(since, Cursor, field=field)
    first = cursor.since if cursor else _EVERYTHING
    tasks, moment = await changes_repository.select_changed(db, first, after=_FIRST, limit=BATCH)
    if moment.epoch is None:  # the first time ever, or since a restore
        await changes_repository.draw_epoch(db)
        tasks, moment = await changes_repository.select_changed(db, first, after=_FIRST, limit=BATCH)
    if cursor and not _goes_on(db, cursor, moment):
        raise SyncExpired
    deleted: list[UUID] = []
    if cursor and moment.any_deleted:
        deleted = await changes_repository.select_deleted(db, first, after=_FIRST, limit=BATCH)

    # Read after the first statement, by whose moment the next cursor is: what is written in between is told again.
    async def read_tasks(last: TaskRow) -> list[TaskRow]:
        return (await changes_repository.select_changed(db, first, after=last.id, limit=BATCH))[0]

    async def read_deleted(last: UUID) -> list[UUID]:
        return await changes_repository.select_deleted(db, first, after=last, limit=BATCH)

    next_cursor = Cursor(
        *(db.principal.user_id, moment.epoch, moment.timeline, _begins_next(moment, first)),
        *(int(moment.now.timestamp()), moment.server, moment.place),
    )
    return Changes(tasks, _rest(tasks, read_tasks), deleted, _rest(deleted, read_deleted), encode_cursor(next_cursor))


def _begins_next(moment: Moment, first: int) -> int:
    """Return the lowest transaction id that the next reader asks for; `changes_repository.py` says why."""
    told = [last + 1 for last in (moment.last_changed, moment.last_deleted) if last is not None]
    return max(first, min(moment.xmin, max([moment.durable, *told])))


def _rest(first: list[T], read: Callable[[T], Awaitable[list[T]]]) -> Batches[T] | None:
    """Return the batches after a full first one."""

    async def batches() -> Batches[T]:
        batch = first
        while len(batch) == BATCH and (batch := await read(batch[-1])):
            yield batch

    return batches() if len(first) == BATCH else None


def _goes_on(db: UserDatabase, cursor: Cursor, moment: Moment) -> bool:
    """Return whether all that was written and deleted since the cursor can be told."""
    return (
        cursor.user_id == db.principal.user_id
        and cursor.epoch == moment.epoch is not None
        and (cursor.server, cursor.place, cursor.timeline) == (moment.server, moment.place, moment.timeline)
        and cursor.since <= moment.xmin
        and cursor.issued_at >= (moment.now - KEPT).timestamp()
    )


async def prune_after_deletion(db: UserDatabase, task_id: UUID) -> None:
    """Delete the user's old tombstones, after one deletion in so many."""
    if task_id.int % PRUNE_EVERY == 0:
        await changes_repository.delete_tombstones_of(db, kept=TOMBSTONES_KEPT, batch=PRUNE_BATCH)
