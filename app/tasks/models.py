"""The table of tasks, and the one list of a task's fields."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, PrimaryKeyConstraint, String, text
from sqlmodel import Field

from app.core.database.statement import Row
from app.core.database.table import SQLModel

Status = Literal["pending", "in_progress", "completed"]
Priority = Literal["low", "medium", "high"]
Sort = Literal["created_at", "updated_at", "priority", "title"]
Order = Literal["asc", "desc"]

TITLE_LENGTH = 200
DESCRIPTION_LENGTH = 2000


class Task(SQLModel, table=True):
    """One thing to do, of one user. Completed is one of its statuses, not a column of its own."""

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
