"""Turns: no user's requests take so many connections that others wait for them."""

import asyncio
from collections import deque
from uuid import UUID


class Turns:
    """At most `most` statements of one user run at once, the others wait in line for `seconds`."""

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        # Only users with running statements, and only those who wait.
        self._running: dict[UUID, int] = {}
        self._lines: dict[UUID, deque[asyncio.Future[None]]] = {}

    def take_at_once(self, user_id: UUID) -> bool:
        """Take a turn if nobody has to wait for it."""
        running = self._running.get(user_id, 0)
        if running < self._most:  # nobody waits then
            self._running[user_id] = running + 1
            return True
        return False

    async def take(self, user_id: UUID) -> None:
        """Wait for a turn. Raises: TimeoutError."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(user_id, deque()).append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except (TimeoutError, asyncio.CancelledError):
            if not turn.cancelled():  # it came at the very moment of giving up, and must not be lost
                self.give(user_id)
            raise

    def give(self, user_id: UUID) -> None:
        """Give a turn to the next who waits."""
        line = self._lines.get(user_id)
        while line:
            turn = line.popleft()
            if not line:
                del self._lines[user_id]
            if not turn.done():  # else its request has given up
                turn.set_result(None)
                return
        self._running[user_id] -= 1
        if not self._running[user_id]:
            del self._running[user_id]
