"""The SQL with which somebody takes their tasks along."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from app.auth.active_session import user_id
from app.core.database.sql import parameter
from app.core.database.statement import Row, Statement
from app.tasks.models import Task, TaskRow, TaskTombstone
from app.tasks.repository import is_mine, task_columns


class DeletedTask(Row):
    id: UUID
    version: int
    deleted_at: datetime


_after, _limit = parameter("after", UUID), parameter("limit", int)


def _page(rows: Any, id: Any) -> Any:
    return rows.where(id > _after).order_by(id).limit(_limit)


EXPORT_TASKS = Statement(_page(select(*task_columns).where(is_mine), col(Task.id)), TaskRow)
EXPORT_DELETED_TASKS = Statement(
    _page(
        select(col(TaskTombstone.id), col(TaskTombstone.version), col(TaskTombstone.deleted_at)).where(
            col(TaskTombstone.user_id) == user_id
        ),
        col(TaskTombstone.id),
    ),
    DeletedTask,
)
