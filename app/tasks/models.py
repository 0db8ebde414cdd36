"""The tables of tasks, and the one list of a task's fields."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, PrimaryKeyConstraint, String, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field

from app.core.database.statement import Row
from app.core.database.table import SQLModel

Status = Literal["pending", "in_progress", "completed"]
Priority = Literal["low", "medium", "high"]
Sort = Literal["created_at", "updated_at", "priority", "title"]
Order = Literal["asc", "desc"]

TITLE_LENGTH = 200
DESCRIPTION_LENGTH = 2000


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`: transactions are numbered in the order in which they begin to write, and never again."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name."""
        return "xid8"


ischema_names["xid8"] = TransactionId  # so that Alembic knows it in the database


class Task(SQLModel, table=True):
    """One thing to do, of one user. Completed is one of its statuses, not a column of its own.

    `changed` is the transaction that wrote the row last.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"char_length(title) BETWEEN 1 AND {TITLE_LENGTH}", name="title_length"),
        CheckConstraint("status IN ('pending', 'in_progress', 'completed')", name="status"),
        CheckConstraint("priority IN ('low', 'medium', 'high')", name="priority"),
        CheckConstraint("version >= 1", name="version"),
        PrimaryKeyConstraint("user_id", "id"),
        Index("ix_tasks_user_id_created_at", "user_id", text("created_at DESC"), text("id DESC")),
        Index("ix_tasks_user_id_status_created_at", "user_id", "status", text("created_at DESC"), text("id DESC")),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    title: str = Field(sa_column=Column(String(TITLE_LENGTH), nullable=False))
    description: str | None = Field(sa_column=Column(String(DESCRIPTION_LENGTH), nullable=True))
    status: str = Field(sa_column=Column(String(16), nullable=False, server_default=text("'pending'")))
    priority: str = Field(sa_column=Column(String(16), nullable=False, server_default=text("'medium'")))
    version: int = Field(nullable=False, sa_column_kwargs={"server_default": text("1")})
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    updated_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    changed: str = Field(sa_column=Column(TransactionId, nullable=False, server_default=text("'0'")))


class TaskTombstone(SQLModel, table=True):
    """A task that was deleted, at which version and by which transaction; for clients that were offline then."""

    __tablename__ = "task_tombstones"
    __table_args__ = (PrimaryKeyConstraint("user_id", "id"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    version: int = Field(nullable=False)
    changed: str = Field(sa_column=Column(TransactionId, nullable=False))
    deleted_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class TaskEpoch(SQLModel, table=True):
    """One row at most: within an epoch, transaction ids tell what came after what. Without it a new one is drawn."""

    __tablename__ = "task_epoch"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    epoch: UUID = Field(nullable=False)


class TaskRow(Row):
    """A task as it is read, written and sent: the columns of every statement are these fields."""

    id: UUID
    user_id: UUID
    title: str
    description: str | None
    completed: bool
    status: Status
    priority: Priority
    version: int
    created_at: datetime
    updated_at: datetime
