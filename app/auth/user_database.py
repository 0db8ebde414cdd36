"""Who is calling: runs statements that find nothing and change nothing unless the caller's sign-in lives."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.auth.active_session import SELECT_SIGNED_IN_USER, UserRow
from app.auth.errors import InvalidToken
from app.auth.tokens import Claims
from app.core.database.pool import Database, RowT, Statement


class Caller:
    """The sender of a genuine access token at one moment. Whether its sign-in lives, the first statement finds out."""

    def __init__(self, database: Database, claims: Claims, now: datetime) -> None:
        self.user_id: UUID = claims.user_id
        self.now = now
        self.is_signed_in = False
        self._database = database
        self._owner = {
            "user_id": claims.user_id,
            "session_id": claims.session_id,
            "version": claims.token_version,
        }

    async def fetch_all(self, statement: Statement[RowT], **params: Any) -> Sequence[RowT]:
        """Run a statement made `for_owner`. Raises: InvalidToken if the sign-in is over."""
        rows = await self._database.fetch_all(statement, **self._owner, **params)
        if not rows:
            raise InvalidToken
        self.is_signed_in = True
        return rows if rows[0][0] is not None else ()

    async def fetch_one(self, statement: Statement[RowT], **params: Any) -> RowT | None:
        """Give the first row, or None. Raises: as above."""
        rows = await self.fetch_all(statement, **params)
        return rows[0] if rows else None

    async def user(self) -> UserRow:
        """Raises: InvalidToken if the sign-in is over."""
        return (await self.fetch_all(SELECT_SIGNED_IN_USER))[0]

    async def check(self) -> None:
        """Ask, unless a statement has found it out already. Raises: InvalidToken if the sign-in is over."""
        if not self.is_signed_in:
            await self.user()
