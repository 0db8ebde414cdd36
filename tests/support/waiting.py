"""Waiting for what can be seen, in bounded time."""

import asyncio
import time
from collections.abc import Callable

import psycopg

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


def held_statements(connection: psycopg.Connection) -> int:
    """Return how many statements wait for another transaction, on all nodes of Citus."""
    held = b"SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid')"
    if connection.execute(b"SELECT to_regclass('citus_lock_waits')").fetchone() != (None,):
        held = b"SELECT count(DISTINCT waiting_gpid) FROM citus_lock_waits"
    return int(str((connection.execute(held).fetchone() or [0])[0]))
