"""Several servers in one `DATABASE_URL`, of which one takes writes: which to try first, and when to leave."""

from contextlib import suppress
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.core.database.dsn import Dsn

DEFAULT_PORT = "5432"


class Hosts:
    """Puts first the server that connected last, and puts last the one that was given up.

    psycopg (3.3.9) tries the servers in order and waits the full time for each: if one that hangs came first, every new
    connection would take those seconds.
    """

    def __init__(self, dsn: Dsn) -> None:
        self._parameters = conninfo_to_dict(dsn.conninfo)
        names = str(self._parameters["host"]).split(",")
        ports = str(self._parameters.get("port") or DEFAULT_PORT).split(",")
        if len(ports) == 1:
            ports *= len(names)
        self._order = [(name, port or DEFAULT_PORT) for name, port in zip(names, ports, strict=True)]

    async def conninfo(self) -> str:
        """Return the connection string for a new connection."""
        names, ports = zip(*self._order, strict=True)
        return make_conninfo("", **self._parameters | {"host": ",".join(names), "port": ",".join(ports)})

    async def put_first(self, connection: AsyncConnection[Any]) -> None:
        """Try the server of a new connection first from now on."""
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
