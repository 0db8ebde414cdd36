"""Brings the database to this code's schema, once, however many processes start at the same time."""

from functools import cache
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.core.clock import stopwatch
from app.core.database.dsn import Dsn
from app.core.logging import get_logger

logger = get_logger(__name__)

ROOT = Path(__file__).resolve().parents[3]


def alembic_config(dsn: Dsn | None = None) -> Config:
    """Give Alembic's settings; `migrations/env.py` finds the database in their attributes."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    config.attributes["dsn"] = dsn
    return config


@cache
def head_revision() -> str:
    """Name the revision that this code works with."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return head


def upgrade(dsn: Dsn) -> None:
    """Migrate to head; does nothing at head. Raises: psycopg.OperationalError when the database is away."""
    found = _current_revision(dsn)
    if found != head_revision():
        began = stopwatch()
        logger.info("migrating", extra={"found": found, "wanted": head_revision()})
        command.upgrade(alembic_config(dsn), "head")
        logger.info("migrated", extra={"seconds": round(stopwatch() - began, 1)})


def _current_revision(dsn: Dsn) -> str | None:
    with psycopg.connect(dsn.conninfo, connect_timeout=3) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return row[0] if row else None
