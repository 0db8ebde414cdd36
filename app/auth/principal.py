"""Who is asking, according to a valid access token."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class Principal(NamedTuple):
    """A user in one session, at the moment of a request. Whether the session is active, only the database knows."""

    user_id: UUID
    session_id: UUID
    token_version: int
    now: datetime
    scopes: frozenset[str] | None = None
    """What a script may do; None of who has signed in, and may do everything."""
