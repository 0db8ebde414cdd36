"""The streams of this process: how many there may be, which of them are to look again, and how many do so at once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from random import uniform
from typing import TypeVar

from app.auth.principal import Principal
from app.core.errors import ServiceUnavailable
from app.live.errors import TooManyStreams

T = TypeVar("T")

STREAMS_PER_SESSION = 5
READERS = 4
"""Streams that read at once: more would take the pool's connections from requests."""
TURN_SECONDS = 2
BEAT_SECONDS = 20
"""At the latest after so long a stream looks: proxies cut a line on which nothing comes for 30 s or 60 s."""
DEAF_BEAT_SECONDS = 5  # where hints do not come through
EARLIEST = 0.8  # of a beat


def between(earliest: float, latest: float) -> float:
    """Return any time between two, so that not everybody comes at once."""
    return uniform(earliest, latest)  # noqa: S311  # nobody gains by guessing it


class Waiter:
    """One stream, as whoever wakes it knows it."""

    __slots__ = ("awake", "end", "session_id", "user_id")

    def __init__(self, principal: Principal) -> None:
        self.user_id, self.session_id = str(principal.user_id), principal.session_id
        self.awake = asyncio.Event()
        self.end = ""

    def stop(self, code: str) -> None:
        """Let the stream end, and say why."""
        self.end = self.end or code
        self.awake.set()


class Hub:
    """Wakes streams. It may wake them too often, but does not forget one."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.hears: bool | None = None
        """Whether hints come through; None until it is found out."""
        self.wanted = asyncio.Event()
        """Whether there are streams."""
        self._most = most
        self._by_user: dict[str, set[Waiter]] = {}
        self._by_session: Counter[object] = Counter()
        self._readers = asyncio.Semaphore(READERS)

    def add(self, principal: Principal) -> Waiter:
        """Let a stream begin. Raises: TooManyStreams."""
        if self.count >= self._most or self._by_session[principal.session_id] >= STREAMS_PER_SESSION:
            raise TooManyStreams
        waiter = Waiter(principal)
        self._by_user.setdefault(waiter.user_id, set()).add(waiter)
        self._by_session[waiter.session_id] += 1
        self.count += 1
        self.wanted.set()
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Forget a stream that has ended."""
        of_user = self._by_user[waiter.user_id]
        of_user.remove(waiter)
        if not of_user:
            del self._by_user[waiter.user_id]
        self._by_session[waiter.session_id] -= 1
        if not self._by_session[waiter.session_id]:
            del self._by_session[waiter.session_id]
        self.count -= 1
        if not self.count:
            self.wanted.clear()

    def wake(self, user_ids: Iterable[str]) -> None:
        """Let the streams of these users look."""
        for user_id in user_ids:
            for waiter in self._by_user.get(user_id, ()):
                waiter.awake.set()

    def wake_all(self) -> None:
        """Let every stream look."""
        self.wake(self._by_user)

    def stop_all(self, code: str) -> None:
        """End every stream."""
        for waiters in self._by_user.values():
            for waiter in waiters:
                waiter.stop(code)

    def next_beat(self) -> float:
        """Return in how many seconds a stream is to look without a hint."""
        beat = DEAF_BEAT_SECONDS if self.hears is False else BEAT_SECONDS
        return between(EARLIEST * beat, beat)

    async def read(self, work: Callable[[], Awaitable[T]]) -> T:
        """Read when it is this stream's turn. Raises: ServiceUnavailable if that does not come soon."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._readers.acquire()
        except TimeoutError as error:
            raise ServiceUnavailable from error
        try:
            return await work()
        finally:
            self._readers.release()
