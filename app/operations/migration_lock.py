"""The lock that a process holds while it changes the schema: one process at a time, over all machines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from app.core.database.dsn import Dsn
from app.operations.connecting import connect

ADVISORY_LOCK = 7_220_611_054
RETRY_SECONDS = 0.1


@contextmanager
def migration_lock(dsn: Dsn) -> Iterator[None]:
    """Hold the lock until the block ends.

    It belongs to a transaction on a connection of its own: an index that is built CONCURRENTLY commits in between, and
    behind a transaction pooler only a transaction keeps its connection. It is polled instead of waited for, because
    CREATE INDEX CONCURRENTLY waits for every running statement, one that waits for this lock included, and for every
    snapshot, which READ COMMITTED does not keep.
    """
    with connect(dsn) as connection:
        while not _try_lock(connection):
            connection.rollback()
            time.sleep(RETRY_SECONDS)
        # Otherwise a limit on the role's idle transactions would release the lock during a long migration.
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def _try_lock(connection: psycopg.Connection) -> bool:
    found = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (ADVISORY_LOCK,)).fetchone()
    assert found is not None
    locked: bool = found[0]
    return locked
