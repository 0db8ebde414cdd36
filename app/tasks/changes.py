"""What has changed since a moment, for clients that were offline, and the cursor that names the moment."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec

from app.auth.user_database import UserDatabase
from app.tasks import changes_repository
from app.tasks.changes_repository import Moment
from app.tasks.errors import InvalidCursor, SyncExpired
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
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A moment as a client keeps it, of one user; `issued_at` in seconds since 1970, by the database's clock."""

    user_id: UUID
    epoch: UUID | None
    timeline: _Number
    xmin: _Number
    issued_at: _Number


_decode = msgspec.json.Decoder(Cursor).decode


class Changes(NamedTuple):
    """The first tasks and the first ids of deleted ones; the rest of both, if there is more; and the next cursor."""

    tasks: list[TaskRow]
    more_tasks: AsyncIterator[list[TaskRow]] | None
    deleted: list[UUID]
    more_deleted: AsyncIterator[list[UUID]] | None
    next: str


async def read_changes(db: UserDatabase, since: str | None) -> Changes:
    """Return everything, or what has changed since a cursor. Raises: InvalidCursor, SyncExpired. Source: FR-059."""
    cursor = None if since is None else decode_cursor(since)
    first = _EVERYTHING if cursor is None else cursor.xmin
    tasks, moment = await changes_repository.select_changed(db, first, after=_FIRST, limit=BATCH)
    if moment.epoch is None:  # the first time ever, or since a restore
        moment = moment._replace(epoch=await changes_repository.draw_epoch(db))
    if cursor and not _goes_on(db, cursor, moment):
        raise SyncExpired
    deleted: list[UUID] = []
    if cursor and moment.any_deleted:
        deleted = await changes_repository.select_deleted(db, first, after=_FIRST, limit=BATCH)
    return Changes(
        tasks,
        _more_tasks(db, first, tasks[-1].id) if len(tasks) == BATCH else None,
        deleted,
        _more_deleted(db, first, deleted[-1]) if len(deleted) == BATCH else None,
        encode_cursor(_cursor(db, moment)),
    )


def _goes_on(db: UserDatabase, cursor: Cursor, moment: Moment) -> bool:
    """Return whether all that was written and deleted since the cursor can be told."""
    return (
        cursor.user_id == db.principal.user_id
        and cursor.epoch == moment.epoch is not None
        and cursor.timeline == moment.timeline
        and cursor.xmin <= moment.xmin
        and cursor.issued_at >= (moment.now - KEPT).timestamp()
        and not moment.is_on_nodes
    )


def _cursor(db: UserDatabase, moment: Moment) -> Cursor:
    return Cursor(db.principal.user_id, moment.epoch, moment.timeline, moment.xmin, int(moment.now.timestamp()))


# The batches are read after the first statement, by whose moment the next cursor is. What is written in between is told
# next time; what comes now as well, is told twice.
async def _more_tasks(db: UserDatabase, since: int, after: UUID) -> AsyncIterator[list[TaskRow]]:
    while True:
        tasks, _ = await changes_repository.select_changed(db, since, after=after, limit=BATCH)
        if tasks:
            yield tasks
        if len(tasks) < BATCH:
            return
        after = tasks[-1].id


async def _more_deleted(db: UserDatabase, since: int, after: UUID) -> AsyncIterator[list[UUID]]:
    while True:
        deleted = await changes_repository.select_deleted(db, since, after=after, limit=BATCH)
        if deleted:
            yield deleted
        if len(deleted) < BATCH:
            return
        after = deleted[-1]


def encode_cursor(cursor: Cursor) -> str:
    """Write a cursor as clients keep it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def decode_cursor(text: str) -> Cursor:
    """Read a cursor. Raises: InvalidCursor."""
    try:
        return _decode(base64.b64decode(text, b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise InvalidCursor("since") from error


async def prune_after_deletion(db: UserDatabase, task_id: UUID) -> None:
    """Delete the user's old tombstones, after one deletion in so many."""
    if task_id.int % PRUNE_EVERY == 0:
        await changes_repository.delete_tombstones_of(db, kept=TOMBSTONES_KEPT, batch=PRUNE_BATCH)
