"""Runs the migrations, each in its own transaction, under one lock. psycopg reads the address as the service does."""

from typing import Any

import psycopg
from alembic import context
from sqlalchemy import Connection, create_engine, event, pool
from sqlalchemy.exc import DBAPIError

from app.core.config import load_settings
from app.core.database.dsn import Dsn
from app.operations.connecting import connect
from app.operations.migration_lock import migration_lock
from app.tables import metadata

LOCK_TIMEOUT = "5s"


def _dsn() -> Dsn:
    given: Dsn | None = context.config.attributes.get("dsn")
    return given or load_settings().dsn


def _connect(dsn: Dsn) -> psycopg.Connection[Any]:
    connection = connect(dsn)
    if not dsn.behind_pooler:  # a role's limits are meant for the service; an index may take longer
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET lock_timeout = 0")
        connection.execute("SET default_transaction_isolation = 'read committed'")  # where none is begun
        connection.commit()
    return connection


def _migrate(dsn: Dsn) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: _connect(dsn), poolclass=pool.NullPool)

    @event.listens_for(engine, "begin")
    def _limit_locks(connection: Connection) -> None:
        if connection.get_isolation_level() != "AUTOCOMMIT":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")

    try:
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                target_metadata=metadata,
                compare_type=True,
                compare_server_default=True,
                transaction_per_migration=True,
            )
            # Another connection holds the lock: a statement on this one before Alembic begins would make Alembic 1.20
            # commit nothing, without an error.
            with migration_lock(dsn), context.begin_transaction():
                context.run_migrations()
    except DBAPIError as error:  # psycopg's, which says the same without the statement
        raise error.orig or error from None
    finally:
        engine.dispose()


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        target_metadata=metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    _migrate(_dsn())
