"""Executes statements: SQLModel says what, psycopg does it, one statement is one transaction."""

import asyncio
import os
import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import args_row
from psycopg.types.string import ByteaBinaryLoader
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import UserDefinedType

from app.core.clock import stopwatch
from app.core.database.dsn import Dsn
from app.core.errors import ServiceUnavailable
from app.core.logging import get_logger

logger = get_logger(__name__)

RowT = TypeVar("RowT", bound=NamedTuple)

STATEMENT_SECONDS = 3
LOCK_SECONDS = 2
CONNECT_SECONDS = 3
POOL_WAIT_SECONDS = 2
RECONNECT_SECONDS = 0.1
ABORT_SECONDS = STATEMENT_SECONDS + 1
ATTEMPTS = 3

_dialect = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

# "cached plan must not change result type": a migration went by, and what was prepared is out of date.
_OUT_OF_DATE = errors.FeatureNotSupported
# The server has rolled the statement back as a whole: running it again is safe.
_ROLLED_BACK = (errors.DeadlockDetected, errors.SerializationFailure, _OUT_OF_DATE)
# The database is away, full, read-only, or not migrated: the operator's to mend, the client's to try again.
_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,  # "got no result from the query": cut between two messages (psycopg 3.3.9)
    *_ROLLED_BACK,
    errors.ReadOnlySqlTransaction,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InsufficientPrivilege,
)


class DatabaseUnavailable(ServiceUnavailable):
    """The database did not answer in time, or not at all."""

    code = "DATABASE_UNAVAILABLE"


class Utf8Bytes(UserDefinedType[bytes]):
    """Text that is only handed on: it comes as the bytes that the server sent, in UTF-8.

    `bpchar` because no column has it, so that its loader meets nothing else; text becomes it without a copy.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "bpchar"


class Statement(Generic[RowT]):
    """A SQLModel statement, compiled once, and the row type that its columns fill in order."""

    def __init__(self, clause: ClauseElement, row: type[RowT]) -> None:
        compiled = clause.compile(dialect=_dialect)
        self.sql = str(compiled).encode()
        self.literals = {name: value for name, value in compiled.params.items() if value is not None}
        self.row_factory = args_row(row)


class Connection(AsyncConnection[Any]):
    """A connection with one cursor for all of its statements: making a cursor takes as long as using it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.adapters.register_loader("bpchar", ByteaBinaryLoader)
        self.work = self.cursor(binary=True)


class Database:
    """A bounded pool of connections in autocommit, and the two ways to run a statement on it."""

    def __init__(self, dsn: Dsn, *, pool_min: int, pool_max: int) -> None:
        self.pool = AsyncConnectionPool(
            dsn.conninfo,
            connection_class=Connection,
            kwargs=connection_arguments(dsn),
            min_size=pool_min,
            max_size=pool_max,
            timeout=POOL_WAIT_SECONDS,
            # psycopg_pool backs off 1, 2, 4… seconds between attempts. Without, the next request tries at once; for
            # those that wait already, `_reconnect` does.
            reconnect_timeout=0,
            reconnect_failed=self._on_reconnect_failed,
            open=False,
        )
        self._reconnecting: asyncio.Task[None] | None = None
        self._warned_at, self._failures = -1.0, 0

    async def open(self) -> None:
        """Begin to connect, without waiting for it."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Give every connection back to the server."""
        if self._reconnecting:
            self._reconnecting.cancel()
        await self.pool.close(timeout=2)

    async def _on_reconnect_failed(self, pool: Any) -> None:
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        """Try again while somebody waits for a connection, so that the first moment of a return is not missed."""
        while self.pool.get_stats().get("requests_waiting"):
            await asyncio.sleep(RECONNECT_SECONDS)
            await self.pool.check()

    async def fetch_one(self, statement: Statement[RowT], **params: Any) -> RowT | None:
        """Give the first row, or None. Raises: DatabaseUnavailable."""
        rows = await self.fetch_all(statement, **params)
        return rows[0] if rows else None

    async def fetch_all(self, statement: Statement[RowT], **params: Any) -> list[RowT]:
        """Give every row. Raises: DatabaseUnavailable."""
        values = {**statement.literals, **params}
        try:
            for _ in range(ATTEMPTS - 1):
                with suppress(*_ROLLED_BACK):
                    return await self._attempt(statement, values)
            return await self._attempt(statement, values)
        except _UNAVAILABLE as error:
            self._warn(error)
            raise DatabaseUnavailable from error

    def _warn(self, error: Exception) -> None:
        """Say it once a second, with how often: thousands of lines would hide the first."""
        self._failures += 1
        if stopwatch() - self._warned_at >= 1:
            extra = {"error": type(error).__name__, "failures": self._failures}
            logger.warning("database_unavailable", extra=extra)
            self._warned_at, self._failures = stopwatch(), 0

    async def _attempt(self, statement: Statement[RowT], values: Mapping[str, Any]) -> list[RowT]:
        connection = await self._checked_out()
        # A server that does not answer at all: cancelling the task would wait ten seconds more (psycopg 3.3.9).
        timer = asyncio.get_running_loop().call_later(ABORT_SECONDS, _abort, connection)
        try:
            cursor = connection.work
            cursor.row_factory = statement.row_factory
            await cursor.execute(statement.sql, values)
            rows: list[RowT] = await cursor.fetchall()
            return rows
        except (psycopg.InternalError, _OUT_OF_DATE):
            await connection.close()  # nobody knows what it would say next
            raise
        finally:
            timer.cancel()
            await self.pool.putconn(connection)

    async def _checked_out(self) -> Connection:
        """Take a connection that the server has not closed while it lay in the pool."""
        while True:
            connection = await self.pool.getconn()
            if not _is_closed_by_server(connection):
                return connection
            await connection.close()
            await self.pool.putconn(connection)


def connection_arguments(dsn: Dsn) -> dict[str, Any]:
    """Give psycopg's arguments for a connection of the service."""
    arguments: dict[str, Any] = {
        "autocommit": True,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "auth-tasks-api",
        "client_encoding": "UTF8",
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    if dsn.behind_pooler:
        # A transaction pooler changes the server session at every statement and refuses start-up options.
        return arguments | {"prepare_threshold": None}
    options = {
        "timezone": "UTC",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": "10s",
        # Plans are kept: one that was made while a table was small must not read all of it when it has grown.
        "enable_seqscan": "off",
        "jit": "off",
    }
    given = psycopg.conninfo.conninfo_to_dict(dsn.conninfo).get("options") or ""
    settings = " ".join(f"-c {name}={value}" for name, value in options.items())
    return arguments | {"prepare_threshold": 1, "options": f"{settings} {given}".strip()}


def _is_closed_by_server(connection: AsyncConnection[Any]) -> bool:
    """Say whether an idle connection's socket is readable: the server said goodbye, or is gone."""
    try:
        poll = select.poll()
        poll.register(connection.pgconn.socket, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, psycopg.Error):
        return True


def _abort(connection: AsyncConnection[Any]) -> None:
    """Shut the socket, so that psycopg sees it closed."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.pgconn.socket)) as link:
        link.shutdown(socket.SHUT_RDWR)
