"""Brings the database to this code's schema, once, however many processes start at the same time."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from app.core.clock import stopwatch
from app.core.database.dsn import Dsn
from app.core.logging import get_logger
from app.operations.older_processes import refuse_beside_older

if TYPE_CHECKING:
    from alembic.config import Config

logger = get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]


def alembic_config(dsn: Dsn | None = None) -> "Config":
    """Return Alembic's settings; `migrations/env.py` finds the database in their attributes."""
    from alembic.config import Config

    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    config.attributes["dsn"] = dsn
    return config


@cache
def _revisions() -> tuple[str, ...]:
    """Name the revisions that this code knows, newest first: their files begin with their numbers."""
    files = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"), reverse=True)
    return tuple(file.name.partition("_")[0] for file in files)


def head_revision() -> str:
    """Name the revision that this code works with."""
    return _revisions()[0]


def is_newer(revision: str | None) -> bool:
    """Return whether a later release has migrated the database: this code does not know the revision.

    In a rolling update the processes of both releases work on it, because migrations only add (docs/scaling.md).
    """
    return bool(revision) and revision not in _revisions()


def can_serve(revision: str | None) -> bool:
    """Return whether this code can work on a database at that revision."""
    return revision == head_revision() or is_newer(revision)


def upgrade(dsn: Dsn, *, beside_older: bool = False) -> None:
    """Migrate to head; does nothing at head or beyond.

    Raises: psycopg.OperationalError if the database is down, OlderProcesses unless these are said not to matter.
    """
    found = _current_revision(dsn)
    if found == head_revision():
        return
    if not is_newer(found):
        # Imported here: Alembic takes 11 MB of memory, and a process that finds its database migrated does without.
        from alembic import command
        from alembic.util import CommandError

        if not beside_older:
            refuse_beside_older(dsn, found)
        began = stopwatch()
        logger.info("migrating", extra={"found": found, "wanted": head_revision()})
        try:
            command.upgrade(alembic_config(dsn), "head")
        except CommandError:  # it found a revision that it does not know: a newer process was first
            if not is_newer(found := _current_revision(dsn)):
                raise
        else:
            logger.info("migrated", extra={"seconds": round(stopwatch() - began, 1)})
            return
    logger.info("newer_than_this_code", extra={"found": found, "known": head_revision()})


def how_far(dsn: Dsn) -> str:
    """Say at which revision a migration is, and how much of an index it has built."""
    query = (
        "SELECT relid::regclass::text, 100.0 * greatest(blocks_done, tuples_done) "
        "/ greatest(blocks_total, tuples_total, 1) "
        "FROM pg_stat_progress_create_index WHERE datname = current_database()"
    )
    try:
        with psycopg.connect(dsn.conninfo, connect_timeout=3, prepare_threshold=None) as connection:
            building = connection.execute(query).fetchone()
            at = _revision_at(connection)
    except psycopg.Error:
        return "Migrating"
    index = f", {building[1]:.0f} % of an index on {building[0]}" if building else ""
    return f"At revision {at or 'none'} of {head_revision()}{index}"


def _current_revision(dsn: Dsn) -> str | None:
    with psycopg.connect(dsn.conninfo, connect_timeout=3) as connection:
        return _revision_at(connection)


def _revision_at(connection: psycopg.Connection) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row[0] if row else None
