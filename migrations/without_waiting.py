"""Changes of indexes and keys under load: nobody waits longer than a moment, and an interrupted run can be repeated."""

import time

import psycopg
from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.operations.distribution import distribute_new, is_distributed

# A statement that waits for a table's lock makes all later ones wait too: it waits briefly, and is tried again.
LOCK_MILLISECONDS = 100
RETRY_SECONDS = 0.2
ATTEMPTS = 300


def make_index(name: str, table: str, *columns: str, unique: bool = False) -> None:
    """Build an index while the table is written to, anew if an interrupted run has left it invalid."""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE {kind} CONCURRENTLY {name} ON {table} ({', '.join(columns)})")


def drop_index(name: str) -> None:
    """Drop an index without waiting for those who read it."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def add_column(table: str, definition: str) -> None:
    """Add a column that may be null or has a constant default: no row is written."""
    _as_soon_as_possible(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {definition}")


def drop_column(table: str, name: str) -> None:
    """Drop a column; no row is written."""
    _as_soon_as_possible(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {name}")


def replace_check(table: str, name: str, condition: str) -> None:
    """Replace a constraint: rows that are there are checked while the table is written to."""
    constraint = f"ck_{table}_{name}"
    _as_soon_as_possible(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")
    _as_soon_as_possible(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({condition}) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def set_fillfactor(table: str, percent: int | None) -> None:
    """Leave so much of each new page free, so that rows can be rewritten where they stand; None leaves none."""
    _as_soon_as_possible(
        f"ALTER TABLE {table} SET (fillfactor = {percent})" if percent else f"ALTER TABLE {table} RESET (fillfactor)"
    )


def make_table(name: str, *parts: str) -> None:
    """Make a table that refers to no other: nobody waits."""
    op.execute(f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)})")


def distribute_with_tasks(name: str) -> None:
    """Divide a new table by the user, or copy it, where the others are divided among nodes."""
    if op.get_context().as_sql:
        return
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    if is_distributed(connection):
        distribute_new(connection, name)


def distribute_function(name: str) -> None:
    """Let every node have a function, where the tables are divided among nodes."""
    if op.get_context().as_sql:
        return
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    if is_distributed(connection):
        connection.execute("SELECT create_distributed_function(%s)", [name])


def add_foreign_key(table: str, column: str, target: str, *, name: str) -> None:
    """Let a new, empty table refer to another, as soon as nobody writes to that one."""
    # Asked, not `DROP CONSTRAINT IF EXISTS …, ADD`: Citus 13.2 adds a foreign key in a statement of its own only.
    if not _has_constraint(table, name):
        _as_soon_as_possible(f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {target}")


def drop_table(name: str) -> None:
    """Drop a table, as soon as nobody uses it or what it refers to."""
    _as_soon_as_possible(f"DROP TABLE IF EXISTS {name}")


def replace_primary_key(table: str, *columns: str) -> None:
    """Replace the table's primary key: its index is built first, so that the exchange takes only a moment."""
    if _primary_key(table) == list(columns):
        return  # an interrupted run has come as far as this
    make_index(f"new_pk_{table}", table, *columns, unique=True)
    _as_soon_as_possible(
        f"ALTER TABLE {table} DROP CONSTRAINT pk_{table}, "
        f"ADD CONSTRAINT pk_{table} PRIMARY KEY USING INDEX new_pk_{table}"
    )


def _has_constraint(table: str, name: str) -> bool:
    if op.get_context().as_sql:
        return False
    query = "SELECT count(*) FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND conname = :name"
    return bool(op.get_bind().scalar(text(query), {"table": table, "name": name}))


def _primary_key(table: str) -> list[str]:
    if op.get_context().as_sql:
        return []
    query = (
        "SELECT attname FROM pg_constraint, unnest(conkey) WITH ORDINALITY AS part (number, place) "
        "JOIN pg_attribute ON attnum = number "
        "WHERE contype = 'p' AND conrelid = CAST(:name AS regclass) AND attrelid = conrelid ORDER BY place"
    )
    return list(op.get_bind().scalars(text(query), {"name": table}))


def _as_soon_as_possible(statement: str) -> None:
    """Run a statement that needs the table for itself, as often as it takes."""
    if op.get_context().as_sql:
        op.execute(statement)
        return
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with op.get_bind().begin_nested():
                op.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                op.execute(statement)
        except OperationalError:  # psycopg's LockNotAvailable
            if attempt == ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return
