"""The tables that say who is asking: users and denied tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    text,
)
from sqlmodel import Field

from app.core.database.table import SQLModel

EMAIL_LENGTH = 254
NAME_LENGTH = 100


class User(SQLModel, table=True):
    """An account. `email` is stored in the one form that `emails.normalise_email` returns."""

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    email: str = Field(sa_column=Column(String(EMAIL_LENGTH), nullable=False, unique=True))
    name: str | None = Field(sa_column=Column(String(NAME_LENGTH), nullable=True))
    password_hash: str = Field(sa_column=Column(String(255), nullable=False))
    is_active: bool = Field(nullable=False, sa_column_kwargs={"server_default": text("true")})
    token_version: int = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    updated_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class DeniedToken(SQLModel, table=True):
    """A refresh token that was used (`id` is its `jti`), or a session that has ended (`id` is its `sid`).

    `key_hash` is the SHA-256 of the key with which the token was used: who has the key may ask for the answer again.
    """

    __tablename__ = "token_denylist"
    __table_args__ = (
        CheckConstraint("reason IN ('used', 'reused', 'signed_out')", name="reason"),
        PrimaryKeyConstraint("user_id", "id"),
        Index("ix_token_denylist_user_id_expires_at", "user_id", "expires_at"),
    )

    id: UUID = Field(primary_key=True)
    session_id: UUID = Field(nullable=False)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    reason: str = Field(sa_column=Column(String(16), nullable=False))
    denied_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    key_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
