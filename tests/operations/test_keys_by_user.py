"""Revision 0003: it holds nobody up, and an interrupted run can be repeated."""

import threading
from uuid import uuid4

import psycopg
import pytest
from alembic import command

from app.core.clock import stopwatch
from app.core.database.dsn import LOCK_SECONDS, Dsn, parse_database_url
from app.operations.migration_lock import migration_lock
from app.operations.migrations import alembic_config, upgrade

KEYS = (
    "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE contype = 'p' AND conrelid IN ('tasks'::regclass, 'token_denylist'::regclass)"
)
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


def at_0002(url: str) -> Dsn:
    """Migrate to the revision before, with an account that has a task."""
    dsn = parse_database_url(url)
    command.upgrade(alembic_config(dsn), "0002")
    with psycopg.connect(url, autocommit=True) as connection:
        user = uuid4()
        connection.execute("INSERT INTO users (id, email, password_hash) VALUES (%s, 'a@b.co', 'x')", [user])
        connection.execute("INSERT INTO tasks (id, user_id, title) VALUES (gen_random_uuid(), %s, 'x')", [user])
    return dsn


def test_what_an_interrupted_run_has_left_is_cleaned_up(empty_database_url: str) -> None:
    """An operator can run an interrupted migration again.

    An invalid index and a finished table are no hindrance.
    """
    dsn = at_0002(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE UNIQUE INDEX new_pk_tasks ON tasks (user_id, id)")
        connection.execute(
            "ALTER TABLE tasks DROP CONSTRAINT pk_tasks, ADD CONSTRAINT pk_tasks PRIMARY KEY USING INDEX new_pk_tasks"
        )
        connection.execute("CREATE UNIQUE INDEX new_pk_token_denylist ON token_denylist (user_id, id)")
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'new_pk_token_denylist'::regclass"
        )
        upgrade(dsn)
        keys: dict[str, str] = dict(connection.execute(KEYS).fetchall())
        assert keys == dict.fromkeys(("tasks", "token_denylist"), "PRIMARY KEY (user_id, id)")
        assert connection.execute(INVALID).fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (1,)


@pytest.mark.slow
def test_whoever_writes_does_not_wait_behind_the_migration(empty_database_url: str) -> None:
    """People go on writing while the migration waits for somebody who reads without end: it waits in short turns."""
    dsn = at_0002(empty_database_url)
    with psycopg.connect(empty_database_url) as reader:
        reader.execute("SELECT FROM tasks")
        migrating = threading.Thread(target=upgrade, args=(dsn,), daemon=True)
        migrating.start()
        slowest = 0.0
        with psycopg.connect(empty_database_url, autocommit=True) as writer:
            began = stopwatch()
            while stopwatch() - began < 2:
                asked = stopwatch()
                writer.execute("UPDATE tasks SET title = 'x'")
                slowest = max(slowest, stopwatch() - asked)
        assert migrating.is_alive()
        reader.rollback()
        migrating.join(30)
    assert not migrating.is_alive()
    assert slowest < LOCK_SECONDS, slowest  # the service would give up then
    with psycopg.connect(empty_database_url) as connection:
        keys = dict[str, str](connection.execute(KEYS).fetchall())
        assert keys["tasks"] == "PRIMARY KEY (user_id, id)"


def test_who_waits_for_the_lock_does_not_stop_the_index(empty_database_url: str) -> None:
    """Machines that wait for the lock do not stop the migration, whose index waits for every running statement."""
    dsn = at_0002(empty_database_url)
    got_it = threading.Event()

    def wait() -> None:
        with migration_lock(dsn):
            got_it.set()

    with migration_lock(dsn), psycopg.connect(empty_database_url, autocommit=True) as holder:
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        began = stopwatch()
        while stopwatch() - began < 1:
            holder.execute("CREATE INDEX CONCURRENTLY meanwhile ON tasks (title)")
            holder.execute("DROP INDEX CONCURRENTLY meanwhile")
        assert not got_it.is_set()
    waiting.join(10)
    assert got_it.is_set()
