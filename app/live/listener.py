"""The connection on which a process hears hints, held while it has streams."""

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from app.core.database.dsn import Dsn
from app.core.database.pool import Database
from app.core.database.trouble import why
from app.core.logging import get_logger
from app.live.hints import CHANNEL, PROBE, Count, Hints, read_hint
from app.live.hub import Hub

logger = get_logger("app.live")

LISTEN = sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL))
LINGER_SECONDS = 60
"""How long the connection is kept after the last stream."""
HEARD_SECONDS = 5
PROBE_SECONDS = 20
RECONNECT_SECONDS = 1


class Listener:
    """Wakes streams by what is heard, and finds out whether anything is heard.

    Through a transaction pooler LISTEN succeeds, and then nothing comes. So a process says something to itself now and
    then, by the way that all hints take.
    """

    def __init__(self, server: Database, dsn: Dsn, hub: Hub, hints: Hints, count: Count) -> None:
        self._server, self._dsn, self._hub, self._hints, self._count = server, dsn, hub, hints, count
        self._heard = asyncio.Event()
        self._said = ""

    async def run(self) -> None:
        """Listen whenever there are streams."""
        while True:
            await self._hub.wanted.wait()
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                self._be_deaf()
                self._warn("cannot_listen", f"The database {why(error, self._dsn)}.")
                await asyncio.sleep(RECONNECT_SECONDS)

    def _be_deaf(self) -> None:
        """Let all streams look more often, from now on."""
        if self._hub.hears is not False:
            self._hub.hears = False
            self._hub.wake_all()

    def _warn(self, event: str, reason: str) -> None:
        """Log that streams look more often now; once, until something is heard again."""
        if self._said != event:
            logger.warning(event, extra={"reason": reason})
        self._said = event

    async def _listen(self) -> None:
        """Hear hints until there have been no streams for a while. Raises: psycopg.Error, OSError."""
        connection = await self._server.connect()
        try:
            await connection.execute(LISTEN)
            self._hub.wake_all()  # what was said before is lost
            async with asyncio.TaskGroup() as together:
                work = [together.create_task(self._hear(connection)), together.create_task(self._prove(connection))]
                await self._wait_for_the_last()
                for task in work:
                    task.cancel()
        except* (psycopg.Error, OSError) as several:
            raise several.exceptions[0] from None
        finally:
            await connection.close()

    async def _wait_for_the_last(self) -> None:
        unwanted = 0
        while unwanted < LINGER_SECONDS:
            await asyncio.sleep(1)
            unwanted = 0 if self._hub.wanted.is_set() else unwanted + 1

    async def _hear(self, connection: AsyncConnection[Any]) -> None:
        """Take what comes. Nothing else uses the connection, so that its socket is watched all the time."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        socket = connection.fileno()
        loop.add_reader(socket, arrived.set)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                connection.pgconn.consume_input()
                while notice := connection.pgconn.notifies():
                    self._take(notice.extra.decode(errors="replace"))
        finally:
            loop.remove_reader(socket)

    def _take(self, payload: str) -> None:
        hint = read_hint(payload)
        if hint.sender == self._hints.sender:  # its own streams were woken at once
            if hint.is_probe:
                self._heard.set()
        elif hint.is_for_everybody:
            self._count("heard")
            self._hub.wake_all()
        elif not hint.is_probe:
            self._count("heard")
            self._hub.wake(hint.user_ids)

    async def _prove(self, connection: AsyncConnection[Any]) -> None:
        """Find out again and again whether a hint is heard. A connection that has become deaf is given up.

        Raises: psycopg.OperationalError.
        """
        was_heard = False
        while True:
            self._heard.clear()
            # Not cut off in a statement, which would take its end for an error of the database.
            if await asyncio.shield(self._hints.send([PROBE])):
                await self._expect_to_hear()
                if was_heard and not self._hub.hears:
                    raise psycopg.OperationalError("hears nothing any more")
                was_heard = self._hub.hears is True
            await asyncio.sleep(PROBE_SECONDS)

    async def _expect_to_hear(self) -> None:
        try:
            async with asyncio.timeout(HEARD_SECONDS):
                await self._heard.wait()
        except TimeoutError:
            self._count("unheard")
            self._be_deaf()
            self._warn("hints_unheard", "DATABASE_LISTEN_URL must name a way past the pooler. Streams look every 5 s.")
        else:
            self._hub.hears, self._said = True, ""
