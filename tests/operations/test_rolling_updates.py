"""Old and new processes over one database: the schema is ahead of some of them for a while.

`statements-1.1.sql` is `docs/statements.sql` of the first release whose processes stay ready when a later one has
migrated. With each release it is written anew, from that release's own tree, and the older file goes:
`cp docs/statements.sql tests/data/statements-X.Y.sql`.
"""

import re
from pathlib import Path

import psycopg
import pytest

from app.core.database.dsn import parse_database_url
from app.operations.migrations import head_revision, upgrade
from app.operations.usable import look_at
from tests.support.people import Person
from tests.support.server import running, serving
from tests.support.settings import ROOT, make_settings
from tests.support.statements import documented, numbered

RELEASE = ROOT / "tests" / "data" / "statements-1.1.sql"
INSERT = re.compile(r"INSERT INTO (\w+) \(([^)]+)\)")
REQUIRED = """SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL"""

FUTURE = "9999"


def of_release(path: Path) -> dict[str, str]:
    return documented(path.read_text())


def test_the_statements_of_the_last_release_run_on_this_schema(own_database_url: str) -> None:
    """Processes of the last release go on working on this schema.

    PREPARE finds what is gone, planning the unique indexes that ON CONFLICT names.
    """
    count, failures = 0, []
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, sql in of_release(RELEASE).items():
            prepared, parameters = numbered(sql)
            nothing = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
            try:
                connection.execute(f"PREPARE it AS {prepared}; EXPLAIN EXECUTE it{nothing}; DEALLOCATE it".encode())
            except psycopg.Error as error:
                connection.execute("DEALLOCATE ALL")
                failures.append(f"{name}: {error}\n{sql}")
            count += 1
    assert not failures, f"{len(failures)} of the last release's statements fail here:\n\n" + "\n\n".join(failures)
    assert count > 50


def test_what_the_last_release_inserts_has_every_column_that_must_be_there(own_database_url: str) -> None:
    """Rows of the last release's processes fit this schema: a new column has a default or may be empty."""
    with psycopg.connect(own_database_url) as connection:
        required = connection.execute(REQUIRED).fetchall()
    inserts = [found for sql in of_release(RELEASE).values() for found in INSERT.findall(sql)]
    of_accounts = {"users", "user_state", "sessions", "token_denylist", "rate_limit_counters"}
    assert {table for table, _ in inserts} == of_accounts | {"passkeys", "tasks", "task_tombstones", "task_epoch"}
    for table, columns in inserts:
        missing = {column for of, column in required if of == table} - set(columns.split(", "))
        assert not missing, f"the last release does not insert {missing} into {table}: give them a default"


@pytest.fixture
def newer_url(own_database_url: str) -> str:
    """A database that a later release has migrated."""
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE tasks ADD COLUMN colour text, ADD COLUMN due date NOT NULL DEFAULT now()")
        admin.execute("UPDATE alembic_version SET version_num = %s", [FUTURE])
    return own_database_url


async def test_a_newer_schema_is_served_as_before(newer_url: str) -> None:
    """During a rolling update a process that starts on a newer schema migrates nothing and is ready."""
    async with running(make_settings(newer_url, migrate_on_start="on")) as client:
        assert (await client.get("/health/ready")).json() == {"status": "ready"}
        ada = await Person.sign_up(client)
        task = await ada.add_task()
        assert (await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")).json()["version"] == 2
        assert [kept["id"] for kept in (await ada.get("/api/tasks")).json()] == [task["id"]]
        ada.keep(await ada.refresh())


@pytest.mark.slow
def test_serve_of_the_older_code_starts_on_a_newer_schema(newer_url: str, tmp_path: Path) -> None:
    """During a rolling update the older code can still be started."""
    with serving(tmp_path, DATABASE_URL=newer_url) as server:
        assert "newer_than_this_code" in server.log.read_text()
    with psycopg.connect(newer_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(FUTURE,)]


async def test_a_process_that_runs_stays_ready_when_a_newer_one_has_migrated(own_database_url: str) -> None:
    """A rolling update does not take the old processes away, while below its own revision none is ready."""
    async with running(make_settings(own_database_url)) as client:
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            for revision, status in ((head_revision(), 200), (FUTURE, 200), ("0001", 503)):
                admin.execute("UPDATE alembic_version SET version_num = %s", [revision])
                answer = await client.get("/health/ready")
                assert answer.status_code == status, revision
            assert answer.json()["code"] == "DATABASE_NOT_MIGRATED"
            admin.execute("DELETE FROM alembic_version")
            assert (await client.get("/health/ready")).status_code == 503


def test_a_newer_migration_may_come_while_this_one_waits_for_it(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that waited for a newer migration starts on it, though Alembic does not know the revision."""
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute("UPDATE alembic_version SET version_num = %s", [FUTURE])
    revisions = iter(["0001", FUTURE])
    monkeypatch.setattr(
        "app.operations.migrations.look_at", lambda dsn: look_at(dsn)._replace(revision=next(revisions))
    )
    upgrade(parse_database_url(own_database_url))
