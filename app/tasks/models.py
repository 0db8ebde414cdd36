"""The table of tasks."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, String, text
from sqlmodel import Field

from app.core.database.table import Table

Status = Literal["pending", "in_progress", "completed"]
Priority = Literal["low", "medium", "high"]
Sort = Literal["created_at", "updated_at", "priority", "title"]
Order = Literal["asc", "desc"]

MOMENTS: tuple[Sort, ...] = ("created_at", "updated_at")

TITLE_LENGTH = 200
DESCRIPTION_LENGTH = 2000


class Task(Table, table=True):
    """One thing to do, of one user. That it is completed is a status, not a fact of its own."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="title_length"),
        CheckConstraint("status IN ('pending', 'in_progress', 'completed')", name="status"),
        CheckConstraint("priority IN ('low', 'medium', 'high')", name="priority"),
        CheckConstraint("version >= 1", name="version"),
        Index("ix_tasks_user_id_created_at", "user_id", text("created_at DESC"), text("id DESC")),
        Index("ix_tasks_user_id_status_created_at", "user_id", "status", text("created_at DESC"), text("id DESC")),
    )

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), nullable=False))
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
