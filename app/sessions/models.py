"""The table of sessions."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Column, DateTime, ForeignKey, PrimaryKeyConstraint, String, Text, text
from sqlmodel import Field

from app.core.database.table import SQLModel

DEVICE_LENGTH = 100


class Session(SQLModel, table=True):
    """A session for its owner to see: `id` is the `sid` of its tokens, `token_version` that of its newest ones.

    Written when it begins, and never asked whether it is active. A `script` has one token, with these scopes
    and this end.
    """

    __tablename__ = "sessions"
    __table_args__ = (PrimaryKeyConstraint("user_id", "id"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    device: str | None = Field(sa_column=Column(String(DEVICE_LENGTH), nullable=True))
    token_version: int = Field(nullable=False)
    kind: str = Field(sa_column=Column(String(16), nullable=False, server_default=text("'person'")))
    scopes: list[str] | None = Field(sa_column=Column(ARRAY(Text), nullable=True))
    expires_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
