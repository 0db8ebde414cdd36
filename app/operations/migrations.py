"""Brings the database to this code's schema, once, however many processes start at the same time."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from app.core.clock import stopwatch
from app.core.database.dsn import Dsn
from app.core.logging import get_logger
from app.core.operator_error import OperatorError
from app.operations.connecting import connect
from app.operations.older_processes import refuse_beside_older
from app.operations.usable import CONNECT_SECONDS, look_at, require_schema, revision_at

if TYPE_CHECKING:
    from alembic.config import Config

logger = get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]


class UnknownRevision(OperatorError):
    """The database is ours, at a revision that no release has."""

    def __init__(self, revision: str | None) -> None:
        super().__init__(
            f"The database is at revision {revision}, which no release of this service has: restore a dump, or name "
            "an empty database in DATABASE_URL."
        )


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
    """Return whether a later release has migrated the database: a number beyond those that this code knows.

    In a rolling update the processes of both releases work on it, because migrations only add (docs/scaling.md).
    """
    return bool(revision and re.fullmatch(r"\d{4,}", revision)) and int(str(revision)) > int(head_revision())


def upgrade(dsn: Dsn, *, beside_older: bool = False) -> None:
    """Migrate to head; does nothing at head or beyond.

    Raises: psycopg.Error if the database cannot be reached or refuses, NotUsable, OlderProcesses unless these are said
    not to matter.
    """
    found = look_at(dsn)
    if found.revision == head_revision():
        return
    if not is_newer(found.revision):
        require_schema(found)
        if not beside_older:
            refuse_beside_older(dsn, found.revision)
        began = stopwatch()
        logger.info("migrating", extra={"found": found.revision, "wanted": head_revision()})
        if _migrate(dsn):
            logger.info("migrated", extra={"seconds": round(stopwatch() - began, 1)})
            return
    logger.info("newer_than_this_code", extra={"found": found.revision, "known": head_revision()})


def _migrate(dsn: Dsn) -> bool:
    """Run the migrations; False if a newer process was first."""
    # Imported here: Alembic takes 11 MB of memory, and a process that finds its database migrated does without.
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(dsn), "head")
    except CommandError:  # it found a revision that it does not know
        revision = look_at(dsn).revision
        if is_newer(revision):
            return False
        raise UnknownRevision(revision) from None
    return True


def how_far(dsn: Dsn) -> str:
    """Say at which revision a migration is, and how much of an index it has built."""
    query = (
        "SELECT relid::regclass::text, 100.0 * greatest(blocks_done, tuples_done) "
        "/ greatest(blocks_total, tuples_total, 1) "
        "FROM pg_stat_progress_create_index WHERE datname = current_database()"
    )
    try:
        with connect(dsn, connect_timeout=CONNECT_SECONDS) as connection:
            building = connection.execute(query).fetchone()
            at = revision_at(connection)
    except psycopg.Error:
        return "Migrating"
    index = f", {building[1]:.0f} % of an index on {building[0]}" if building else ""
    return f"At revision {at or 'none'} of {head_revision()}{index}"
