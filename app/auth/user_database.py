"""The database as one user may use it: nothing is found or changed without an active session."""

from typing import Any

from app.auth.active_session import (
    LOCK_USER,
    SELECT_ACTIVE_USER,
    SELECT_CREDENTIALS,
    Credentials,
    UserRow,
    UserStatement,
    caller,
)
from app.auth.errors import InvalidToken
from app.auth.principal import Principal
from app.core.database.connection import Transaction
from app.core.database.pool import Database
from app.core.database.statement import RowT, Statement


class UserDatabase:
    """Runs statements for a principal. Raises: InvalidToken if the session is not active, except when it writes."""

    def __init__(self, database: Database, principal: Principal) -> None:
        self.principal = principal
        self._database = database
        self._parameters = caller(principal)
        self._is_active = False

    async def fetch_counted(self, statement: UserStatement[RowT], **params: Any) -> tuple[list[RowT], tuple[Any, ...]]:
        """Return the rows and the counts of a statement that counts."""
        answer = await self._fetch(statement, params)
        return statement.rows(answer), answer[0][1 : statement.width]

    async def fetch_one(self, statement: UserStatement[RowT], **params: Any) -> RowT | None:
        """Return the first row, or None."""
        rows = statement.rows(await self._fetch(statement, params))
        return rows[0] if rows else None

    async def fetch_all(self, statement: UserStatement[RowT], **params: Any) -> list[RowT]:
        """Return every row."""
        return statement.rows(await self._fetch(statement, params))

    async def _fetch(self, statement: UserStatement[Any], params: dict[str, Any]) -> list[tuple[Any, ...]]:
        answer = await self._database.fetch_all(statement.statement, **self._parameters, **params)
        if not answer:
            raise InvalidToken
        self._is_active = True
        return answer

    async def write(self, statement: Statement[RowT], **params: Any) -> RowT | None:
        """Return the written row. None: nothing was written, because it exists already or the session has ended."""
        row = await self._database.fetch_one(statement, **self._parameters, **params)
        return self._noted(row)

    async def write_counted(self, statement: Statement[RowT], **params: Any) -> RowT | None:
        """Do the same one after the other, so that a statement counts what those before it have written."""

        async def work(transaction: Transaction) -> list[RowT]:
            await transaction.fetch_value(LOCK_USER, user_id=self.principal.user_id)
            return await transaction.fetch_all(statement, **self._parameters, **params)

        rows = await self._database.transact_in_turn(self.principal.user_id, work)
        return self._noted(rows[0] if rows else None)

    def _noted(self, row: RowT | None) -> RowT | None:
        self._is_active = self._is_active or row is not None
        return row

    async def get_user(self) -> UserRow:
        """Return the principal's account."""
        return await self._get(SELECT_ACTIVE_USER)

    async def get_credentials(self) -> Credentials:
        """Return what the principal signs in with."""
        return await self._get(SELECT_CREDENTIALS)

    async def _get(self, statement: Statement[RowT]) -> RowT:
        row = await self._database.fetch_one(statement, **self._parameters)
        if row is None:
            raise InvalidToken
        self._is_active = True
        return row

    async def is_active(self) -> bool:
        """Return whether the session is active."""
        return await self._database.fetch_one(SELECT_ACTIVE_USER, **self._parameters) is not None

    async def require_active(self) -> None:
        """Check that the session is active, unless an earlier statement has checked it."""
        if not self._is_active:
            await self.get_user()
