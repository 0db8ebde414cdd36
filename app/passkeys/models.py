"""The table of passkeys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    text,
)
from sqlmodel import Field

from app.core.database.table import SQLModel

PASSKEY_NAME_LENGTH = 100


class Passkey(SQLModel, table=True):
    """A key of which this service has the public half; `id` is the authenticator's.

    It is good while `passkey_version` is that of its user, who gets another one by each reset. `sign_count` is how
    often the authenticator says that it has signed; those that are `synced` among devices say 0.
    """

    __tablename__ = "passkeys"
    __table_args__ = (PrimaryKeyConstraint("user_id", "id"),)

    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    public_key: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sign_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    name: str | None = Field(default=None, sa_column=Column(String(PASSKEY_NAME_LENGTH), nullable=True))
    synced: bool = Field(sa_column=Column(Boolean, nullable=False))
    passkey_version: int = Field(nullable=False)
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    last_used_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
