"""The way to the server of one connection: its socket is watched for as long as it is open.

A statement waits for one future and nothing else. psycopg's cursor would add the socket to the loop and take it away
for each statement, and wake every tenth of a second meanwhile.
"""

import asyncio
import select
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import OperationalError, errors, generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait


class Wire:
    """Takes the answers of one server, to one statement at a time."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._socket = pgconn.socket
        self._loop = asyncio.get_running_loop()
        self._is_watched = self._awaits_room = False
        # psycopg's protocol for the statement that runs: its steps yield what they wait for.
        self._steps: PQGen[list[PGresult]] | None = None
        self._results: asyncio.Future[list[PGresult]]
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._watch()

    def is_quiet(self) -> bool:
        """Return whether the server has neither closed the connection nor said anything since its last answer.

        What it says unasked is that it closes it. The socket itself is asked: the loop may have stood still meanwhile.
        """
        return self._pgconn.status == ConnStatus.OK and not self._poll.poll(0)

    async def answer(self) -> PGresult:
        """Return the answer to what was sent. Raises: psycopg.Error."""
        results = await self._exchange()
        if not results:
            raise errors.InternalError("got no result from the query")  # as psycopg says it
        if results[-1].status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(results[-1])
        return results[-1]

    async def _exchange(self) -> list[PGresult]:
        self._watch()
        steps = generators.execute(self._pgconn)
        try:
            wants = next(steps)
        except StopIteration as done:
            results: list[PGresult] = done.value
            return results
        self._steps, self._results = steps, self._loop.create_future()
        self._await_room(bool(wants & Wait.W))
        try:
            return await self._results
        except asyncio.CancelledError:
            if self._steps:  # its answer is still to come: whoever had the connection next would take it for their own
                self._unwatch()
                self._pgconn.finish()
            raise
        finally:
            self._steps = None

    def _go_on(self, ready: Ready) -> None:
        """Let psycopg read or write as far as it can."""
        if not self._steps:  # `is_quiet` finds at the next check-out what was said
            self._unwatch()
            return
        try:
            wants = self._steps.send(ready)
        except StopIteration as done:
            self._steps = None
            if self._pgconn.status != ConnStatus.OK:  # libpq has closed the socket, whose number another has soon
                self._unwatch()
            if not self._results.done():
                self._results.set_result(done.value)
        except Exception as error:
            self._unwatch()
            self._fail(error)
        else:
            self._await_room(bool(wants & Wait.W))

    def close(self) -> None:
        """Leave the socket alone, which is about to be closed; a statement that waits fails."""
        self._unwatch()
        self._fail(OperationalError("the connection was closed"))

    def _fail(self, error: Exception) -> None:
        if self._steps and not self._results.done():
            self._results.set_exception(error)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let psycopg watch the socket meanwhile: there can be one reader."""
        self._unwatch()
        try:
            yield
        finally:
            self._watch()

    def _watch(self) -> None:
        if not self._is_watched and self._pgconn.status == ConnStatus.OK:
            self._loop.add_reader(self._socket, self._go_on, Ready.R)
            self._is_watched = True

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.remove_reader(self._socket)
            self._is_watched = False
        self._await_room(False)

    def _await_room(self, wanted: bool) -> None:
        """Watch for room to write only while that is waited for: nearly always there is some."""
        if wanted != self._awaits_room:
            self._awaits_room = wanted
            if wanted:
                self._loop.add_writer(self._socket, self._go_on, Ready.W)
            else:
                self._loop.remove_writer(self._socket)
