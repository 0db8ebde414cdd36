"""Runs an operator's statement for as long as it takes."""

from app.core.database.dsn import CONNECT_SECONDS, Dsn
from app.operations.connecting import connect

# By name from the catalog: `transaction_timeout` is new in PostgreSQL 17, and setting it is an error before.
NO_TIMEOUTS = b"""SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN
    ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')"""


def run_without_timeouts(dsn: Dsn, statement: bytes) -> int:
    """Run a statement, whatever bounds the role, the database or the URL set; return how many rows it affected.

    Raises: psycopg.Error.
    """
    with connect(dsn, connect_timeout=CONNECT_SECONDS) as connection:
        connection.execute(NO_TIMEOUTS)
        return connection.execute(statement).rowcount
