"""Turns: no user's requests take so many connections that others wait for them."""

import asyncio
from collections import deque
from uuid import UUID

SLOW_SECONDS = 0.1
"""When a statement takes longer, its user's run one by one: several would keep all cores of the database busy."""


class Turns:
    """At most `most` statements of one user run at once, the others wait in line for `seconds`.

    While any wait, they run one by one: who asks for so much delays those beside them by one statement, not by `most`.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        # Only users with running statements, and only those who wait.
        self._running: dict[UUID, int] = {}
        self._lines: dict[UUID, deque[asyncio.Future[None]]] = {}
        self._slow: set[UUID] = set()

    def take_at_once(self, user_id: UUID) -> bool:
        """Take a turn if nobody has to wait for it."""
        running = self._running.get(user_id, 0)
        if running and (running >= self._most or user_id in self._slow or user_id in self._lines):
            return False
        self._running[user_id] = running + 1
        return True

    async def take(self, user_id: UUID) -> None:
        """Wait for a turn, of which there are none now. Raises: TimeoutError."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(user_id, deque()).append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except (TimeoutError, asyncio.CancelledError):
            if not turn.cancelled():  # it came at the very moment of giving up, and must not be lost
                self.give(user_id, 0)
            raise

    def give(self, user_id: UUID, seconds: float) -> None:
        """End a turn that has taken so long; who waits longest has the next one."""
        if seconds > SLOW_SECONDS:
            self._slow.add(user_id)
        elif self._slow:
            self._slow.discard(user_id)
        running = self._running[user_id] - 1
        line = self._lines.get(user_id)
        while line and not running:
            turn = line.popleft()
            if not turn.done():  # else its request has given up
                turn.set_result(None)
                running = 1
        if line is not None and not line:
            del self._lines[user_id]
        if running:
            self._running[user_id] = running
        else:
            del self._running[user_id]
            self._slow.discard(user_id)
