"""Hints: of whom something was written, said to every process after it was committed. One that is lost does no harm."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import NamedTuple
from uuid import UUID

import psycopg

from app.core.config import Settings
from app.core.database.pool import Database
from app.core.database.sql import plain
from app.core.database.statement import Statement
from app.core.errors import ServiceUnavailable
from app.core.logging import get_logger

logger = get_logger("app.live")

CHANNEL = "tasks"
GATHER_SECONDS = 0.05
MOST_USERS = 200  # of 36 characters and a comma: PostgreSQL takes 8,000 bytes
EVERYBODY = "*"
PROBE = "?"

# A notification is a transaction of its own, under a lock of the whole server: so it does not wait for the disk.
NOTIFY = Statement(
    plain(
        "SELECT set_config('synchronous_commit', 'off', true) || "
        f"CAST(pg_notify('{CHANNEL}', CAST(:payload AS text)) AS text) AS sent",
        sent=str,
    ),
    str,
)

Count = Callable[[str], None]
"""Counts a hint by what became of it: `sent`, `failed`, `heard` or `unheard`."""


@asynccontextmanager
async def listening_server(settings: Settings, database: Database) -> AsyncIterator[Database]:
    """Yield the database where hints are said and heard: past a pooler, where a way past it is set."""
    if settings.listen_dsn is None:
        yield database
        return
    direct = Database(settings.listen_dsn, pool_min=0, pool_max=1)
    await direct.open()
    try:
        yield direct
    finally:
        await direct.close()


class Hint(NamedTuple):
    """A hint as it was heard."""

    sender: str
    user_ids: list[str]

    @property
    def is_probe(self) -> bool:
        """Return whether it asks only to be heard."""
        return self.user_ids == [PROBE]

    @property
    def is_for_everybody(self) -> bool:
        """Return whether every stream is to look."""
        return self.user_ids == [EVERYBODY]


def write_hint(sender: str, user_ids: Iterable[object]) -> str:
    """Return a hint as it is sent."""
    return f"{sender} {','.join(map(str, user_ids))}"


def read_hint(payload: str) -> Hint:
    """Return what was sent. Whatever a stranger sends on the channel names no user."""
    sender, _, names = payload.partition(" ")
    return Hint(sender, names.split(","))


class Hints:
    """Gathers users for a moment, and sends them by one small statement."""

    def __init__(self, server: Database, count: Count) -> None:
        self.sender = secrets.token_hex(6)
        self._server = server
        self._count = count
        self._waiting: dict[UUID, None] = {}
        self._any = asyncio.Event()
        self._is_stopping = False
        self._has_failed = False

    def add(self, user_id: UUID) -> None:
        """Have it sent that something of this user was written."""
        self._waiting[user_id] = None
        self._any.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send what is added in this block, the last of it at its end. What is being sent then is not cut off."""
        sending = asyncio.create_task(self._run(), context=Context())  # what it does is part of no request
        try:
            yield
        finally:
            self._is_stopping = True
            self._any.set()
            await sending

    async def _run(self) -> None:
        while not self._is_stopping:
            await self._any.wait()
            if not self._is_stopping:
                await asyncio.sleep(GATHER_SECONDS)
            await self._send_waiting()

    async def _send_waiting(self) -> None:
        """Send what was gathered, so many users at a time as fit. What cannot be sent is forgotten."""
        self._any.clear()
        waiting = list(self._waiting)
        self._waiting.clear()
        for first in range(0, len(waiting), MOST_USERS):
            await self.send(waiting[first : first + MOST_USERS])

    async def send(self, what: Iterable[object]) -> bool:
        """Send a hint, and return whether that was possible."""
        try:
            await self._server.fetch_all(NOTIFY, payload=write_hint(self.sender, what))
        except (ServiceUnavailable, psycopg.Error) as error:
            self._count("failed")
            if not self._has_failed:
                logger.warning("hints_failed", extra={"error": type(error).__name__})
            self._has_failed = True
            return False
        self._count("sent")
        self._has_failed = False
        return True
