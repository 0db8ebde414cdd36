"""Several servers in one `DATABASE_URL`, of which one takes writes: which to try first, and when to leave."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.core.database.connection import Connection
from app.core.database.dsn import Dsn
from app.core.database.timelines import Timeline, Timelines, ask

DEFAULT_PORT = "5432"
LOOK_SECONDS = 2
ASK_SECONDS = 3

_Host = tuple[str, str]


class Hosts:
    """Puts first the server that connected last, and puts last the one that was given up.

    psycopg (3.3.9) tries the servers in order and waits the full time for each: if one that hangs came first, every new
    connection would take those seconds.

    Two servers that take writes are two databases. Of those the one of the highest timeline counts, and once it was
    seen no other is used by this process, even while it cannot be reached.
    """

    def __init__(self, dsn: Dsn, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._timelines = Timelines()
        self._looked = asyncio.Event()
        self._parameters = conninfo_to_dict(dsn.conninfo)
        names = str(self._parameters["host"]).split(",")
        ports = str(self._parameters.get("port") or DEFAULT_PORT).split(",")
        if len(ports) == 1:
            ports *= len(names)
        self._order: list[_Host] = [(name, port or DEFAULT_PORT) for name, port in zip(names, ports, strict=True)]

    async def conninfo(self) -> str:
        """Return the connection string for a new connection, once `watch` knows which server takes writes."""
        await self._looked.wait()
        return self._conninfo(*self._order)

    def _conninfo(self, *hosts: _Host) -> str:
        names, ports = zip(*hosts, strict=True)
        return make_conninfo("", **self._parameters | {"host": ",".join(names), "port": ",".join(ports)})

    async def watch(self, leave: Callable[[], Awaitable[None]]) -> None:
        """Ask the servers now and then, and leave when one is found that was promoted after the one in use."""
        await self.look(at_all=True)
        self._looked.set()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self.look():
                await leave()

    async def look(self, *, at_all: bool = False) -> bool:
        """Ask the servers that are not in use, or all, and return whether one takes writes on a higher timeline.

        That one is tried first from now on.
        """
        hosts = self._order[0 if at_all else 1 :]
        found = dict(zip(hosts, await asyncio.gather(*map(self._ask, hosts)), strict=True))
        is_newer = [self._timelines.note(timeline) for timeline in found.values()]
        if at_all or any(is_newer):
            self._order.sort(key=lambda host: not found.get(host) or self.is_left_behind(found[host]))
        return any(is_newer)

    async def _ask(self, host: _Host) -> Timeline | None:
        """Return the timeline of a server, None unless it takes writes and answers in time."""
        with suppress(Error, OSError, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                connection = await AsyncConnection.connect(self._conninfo(host), **self._arguments)
                async with connection:
                    return await ask(connection)
        return None

    def is_left_behind(self, timeline: Timeline | None) -> bool:
        """Return whether a server has been seen that has gone on from where this one's was promoted."""
        return self._timelines.is_left_behind(timeline)

    async def accept(self, connection: Connection) -> None:
        """Try the server of a new connection first from now on. Raises: OperationalError if it was left behind."""
        connection.timeline = await ask(connection)
        self._timelines.note(connection.timeline)
        if self.is_left_behind(connection.timeline):
            self.put_last(connection)
            await connection.close()
            raise OperationalError("another server was promoted after this one")
        where = _where(connection)
        self._order.sort(key=lambda it: it != where)

    def put_last(self, connection: AsyncConnection[Any]) -> None:
        """Try the others before the server of this connection."""
        with suppress(Error):  # a closed connection does not know its server
            where = _where(connection)
            self._order.sort(key=lambda it: it == where)


def only_reads(connection: AsyncConnection[Any]) -> bool:
    """Return whether the server has said with its last answer that the session cannot write (PostgreSQL 14 and later).

    `in_hot_standby` need not be asked: a server becomes a standby by a restart, which no connection survives.
    """
    return connection.pgconn.parameter_status(b"default_transaction_read_only") == b"on"


def _where(connection: AsyncConnection[Any]) -> tuple[str, str]:
    return connection.info.host, str(connection.info.port)
