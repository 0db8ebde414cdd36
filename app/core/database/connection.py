"""A connection, and the ways to run statements: each for itself, or several in one transaction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC
from functools import cached_property
from typing import Any, Self

from psycopg import AsyncConnection, AsyncCursor, Error
from psycopg.abc import AdaptContext
from psycopg.types.datetime import TimestamptzBinaryLoader

from app.core.database.statement import RowT, Statement
from app.core.database.timelines import Timeline


class _UtcLoader(TimestamptzBinaryLoader):
    """Reads timestamps in UTC where the connection has another time zone."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._timezone = UTC


class Connection(AsyncConnection[Any]):
    """A connection with one cursor for all of its statements: making a cursor takes as long as using it."""

    timeline: Timeline | None = None

    @classmethod
    async def connect(cls, conninfo: str = "", *, tell: Callable[[Error | None], None], **arguments: Any) -> Self:  # type: ignore[override]  # the pool passes it on
        """Connect, and tell with what error that has failed, or that it has not: the pool keeps that to itself."""
        try:
            made = await super().connect(conninfo, **arguments)
        except Error as error:
            tell(error)
            raise
        tell(None)
        return made

    @cached_property
    def shared_cursor(self) -> AsyncCursor[Any]:
        """Return the cursor, whose timestamps are in UTC."""
        if self.info.parameter_status("TimeZone") != "UTC":  # a pooler refuses the option that would set it
            self.adapters.register_loader("timestamptz", _UtcLoader)
        return self.cursor(binary=True)


class Statements(ABC):
    """Runs statements, for their rows or for the first."""

    async def fetch_one(self, statement: Statement[RowT], **params: Any) -> RowT | None:
        """Return the first row, or None."""
        return next(iter(await self.fetch_all(statement, **params)), None)

    async def fetch_value(self, statement: Statement[RowT], **params: Any) -> RowT | None:
        """Return the first column of the first row, or None."""
        return await self.fetch_one(statement, **params)

    @abstractmethod
    async def fetch_all(self, statement: Statement[RowT], **params: Any) -> list[RowT]:
        """Return every row."""


class Transaction(Statements):
    """The statements of one transaction. Raises: psycopg.Error, which is for the pool to judge."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch_all(self, statement: Statement[RowT], **params: Any) -> list[RowT]:
        """Return every row."""
        return await fetch_all(statement, params, self._connection)


async def fetch_all(statement: Statement[RowT], values: Mapping[str, Any], connection: Connection) -> list[RowT]:
    """Run a statement on this connection and return every row."""
    cursor = connection.shared_cursor
    cursor.row_factory = statement.row_factory
    await cursor.execute(statement.sql, values)
    return await cursor.fetchall()
