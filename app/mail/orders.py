"""What is to be mailed: orders, of which the sender makes mails, and the mails."""

from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from app.auth.notices import OwnersNotice
from app.core.mail_settings import Notice

Kind = Literal["reset", "verify", "change", "change_asked", "known", "test"] | Notice
"""The texts that there are."""


class ResetAsked(NamedTuple):
    """Somebody has forgotten the password of whichever account has this address, if one has it."""

    email: str


class VerifyAsked(NamedTuple):
    """The user wants to prove this address, which is the account's."""

    user_id: UUID
    email: str
    token_version: int


class ChangeAsked(NamedTuple):
    """The user wants another address in the place of the account's."""

    user_id: UUID
    email: str
    new_email: str
    token_version: int


Order: TypeAlias = ResetAsked | VerifyAsked | ChangeAsked | OwnersNotice


class Mail(NamedTuple):
    """A mail as it is handed in; without a recipient it is carried as far as the server's door."""

    kind: Kind
    user_id: UUID | None
    to: str | None
    content: bytes
    is_international: bool
    """Whether the address is in Unicode, so that the server must know SMTPUTF8."""
