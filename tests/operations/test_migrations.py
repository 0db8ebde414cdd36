"""The schema: made once, reversible, the same as the models say."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from app.core.database.dsn import parse_database_url
from app.operations.migrations import alembic_config, head_revision, is_newer, upgrade
from tests.support.clones import clone, installed_by_make
from tests.support.databases import new_database
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import ROOT, SECRET, make_settings

CONSTRAINTS = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
COLUMNS = """SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'"""
TABLES = """SELECT relname, relpersistence, reloptions::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""


def document_errors(url: str) -> set[tuple[object, ...]]:
    with psycopg.connect(make_conninfo(url)) as connection:
        rows = [row for query in (CONSTRAINTS, INDEXES, COLUMNS, TABLES) for row in connection.execute(query)]
    return {row for row in rows if "alembic_version" not in row}


def test_the_migrations_make_what_the_models_say(postgres_url: str, own_database_url: str) -> None:
    """The database has the constraints, indexes and defaults that the models promise.

    Alembic's own check does not compare all of them. Source: SC-012.
    """
    with new_database(postgres_url) as url:
        conninfo = parse_database_url(url).conninfo
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo))
        SQLModel.metadata.create_all(engine)
        engine.dispose()
        assert document_errors(url) == document_errors(own_database_url)
    command.check(alembic_config(parse_database_url(own_database_url)))


async def test_down_and_up_again_keeps_the_rows_of_what_stays(own_database_url: str) -> None:
    """An operator can go back from every revision to the one before, and forward again. Source: SC-013."""
    dsn = parse_database_url(own_database_url)
    async with running(make_settings(own_database_url)) as client:
        await (await Person.sign_up(client)).add_task()
    await asyncio.to_thread(command.downgrade, alembic_config(dsn), "base")
    assert document_errors(own_database_url) == set()
    await asyncio.to_thread(upgrade, dsn)
    await asyncio.to_thread(upgrade, dsn)
    async with running(make_settings(own_database_url)) as client:
        await (await Person.sign_up(client)).add_task()


def test_whoever_waits_for_a_migration_is_told(empty_database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads that a long migration is running, and nothing when there is nothing to do."""
    caplog.set_level("INFO")
    for expected in (["migrating", "migrated"], []):
        caplog.clear()
        upgrade(parse_database_url(empty_database_url))
        assert [
            record.getMessage() for record in caplog.records if record.name == "app.operations.migrations"
        ] == expected


@pytest.mark.slow
def test_alembic_itself_works_and_offline_too(empty_database_url: str) -> None:
    """An operator may use Alembic itself: it reads DATABASE_URL, and --sql prints what it would do."""
    environment = {**os.environ, "DATABASE_URL": empty_database_url, "BETTER_AUTH_SECRET": SECRET}
    alembic = [sys.executable, "-m", "alembic", "upgrade", "head"]
    script = subprocess.run([*alembic, "--sql"], cwd=ROOT, env=environment, capture_output=True, check=True).stdout
    assert b"CREATE TABLE tasks" in script
    subprocess.run(alembic, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert any("tasks" in row for row in document_errors(empty_database_url))


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("title", "", "ck_tasks_title_length"),
        ("status", "done", "ck_tasks_status"),
        ("priority", "urgent", "ck_tasks_priority"),
        ("version", "0", "ck_tasks_version"),
        ("user_id", "00000000-0000-0000-0000-000000000000", "fk_tasks_user_id_users"),
    ],
)
async def test_the_database_checks_too(
    ada: Person, connection: psycopg.Connection, column: str, value: str, constraint: str
) -> None:
    """No row breaks the rules, whatever program writes it. Source: SC-012."""
    task = await ada.add_task()
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        connection.execute(
            psycopg.sql.SQL("UPDATE tasks SET {} = {} WHERE id = {}").format(
                psycopg.sql.Identifier(column), psycopg.sql.Literal(value), psycopg.sql.Literal(task["id"])
            )
        )
    assert refused.value.diag.constraint_name == constraint


async def test_lists_and_lookups_use_their_indexes(ada: Person, connection: psycopg.Connection) -> None:
    """Lists stay fast as tables grow, since they are read by an index.

    The time of 1,000 tasks at the database is printed. Source: NFR-011, SC-007.
    """
    connection.execute(
        "INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), %s, 'task ' || n "
        "FROM generate_series(1, 1000) n",
        [ada.user["id"]],
    )
    connection.execute("ANALYZE tasks")
    query = "SELECT * FROM tasks WHERE user_id = %s ORDER BY created_at DESC, id DESC"
    plan = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {query} LIMIT 20", [ada.user["id"]]).fetchall()
    assert "ix_tasks_user_id_created_at" in str(plan)
    assert "Sort" not in str(plan)
    whole = connection.execute(f"EXPLAIN ANALYZE {query}", [ada.user["id"]]).fetchall()
    print("list of 1,000:", whole[-1][0])
    assert len((await ada.get("/api/tasks")).json()) == 1000


def test_the_names_of_the_files_are_the_revisions() -> None:
    """A process asks the files which revisions there are, and they say what Alembic says."""
    known = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    assert [head_revision(), *map(is_newer, known)] == [known[0], *[False] * len(known)]


@installed_by_make
def test_a_developer_begins_a_migration(tmp_path: Path) -> None:
    """`make migration` gives it the next number and its place after the last one, and a form that the checks take."""
    folder = clone(tmp_path)
    nameless = subprocess.run(["make", "migration"], cwd=folder, capture_output=True, text=True, check=False)
    assert nameless.returncode != 0
    subprocess.run(["make", "migration", "NAME=due dates"], cwd=folder, capture_output=True, check=True)
    number = f"{int(head_revision()) + 1:04d}"
    file = folder / "migrations" / "versions" / f"{number}_due_dates.py"
    made = file.read_text()
    assert f'revision = "{number}"' in made
    assert f'down_revision = "{head_revision()}"' in made
    for check in (["format", "--check"], ["check"]):
        subprocess.run([folder / ".venv" / "bin" / "ruff", *check, file], cwd=folder, check=True)
