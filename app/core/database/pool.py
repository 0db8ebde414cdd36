"""The pool of connections, and how a statement is run on it: one statement is one transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors
from psycopg_pool import PoolTimeout

from app.core.clock import stopwatch
from app.core.database.connection import Connection, Statements, Transaction
from app.core.database.dsn import STATEMENT_SECONDS, Dsn, connection_arguments
from app.core.database.hosts import Hosts, only_reads
from app.core.database.quick_pool import QuickPool
from app.core.database.statement import RowT, Statement
from app.core.database.timelines import ask
from app.core.database.trouble import why
from app.core.database.turns import Turns
from app.core.errors import ServiceUnavailable
from app.core.logging import current_request, get_logger

logger = get_logger(__name__)

T = TypeVar("T")

# A request waits at most this long for a connection, then for its statement. A server that does not even report that
# its time is over is cut off a second later.
POOL_WAIT_SECONDS = 2
LEAST_WAIT_SECONDS = 0.01  # for a connection that is free, after a long wait for a turn
ABORT_SECONDS = STATEMENT_SECONDS + 1
# Statements of one user that run at once in a process, and never more than half of its connections.
STATEMENTS_PER_USER = 4
SECONDS_PER_ROW = 0.0002  # what writing a row into an answer counts beside its statement: it holds the process up
RECONNECT_SECONDS = 0.1
LEAVE_SECONDS = 1
ATTEMPTS = 3

# The server has rolled the statement back as a whole: running it again is safe. A foreign key fails when what it names
# is deleted at that moment; the next attempt sees that.
_ROLLED_BACK = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.ForeignKeyViolation,
    errors.ReadOnlySqlTransaction,  # it did nothing; another server may be the one that writes by now
    errors.FeatureNotSupported,  # "cached plan must not change result type": a migration came between
)
# The database is down, full, read-only, or not migrated: the operator has to mend it, the client may try again.
_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,  # "got no result from the query": cut between two messages (psycopg 3.3.9)
    *_ROLLED_BACK,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InsufficientPrivilege,
)


class DatabaseUnavailable(ServiceUnavailable):
    """The database did not answer in time, or not at all; `reason` is for operators alone."""

    code = "DATABASE_UNAVAILABLE"

    def __init__(self, reason: str = "") -> None:
        super().__init__()
        self.reason = reason


class Database(Statements):
    """A bounded pool of connections in autocommit, and the ways to run a statement on it."""

    def __init__(self, dsn: Dsn, *, pool_min: int, pool_max: int) -> None:
        arguments = connection_arguments(dsn)
        self._hosts = Hosts(dsn, arguments) if dsn.fails_over else None
        self.pool = QuickPool(
            self._hosts.conninfo if self._hosts else dsn.conninfo,
            connection_class=Connection,
            kwargs={**arguments, "tell": self._note_connecting},
            min_size=pool_min,
            max_size=pool_max,
            configure=self._hosts.accept if self._hosts else None,
            timeout=POOL_WAIT_SECONDS,
            # psycopg_pool backs off 1, 2, 4… seconds between attempts. Without that, the next request tries at once;
            # for requests that wait already, `_reconnect` tries.
            reconnect_timeout=0,
            reconnect_failed=self._on_reconnect_failed,
            open=False,
        )
        most = max(1, min(STATEMENTS_PER_USER, pool_max // 2))
        self._turns = Turns(most=most, seconds=POOL_WAIT_SECONDS)
        self.on_write: Callable[[UUID], None] | None = None
        """Is told of whom something was written, once that is committed."""
        self._dsn = dsn
        self._connect_error: psycopg.Error | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._warned_at, self._failures = -1.0, 0
        self._left_at = -1.0

    async def open(self) -> None:
        """Begin to connect, without waiting for it."""
        if self._hosts:
            self._watching = asyncio.create_task(self._hosts.watch(self._replace_all))
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        for task in (self._reconnecting, self._watching):
            if task:
                task.cancel()
        await self.pool.close(timeout=2)

    def _note_connecting(self, error: psycopg.Error | None) -> None:
        self._connect_error = error

    async def _on_reconnect_failed(self, pool: Any) -> None:
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        """Try again while a request waits for a connection, so that it is served as soon as the database is back."""
        while self.pool.get_stats().get("requests_waiting"):
            await asyncio.sleep(RECONNECT_SECONDS)
            await self.pool.check()

    async def fetch_all(self, statement: Statement[RowT], **params: Any) -> list[RowT]:
        """Return every row, when it is the turn of the user whom a `user_id` names. Raises: DatabaseUnavailable."""

        def run(connection: Connection) -> Awaitable[list[RowT]]:
            return connection.fetch(statement, params)

        user_id, waited = params.get("user_id"), 0.0
        if user_id is None:
            return await self._repeat(run, asks_only=statement.only_reads)
        if not self._turns.take_at_once(user_id):
            waited = await self._wait_for_turn(user_id)
        began, found = stopwatch(), 0
        try:
            rows = await self._repeat(run, asks_only=statement.only_reads, waited=waited)
            found = len(rows)
            if found and statement.is_told and self.on_write:
                self.on_write(user_id)
            return rows
        finally:
            self._turns.give(user_id, stopwatch() - began + found * SECONDS_PER_ROW)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do some work in one transaction, which an exception rolls back. Raises: DatabaseUnavailable.

        What the server has rolled back is done again as a whole.
        """

        async def run(connection: Connection) -> tuple[T, set[UUID]]:
            transaction = Transaction(connection)
            async with connection.transaction():
                done = await work(transaction)
            return done, transaction.written

        done, written = await self._repeat(run, asks_only=False)
        if self.on_write:
            for user_id in written:
                self.on_write(user_id)
        return done

    async def transact_in_turn(self, user_id: UUID, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do the same when it is the turn of this user, whose transactions wait for each other."""
        if not self._turns.take_at_once(user_id):
            await self._wait_for_turn(user_id)
        began = stopwatch()
        try:
            return await self.transact(work)
        finally:
            self._turns.give(user_id, stopwatch() - began)

    async def _wait_for_turn(self, user_id: UUID) -> float:
        """Return how many seconds it took. Raises: DatabaseUnavailable."""
        since = stopwatch()
        try:
            await self._turns.take(user_id)
        except TimeoutError as error:
            raise DatabaseUnavailable from error
        waited = stopwatch() - since
        current_request().waiting += waited
        return waited

    async def connect(self) -> AsyncConnection[Any]:
        """Connect beside the pool, to the server that takes writes. Raises: psycopg.Error."""
        conninfo = await self._hosts.conninfo() if self._hosts else self._dsn.conninfo
        connection = await AsyncConnection.connect(conninfo, **connection_arguments(self._dsn))
        if self._hosts and self._hosts.is_left_behind(await ask(connection)):
            await connection.close()
            raise psycopg.OperationalError("was left behind")
        return connection

    async def _repeat(self, run: Callable[[Connection], Awaitable[T]], *, asks_only: bool, waited: float = 0.0) -> T:
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return await self._run(run, asks_only=asks_only, seconds=POOL_WAIT_SECONDS - waited)
                except _ROLLED_BACK:
                    if attempt == ATTEMPTS:
                        raise
            raise AssertionError
        except _UNAVAILABLE as error:
            reason = self._reason(error)
            self._warn(error, reason)
            raise DatabaseUnavailable(reason) from error

    def _reason(self, error: Exception) -> str:
        """Say why; while every new connection fails, that is why none was to be had."""
        if isinstance(error, PoolTimeout) and not self._connect_error:
            return "has more to do than its connections can: look at its load, then at DATABASE_POOL_MAX"
        return why(self._connect_error or error if isinstance(error, PoolTimeout) else error, self._dsn)

    def _warn(self, error: Exception, reason: str) -> None:
        """Log it once a second, with the number of failures: thousands of lines would hide the first."""
        self._failures += 1
        if stopwatch() - self._warned_at >= 1:
            extra = {"error": type(error).__name__, "reason": reason, "failures": self._failures}
            logger.warning("database_unavailable", extra=extra)
            self._warned_at, self._failures = stopwatch(), 0

    async def _run(self, run: Callable[[Connection], Awaitable[T]], *, asks_only: bool, seconds: float) -> T:
        record, asked_at = current_request(), stopwatch()
        connection = await self._checked_out(seconds)
        began_at = stopwatch()
        record.waiting += began_at - asked_at
        # For a server that does not answer at all: cancelling the task would take ten seconds more (psycopg 3.3.9).
        timer = asyncio.get_running_loop().call_later(ABORT_SECONDS, connection.abort)
        try:
            done = await run(connection)
            if self._hosts and self._hosts.is_left_behind(connection.timeline):
                await self._leave(connection)  # whether the other has a write of this moment nobody knows
                raise (errors.ReadOnlySqlTransaction if asks_only else psycopg.OperationalError)("was left behind")
            if self._hosts and only_reads(connection):
                if asks_only:  # another server may be newer; a write has succeeded
                    raise errors.ReadOnlySqlTransaction
                await self._leave(connection)
            return done
        except psycopg.Error as error:
            await self._after(error, connection, hangs=timer.when() <= asyncio.get_running_loop().time())
            raise
        finally:
            timer.cancel()
            record.database += stopwatch() - began_at
            await self.pool.putconn(connection)

    async def _after(self, error: psycopg.Error, connection: Connection, *, hangs: bool) -> None:
        """Leave a server that only reads, or that hangs while there are others; close a connection of no more use.

        In each case `fetch_all` runs the statement again if it was rolled back.
        """
        match error:
            case errors.ReadOnlySqlTransaction():  # a subclass of InternalError, so before it
                await self._leave(connection)
            case psycopg.InternalError() | errors.FeatureNotSupported():  # unknown state, or plans out of date
                await connection.close()
            case psycopg.OperationalError() if self._hosts and hangs:
                await self._leave(connection)

    async def _leave(self, connection: Connection) -> None:
        """Give this server up, and replace every connection."""
        if self._hosts:
            self._hosts.put_last(connection)
            await connection.close()  # also if it was just being made when the others were replaced
        await self._replace_all()

    async def _replace_all(self) -> None:
        """Replace every connection, idle or in use, at most once a second."""
        if stopwatch() - self._left_at >= LEAVE_SECONDS:
            self._left_at = stopwatch()
            logger.warning("database_server_left")
            await self.pool.drain()

    async def _checked_out(self, seconds: float) -> Connection:
        """Return a connection that the server has not closed while it was idle in the pool."""
        while True:
            connection = await self.pool.getconn(max(seconds, LEAST_WAIT_SECONDS))
            if connection.is_alive():
                return connection
            await connection.close()
            await self.pool.putconn(connection)
