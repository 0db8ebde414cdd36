"""What the owner of an account is told of by mail, where there is mail."""

from typing import NamedTuple
from uuid import UUID

from app.core.mail_settings import Notice


class OwnersNotice(NamedTuple):
    """Something that has happened to an account, for whoever reads this address."""

    what: Notice
    user_id: UUID
    email: str
    session_id: UUID | None = None
    """With `signed_in`: the session that has begun, on a `device` that may be a new one."""
    device: str | None = None
