"""The SQL of what has changed in a user's tasks since a moment. A moment is told by transaction ids, not by a clock.

A transaction gets its id when it first writes. `xmin`, of the statement that reads, says that every transaction with a
lower id has ended and is seen. Whatever commits later has this id or a higher one, so the next read starts there: some
rows are read twice, and none is missed.

After a crash PostgreSQL gives out again the ids of transactions that left nothing on the disk. So the next reader
begins no later than at the next id of the last checkpoint, or after the highest id of a row that was read, which is
known to be on it: if this server has written the row, whose own `xmin` then has the same number.

Each of several nodes numbers its own transactions. So an id is of the node that has the user's rows, and so is what is
read.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, String, case, delete, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from app.auth.active_session import UserStatement, session_place, user_id, user_ids, work
from app.auth.user_database import UserDatabase
from app.core.database.sql import constant, delete_some, parameter
from app.core.database.statement import Statement
from app.tasks.models import Task, TaskEpoch, TaskRow, TaskTombstone, TransactionId
from app.tasks.repository import is_mine, task_columns


class Moment(NamedTuple):
    """When a statement read.

    `xmin`, `durable` and the highest ids in the rows that were read, if this server has written them, count within an
    epoch of the database, a timeline of a server, and a place in it.
    """

    xmin: int
    durable: int
    last_changed: int | None
    last_deleted: int | None
    any_deleted: bool
    epoch: UUID | None
    timeline: int
    server: int
    place: int
    now: datetime


def _number(transaction_id: ColumnElement[str]) -> ColumnElement[int]:
    """Return it as a number. PostgreSQL has neither a direct cast nor, before 16, a maximum."""
    return transaction_id.cast(String).cast(BigInteger)


_since = parameter("since", str).cast(TransactionId)
_after, _limit = parameter("after", UUID), parameter("limit", int)
_is_my_tombstone = col(TaskTombstone.user_id) == user_id

# A row that was moved here has a number of the server that it came from. A transaction's id without its epoch has 32
# bits. In SQL's own words, because a row's xmin is no column of a model.
_wrote = "{0}.changed::text::bigint & 4294967295 = {0}.xmin::text::bigint"
_was_changed_here: ColumnElement[bool] = literal_column(_wrote.format("tasks"))
_was_deleted_here: ColumnElement[bool] = literal_column(_wrote.format("task_tombstones"))
_changed = work(
    select(*task_columns, col(Task.changed), _was_changed_here.label("here"))
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
    .where(*_was_deleted, _was_deleted_here)
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
_durable: ColumnElement[int] = literal_column(
    "(SELECT (split_part(next_xid, ':', 1)::bigint << 32) + split_part(next_xid, ':', 2)::bigint "
    "FROM pg_control_checkpoint())"
)
_server: ColumnElement[int] = literal_column("(SELECT system_identifier FROM pg_control_system())")
SELECT_CHANGED = UserStatement(
    _changed,
    TaskRow,
    xmin=_number(func.pg_snapshot_xmin(func.pg_current_snapshot())),
    durable=_durable,
    last_changed=func.max(case((_changed.c.here, _number(_changed.c.changed)))).over(),
    last_deleted=_number(_last_deleted),
    any_deleted=exists().where(*_was_deleted),
    epoch=select(col(TaskEpoch.epoch)).scalar_subquery(),
    timeline=_timeline,
    server=_server,
    place=session_place,
    now=func.statement_timestamp(),
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
# Text, because psql runs it. After a restore: no restored row has a number of this server's, so that those beyond what
# is known to be on its disk would be told every time.
FORGET_CHANGES = b"""UPDATE tasks SET changed = '0' WHERE changed::text::bigint >= (
    SELECT (split_part(next_xid, ':', 1)::bigint << 32) + split_part(next_xid, ':', 2)::bigint
    FROM pg_control_checkpoint())"""
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
