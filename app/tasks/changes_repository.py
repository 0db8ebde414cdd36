"""The SQL of what has changed in a user's tasks since a moment. A moment is told by transaction ids, not by a clock.

A transaction gets its id when it first writes. `xmin`, of the statement that reads, says that every transaction with a
lower id has ended and is seen. Whatever commits later has this id or a higher one, so the next read starts there: some
rows are read twice, and none is missed.

After a crash PostgreSQL gives out again the ids of transactions that left nothing on the disk. So the next reader
begins no later than after the highest id of a row that was read, which is known to be on it.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, String, delete, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import UserStatement, user_id, user_ids, work
from app.auth.user_database import UserDatabase
from app.core.database.sql import constant, delete_some, parameter
from app.core.database.statement import Statement
from app.tasks.models import Task, TaskEpoch, TaskRow, TaskTombstone, TransactionId
from app.tasks.repository import is_mine, task_columns


class Moment(NamedTuple):
    """When a statement read.

    `xmin` and the highest ids in the rows that were read count within an epoch and a timeline of the database. They say
    nothing where each of several nodes numbers its own transactions.
    """

    xmin: int
    last_changed: int | None
    last_deleted: int | None
    epoch: UUID | None
    timeline: int
    now: datetime
    is_on_nodes: bool


def _number(transaction_id: ColumnElement[str]) -> ColumnElement[int]:
    """Return it as a number. PostgreSQL has neither a direct cast nor, before 16, a maximum."""
    return transaction_id.cast(String).cast(BigInteger)


_since = parameter("since", str).cast(TransactionId)
_after, _limit = parameter("after", UUID), parameter("limit", int)
_is_my_tombstone = col(TaskTombstone.user_id) == user_id

_changed = work(
    select(*task_columns, col(Task.changed))
    .where(is_mine, col(Task.changed) >= _since, col(Task.id) > _after)
    .order_by(col(Task.id))
    .limit(_limit)
)
_was_deleted = (
    _is_my_tombstone,
    col(TaskTombstone.changed) >= _since,
    ~exists().where(is_mine, col(Task.id) == TaskTombstone.id),
)
_last_deleted = (
    select(col(TaskTombstone.changed))
    .where(*_was_deleted)
    .order_by(col(TaskTombstone.changed).desc())
    .limit(constant(1))
    .scalar_subquery()
)
# A standby that takes over begins a new timeline. It may lack the last transactions, whose ids it gives to others. The
# new number stands in the end of the recovery at first, and in the checkpoint from the next one on.
_timeline: ColumnElement[int] = literal_column(
    "greatest((SELECT timeline_id FROM pg_control_checkpoint()), "
    "(SELECT min_recovery_end_timeline FROM pg_control_recovery()))"
)
SELECT_CHANGED = UserStatement(
    _changed,
    TaskRow,
    xmin=_number(func.pg_snapshot_xmin(func.pg_current_snapshot())),
    last_changed=func.max(_number(_changed.c.changed)).over(),
    last_deleted=_number(_last_deleted),
    epoch=select(col(TaskEpoch.epoch)).scalar_subquery(),
    timeline=_timeline,
    now=func.statement_timestamp(),
    # Not by a look into pg_extension: no node could answer that together with the rest.
    is_on_nodes=func.current_setting(constant("citus.shard_count"), constant(True)).is_not(None),
)
SELECT_DELETED = UserStatement(
    select(col(TaskTombstone.id))
    .where(*_was_deleted, col(TaskTombstone.id) > _after)
    .order_by(col(TaskTombstone.id))
    .limit(_limit),
    UUID,
)
DRAW_EPOCH = Statement(
    insert(TaskEpoch)
    .values(id=constant(1), epoch=func.gen_random_uuid())
    .on_conflict_do_nothing()
    .returning(col(TaskEpoch.epoch)),
    UUID,
)
# What a restore leaves out.
HISTORY = ("task_tombstones", "task_epoch")
# Text, because psql runs it. After a restore: where this server's ids have not come as far as the dump's, such rows
# would be told every time.
FORGET_CHANGES = b"UPDATE tasks SET changed = '0' WHERE changed >= pg_snapshot_xmin(pg_current_snapshot())"
# When the database may have gone back in time.
END_EPOCH = b"DELETE FROM task_epoch"

_is_old = col(TaskTombstone.deleted_at) < func.now() - parameter("kept", timedelta)
_oldest = select(col(TaskTombstone.id)).where(_is_my_tombstone, _is_old).limit(_limit).scalar_subquery()
PRUNE_USER = Statement(
    delete(TaskTombstone)
    .where(_is_my_tombstone, col(TaskTombstone.id) == func.array(_oldest).any_(), _is_old)
    .returning(col(TaskTombstone.id)),
    UUID,
)
PRUNE = Statement(
    delete(TaskTombstone)
    .where(col(TaskTombstone.user_id) == user_ids.any_(), _is_old)
    .returning(col(TaskTombstone.id)),
    UUID,
)


DELETE_SOME = Statement(delete_some(TaskTombstone, _is_my_tombstone), UUID)


async def select_changed(db: UserDatabase, since: int, *, after: UUID, limit: int) -> tuple[list[TaskRow], Moment]:
    """Return tasks that were written since, by id from `after` on, and the moment of this statement."""
    tasks, moment = await db.fetch_counted(SELECT_CHANGED, since=str(since), after=after, limit=limit)
    return tasks, Moment(*moment)


async def select_deleted(db: UserDatabase, since: int, *, after: UUID, limit: int) -> list[UUID]:
    """Return the ids of tasks that were deleted since and do not exist again, by id from `after` on."""
    return await db.fetch_all(SELECT_DELETED, since=str(since), after=after, limit=limit)


async def draw_epoch(db: UserDatabase) -> None:
    """Begin an epoch, unless another request has just begun one."""
    await db.write(DRAW_EPOCH)


async def delete_tombstones_of(db: UserDatabase, *, kept: timedelta, batch: int) -> None:
    """Delete up to `batch` of the user's tombstones that are older."""
    await db.write(PRUNE_USER, kept=kept, limit=batch)
