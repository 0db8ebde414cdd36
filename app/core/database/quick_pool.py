"""psycopg's pool, of which an idle connection is taken and handed back without its locks and log lines.

Idle ones stay where psycopg has them, so that it counts, closes and replaces them. It does all the rest itself: when
there is none, while others wait for one, and when one that comes back is broken, too old or to be replaced.
"""

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from app.core.clock import monotonic
from app.core.database.connection import Connection

# What is used of the pool, and of what it notes in a connection, beyond its documentation.
_USED = ("_pool", "_waiting", "_closed", "_lock", "_stats", "_REQUESTS_NUM", "_nconns_min", "_drained_at")
_USED_OF_CONNECTION = ("_pool", "_created_at", "_expire_at")


class QuickPool(AsyncConnectionPool[Connection]):
    """A pool for one event loop."""

    is_quick = False
    """Whether this psycopg_pool has all that is used of it, as the last connection of its own has shown."""

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109  # as psycopg_pool
        """Take a connection. Raises: PoolTimeout."""
        if not (self.is_quick and self._pool and self._is_calm()):
            return self._look_at(await super().getconn(timeout))
        connection = self._pool.popleft()
        connection._pool = self
        self._stats[self._REQUESTS_NUM] += 1
        self._nconns_min = min(self._nconns_min, len(self._pool))  # it closes those that were never needed
        return connection

    async def putconn(self, conn: Connection) -> None:
        """Hand a connection back."""
        if self.is_quick and self._is_calm() and self._is_good(conn):
            conn._pool = None
            self._pool.append(conn)
        else:
            await super().putconn(conn)

    def _look_at(self, connection: Connection) -> Connection:
        """Find out whether the short way can be taken."""
        of_connection = all(hasattr(connection, name) for name in _USED_OF_CONNECTION)
        self.is_quick = of_connection and all(hasattr(self, name) for name in _USED)
        return connection

    def _is_calm(self) -> bool:
        """Return whether nobody waits, and nothing is being done with the connections."""
        return not (self._waiting or self._closed or self._lock.locked())

    def _is_good(self, connection: Connection) -> bool:
        """Return whether a connection is of this pool, between transactions, and may be used on."""
        is_idle = connection._pool is self and connection.pgconn.transaction_status == TransactionStatus.IDLE
        return is_idle and connection._created_at > self._drained_at and connection._expire_at > monotonic()
