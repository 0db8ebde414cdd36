"""Reads `DATABASE_URL` as people paste it and turns it into what libpq understands."""

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app import __version__

# Parameters that other drivers and ORMs put into the URL; libpq refuses a URL that has one of them.
_FOREIGN_PARAMETERS = {
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "prepared_statement_cache_size",
    "schema",
    "socket_timeout",
    "statement_cache_size",
}
CONNECT_SECONDS = 3
CONNECT_SECONDS_PER_HOST = 2  # where there are several; psycopg (3.3.9) takes less for 2
STATEMENT_SECONDS = 3  # waiting for locks included
LOCK_SECONDS = 2

_SCHEMES = ("postgres", "postgresql")


class Dsn(NamedTuple):
    """Where the database is, whether a transaction pooler stands before it, and whether it fails over to others."""

    conninfo: str
    behind_pooler: bool
    fails_over: bool = False


def parse_database_url(url: str) -> Dsn:
    """Turn a database URL into a libpq connection string.

    Raises: ValueError, whose text never quotes the URL, because it holds a password.
    """
    parts = urlsplit(url.strip())
    if parts.scheme.partition("+")[0] not in _SCHEMES:
        raise ValueError("must begin with postgres:// or postgresql://")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "ssl" in given:  # asyncpg's spelling of libpq's sslmode
        given.setdefault("sslmode", given.pop("ssl"))
    query = urlencode({k: v for k, v in given.items() if k not in _FOREIGN_PARAMETERS}, quote_via=quote)
    try:
        conninfo = conninfo_to_dict(urlunsplit(("postgresql", parts.netloc, parts.path, query, "")))
    except ProgrammingError as error:
        raise ValueError(_unreadable(str(error))) from error
    if not conninfo.get("dbname"):
        raise ValueError("must name a database, as in postgresql://user:password@host/database")
    hosts = str(conninfo.get("host") or "")
    behind_pooler = given.get("pgbouncer") == "true" or "-pooler." in hosts
    several = "," in hosts and "hostaddr" not in conninfo
    if several:
        conninfo.setdefault("target_session_attrs", "read-write")  # a standby would refuse every write
    fails_over = several and conninfo["target_session_attrs"] == "read-write"
    return Dsn(make_conninfo("", **conninfo), behind_pooler, fails_over)


def connection_arguments(dsn: Dsn) -> dict[str, Any]:
    """Return psycopg's arguments for a connection of the service."""
    arguments: dict[str, Any] = {
        "autocommit": True,
        "connect_timeout": CONNECT_SECONDS_PER_HOST if dsn.fails_over else CONNECT_SECONDS,
        "application_name": f"auth-tasks-api {__version__}",
        "client_encoding": "UTF8",
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    if dsn.behind_pooler:
        # A transaction pooler changes the server connection at every statement and refuses start-up options.
        return arguments | {"prepare_threshold": None}
    options = {
        "timezone": "UTC",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": "10s",
        # Plans are kept: one that was made while a table was small must not read all of it when it has grown.
        "enable_seqscan": "off",
        "jit": "off",
        # A statement of one user takes one core at most, not three.
        "max_parallel_workers_per_gather": "0",
        "default_transaction_isolation": r"read\ committed",  # whatever the database or the role says
    }
    given = conninfo_to_dict(dsn.conninfo).get("options") or ""
    settings = " ".join(f"-c {name}={value}" for name, value in options.items())
    return arguments | {"prepare_threshold": 1, "options": f"{settings} {given}".strip()}


def _unreadable(text: str) -> str:
    """Say which parameter libpq does not know; the rest of its text could quote the password."""
    found = re.search(r'invalid URI query parameter: "(\w+)"', text)
    if found:
        return f"has the parameter {found[1]}, which libpq does not know: leave it out"
    return "is not a PostgreSQL URL that libpq can read: write special characters of the password as %40 and the like"
