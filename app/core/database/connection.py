"""A connection, and the ways to run statements: each for itself, or several in one transaction."""

import os
import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC
from functools import cached_property
from typing import Any, Self, TypeVar
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor, Error
from psycopg.abc import AdaptContext, PQGen
from psycopg.rows import tuple_row
from psycopg.types.datetime import TimestamptzBinaryLoader

from app.core.database.prepared import PreparedStatements, missing
from app.core.database.statement import RowT, Statement
from app.core.database.timelines import Timeline
from app.core.database.wire import Wire

T = TypeVar("T")


class _UtcLoader(TimestamptzBinaryLoader):
    """Reads timestamps in UTC where the connection has another time zone."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._timezone = UTC


class Connection(AsyncConnection[Any]):
    """A connection that runs statements: those of the service by a wire of its own, all else by psycopg's cursors."""

    timeline: Timeline | None = None
    _wire: Wire | None = None
    _statements: PreparedStatements

    @classmethod
    async def connect(cls, conninfo: str = "", *, tell: Callable[[Error | None], None], **arguments: Any) -> Self:  # type: ignore[override]  # the pool passes it on
        """Connect, and tell with what error that has failed, or that it has not: the pool keeps that to itself."""
        try:
            made = await super().connect(conninfo, **arguments)
        except Error as error:
            tell(error)
            raise
        tell(None)
        # A transaction pooler changes the server, which knows no statement by name, between any two.
        if made.prepare_threshold is not None and not missing():
            made._wire = Wire(made.pgconn)
            made._statements = PreparedStatements(made.pgconn, made._wire)
        return made

    async def fetch(self, statement: Statement[RowT], params: Mapping[str, Any]) -> list[RowT]:
        """Run a statement and return its rows. One that is cancelled closes the connection."""
        if not self._wire:
            cursor = self._cursor
            await cursor.execute(statement.sql, params)
            return statement.rows(await cursor.fetchall())
        return statement.rows(await self._statements.fetch(statement, [params[name] for name in statement.parameters]))

    @cached_property
    def _cursor(self) -> AsyncCursor[Any]:
        """One for all statements: making it takes as long as using it."""
        if self.info.parameter_status("TimeZone") != "UTC":  # a pooler refuses the option that would set it
            self.adapters.register_loader("timestamptz", _UtcLoader)
        return self.cursor(binary=True, row_factory=tuple_row)

    def is_alive(self) -> bool:
        """Return whether the server has not closed it while it was idle."""
        if self._wire:
            return self._wire.is_quiet()
        with suppress(OSError, Error):
            poll = select.poll()
            poll.register(self.pgconn.socket, select.POLLIN)
            return not poll.poll(0)
        return False

    async def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """Wait for what psycopg does itself, such as to begin a transaction."""
        if not self._wire:
            return await super().wait(gen, *args, **options)
        with self._wire.lent():
            return await super().wait(gen, *args, **options)

    def abort(self) -> None:
        """Give up a server that does not answer: what waits for it fails, psycopg's own commands too."""
        with suppress(OSError, Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as link:
            link.shutdown(socket.SHUT_RDWR)
        if self._wire:
            self._wire.close()

    async def close(self) -> None:
        """Close it."""
        if self._wire:
            self._wire.close()
        await super().close()


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
        self.written: set[UUID] = set()
        """The users of whom something was written."""

    async def fetch_all(self, statement: Statement[RowT], **params: Any) -> list[RowT]:
        """Return every row."""
        rows = await self._connection.fetch(statement, params)
        if rows and statement.is_told and (user_id := params.get("user_id")):
            self.written.add(user_id)
        return rows
