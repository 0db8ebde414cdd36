"""Waiting for what can be seen, in bounded time."""

import asyncio
import time
from collections.abc import Callable

from app.core.clock import stopwatch


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Look again and again until it is so. Raises: AssertionError if it never is."""
    deadline = stopwatch() + seconds
    while not condition():
        assert stopwatch() < deadline, f"not so in {seconds} s"
        time.sleep(0.01)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait like `wait_until`, while the loop goes on."""
    deadline = stopwatch() + seconds
    while not condition():
        assert stopwatch() < deadline, f"not so in {seconds} s"
        await asyncio.sleep(0.001)
