"""Connects for an operator's work, which does not depend on the settings of the database or the role."""

from typing import Any

import psycopg
from psycopg import IsolationLevel

from app.core.database.dsn import Dsn


def connect(dsn: Dsn, **arguments: Any) -> psycopg.Connection:
    """Connect in READ COMMITTED and UTF-8; nothing is prepared, which a pooler would give to another client.

    Raises: psycopg.OperationalError.
    """
    connection = psycopg.connect(dsn.conninfo, prepare_threshold=None, client_encoding="UTF8", **arguments)
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    return connection
