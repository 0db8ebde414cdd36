"""The queue for the hashing threads, fair by address: no client's flood makes others wait for more than their turn."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from app.core.clock import stopwatch
from app.core.errors import ServiceUnavailable
from app.core.logging import current_request

T = TypeVar("T")

_NICENESS = 10


class HashingOverloaded(ServiceUnavailable):
    """More sign-ins at once than can be hashed in time."""

    code = "TOO_BUSY"
    message = "Too many sign-ins at the moment. Please try again in a few seconds."


class HashQueue:
    """Runs jobs in `width` threads; waiting clients take turns, so that each of n gets at most an nth of them.

    At most `longest` jobs wait. A further one takes the last place of the client with the longest line, if that is
    longer than its own client's: no client keeps more than half of the places while another wants them.
    """

    def __init__(self, *, width: int, longest: int, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(width, thread_name_prefix="hash", initializer=_lower_priority)
        self._free = width
        self._longest = longest
        self._seconds = seconds
        # In the order of the turns, only clients with waiting jobs. True: the job may run. False: it lost its place.
        self._lines: dict[str, deque[asyncio.Future[bool]]] = {}

    async def run(self, work: Callable[[], T], *, client: str) -> T:
        """Do this in a thread when it is the client's turn. Raises: HashingOverloaded."""
        record, asked_at = current_request(), stopwatch()
        try:
            await self._acquire(client)
        finally:
            began_at = stopwatch()
            record.waiting += began_at - asked_at
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)

        def release(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: the service has stopped
                loop.call_soon_threadsafe(self._release)

        # When the thread is free, not when the caller gives up: a client that gives up would gain a thread each time.
        job.add_done_callback(release)
        try:
            return await asyncio.wrap_future(job)
        finally:
            record.hashing += stopwatch() - began_at

    @property
    def waiting(self) -> int:
        """Return how many jobs wait."""
        return sum(map(len, self._lines.values()))

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _acquire(self, client: str) -> None:
        if self._free:  # nobody waits then
            self._free -= 1
            return
        self._make_room(client)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                may_go = await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.cancelled():
                self._leave(client, turn)
            elif turn.result():  # the turn came at the very moment of giving up, and must not be lost
                self._release()
            if isinstance(error, TimeoutError):
                raise HashingOverloaded(retry_after_seconds=5) from None
            raise
        if not may_go:
            raise HashingOverloaded(retry_after_seconds=5)

    def _make_room(self, client: str) -> None:
        if self.waiting < self._longest:
            return
        crowd = max(self._lines, key=lambda name: len(self._lines[name]))
        if len(self._lines[crowd]) <= len(self._lines.get(client, ())):
            raise HashingOverloaded(retry_after_seconds=5)
        last = self._lines[crowd][-1]
        self._leave(crowd, last)
        if not last.done():
            last.set_result(False)

    def _release(self) -> None:
        while self._lines:
            client, line = next(iter(self._lines.items()))
            del self._lines[client]
            turn = line.popleft()
            if line:
                self._lines[client] = line  # behind the others
            if not turn.done():  # else it was cancelled, and its task has not run since
                turn.set_result(True)
                return
        self._free += 1

    def _leave(self, client: str, turn: "asyncio.Future[bool]") -> None:
        line = self._lines.get(client, deque())
        if turn in line:
            line.remove(turn)
            if not line:
                del self._lines[client]


def _lower_priority() -> None:
    """Let requests go before hashes when both want a core, where that may be. Linux sets this for one thread.

    An exception would leave the pool broken. A process that is nicer already would have to ask for a higher priority.
    """
    with suppress(OSError):
        if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, 0) < _NICENESS:  # pragma: no branch  # in tests
            os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
