"""The tables that say who is asking: users, what they may, and denied tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
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

EMAIL_LENGTH = 254
NAME_LENGTH = 100


class User(SQLModel, table=True):
    """An account. `email` is stored in the one form that `emails.normalise_email` returns.

    `password_version` counts the passwords that its owner has chosen. `email_verified_at` is when they proved by a link
    that mail to the address reaches them.
    """

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    email: str = Field(sa_column=Column(String(EMAIL_LENGTH), nullable=False, unique=True))
    name: str | None = Field(sa_column=Column(String(NAME_LENGTH), nullable=True))
    password_hash: str = Field(sa_column=Column(String(255), nullable=False))
    password_version: int = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    email_verified_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
    updated_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class UserState(SQLModel, table=True):
    """Who may: what every statement asks of its user, in a row that lies beside the user's others.

    `token_version` is that of the tokens which are good, `password_version` that of the password, `passkey_version`
    that of the passkeys. Who is `leaving` has been closed for good, and is being deleted.
    """

    __tablename__ = "user_state"

    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    is_active: bool = Field(nullable=False, sa_column_kwargs={"server_default": text("true")})
    token_version: int = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    password_version: int = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    passkey_version: int = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    leaving: bool = Field(nullable=False, sa_column_kwargs={"server_default": text("false")})


class DeniedToken(SQLModel, table=True):
    """What is denied of a session: while it is `active` its refresh tokens up to a number, at its end all.

    `id` is the session's. `key_hash` (the SHA-256 of its key) and `client` (a fingerprint) tell with what the last
    token was used, `uses` when and with what the last few were: who has them may ask for the answer again. `counted`
    is how many exchanges there were in the window that ends at `window_ends`.

    1.0 kept a row for each refresh token that was `used`, whose `id` is the token's `jti`. The `challenge` of a passkey
    that was used has a row, too, whose `id` is no session's.
    """

    __tablename__ = "token_denylist"
    __table_args__ = (
        CheckConstraint("reason IN ('active', 'signed_out', 'reused', 'challenge', 'used')", name="reason"),
        PrimaryKeyConstraint("user_id", "id"),
        {"postgresql_with": {"fillfactor": 70}},  # a refresh rewrites the row where it stands
    )

    id: UUID = Field(primary_key=True)
    session_id: UUID = Field(nullable=False)
    user_id: UUID = Field(sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True))
    reason: str = Field(sa_column=Column(String(16), nullable=False))
    denied_up_to: int | None = Field(default=None, nullable=True)
    denied_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    key_hash: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    client: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    uses: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    counted: int = Field(nullable=False, sa_column_kwargs={"server_default": text("0")})
    window_ends: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
