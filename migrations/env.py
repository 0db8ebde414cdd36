"""Runs the migrations, in one transaction, under one lock. psycopg reads the address as the service does."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, pool, text
from sqlmodel import SQLModel

import app.auth.models
import app.core.rate_limits.database
import app.tasks.models
from app.core.config import load_settings
from app.core.database.dsn import Dsn

__all__ = ["app"]

ADVISORY_LOCK = 7_220_611_054
LOCK_TIMEOUT = "5s"


def _dsn() -> Dsn:
    given: Dsn | None = context.config.attributes.get("dsn")
    return given or load_settings().dsn


def _migrate() -> None:
    engine = create_engine(
        # Not prepared: behind a transaction pooler another client may have taken the name.
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(_dsn().conninfo, prepare_threshold=None),
        poolclass=pool.NullPool,
    )
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=SQLModel.metadata, compare_type=True, compare_server_default=True
        )
        # Inside the transaction: a statement before it makes Alembic 1.20 commit nothing, and say nothing.
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            context.run_migrations()
    engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=SQLModel.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    _migrate()
