"""The table of sessions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, PrimaryKeyConstraint, String, text
from sqlmodel import Field

from app.core.database.table import SQLModel

DEVICE_LENGTH = 100


class Session(SQLModel, table=True):
    """A session for its owner to see: `id` is the `sid` of its tokens, `token_version` that of its newest ones.

    Written when it begins, and never asked whether it is active.
    """

    __tablename__ = "sessions"
    __table_args__ = (PrimaryKeyConstraint("user_id", "id"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    device: str | None = Field(sa_column=Column(String(DEVICE_LENGTH), nullable=True))
    token_version: int = Field(nullable=False)
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
