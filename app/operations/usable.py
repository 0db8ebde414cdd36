"""Whether a database is one that this service can keep its rows in."""

from typing import NamedTuple

import psycopg

from app.core.database.dsn import Dsn
from app.core.operator_error import OperatorError
from app.operations.connecting import connect

CONNECT_SECONDS = 3
OLDEST_VERSION = 14
OWN_TABLES = "to_regclass('users') IS NOT NULL AND to_regclass('token_denylist') IS NOT NULL"
"""True where the first migration has been."""


class NotUsable(OperatorError):
    """The database is another program's, or of a kind that cannot hold what people write."""


class Found(NamedTuple):
    """What a database says of itself, and its revision, which is None in an empty one."""

    encoding: str
    version: int
    isolation: str
    role: str
    schema: str | None
    may_create: bool
    is_ours: bool
    revision: str | None


def look_at(dsn: Dsn) -> Found:
    """Connect once and look. Raises: psycopg.Error, NotUsable."""
    with connect(dsn, connect_timeout=CONNECT_SECONDS) as connection:
        return look(connection)


def look(connection: psycopg.Connection) -> Found:
    """Return what is found. Raises: NotUsable, psycopg.Error."""
    query = f"""SELECT current_setting('server_encoding'), current_setting('server_version_num')::int / 10000,
        current_setting('default_transaction_isolation'), current_user::text, current_schema()::text,
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), {OWN_TABLES}"""  # constants
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    found = Found._make([*row, revision_at(connection)])
    if found.encoding != "UTF8":
        raise NotUsable(
            f"The database is in {found.encoding}, which cannot hold what people write: CREATE DATABASE … "
            "ENCODING 'UTF8' TEMPLATE template0, and name that in DATABASE_URL."
        )
    if found.revision is not None and not found.is_ours:
        raise NotUsable("The database belongs to another program: name an empty one in DATABASE_URL.")
    return found


def require_schema(found: Found) -> None:
    """Raise NotUsable unless tables can be made there."""
    if found.schema is None:
        raise NotUsable(
            "The database has none of the schemas in the role's search_path: CREATE SCHEMA public, or ALTER ROLE "
            f"{found.role} SET search_path."
        )
    if not found.may_create:
        raise NotUsable(
            f"The database does not let {found.role} make tables: "
            f"GRANT CREATE ON SCHEMA {found.schema} TO {found.role}."
        )


def revision_at(connection: psycopg.Connection) -> str | None:
    """Return the revision that its table names, None without one. Nothing more can be asked in this transaction."""
    try:
        row = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row[0] if row else None
