"""Migrations: by several at once, there and back, and under load."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command

from app.core.database.dsn import parse_database_url
from app.operations.migrations import alembic_config, head_revision, upgrade
from tests.faults.load import Acknowledged, check, more_written, writing
from tests.support.databases import new_database
from tests.support.rounds import rounds
from tests.support.server import serving
from tests.support.settings import ROOT, SECRET

pytestmark = pytest.mark.slow

ROUNDS = rounds(10, least=2)
KEPT = {
    "users": "id, email, name, password_hash, created_at, updated_at",
    "tasks": "id, user_id, title, description, status, priority, version, created_at, updated_at",
    "token_denylist": "id, session_id, user_id, reason, denied_at, expires_at",
    "rate_limit_counters": "key, count, expires_at",
}
"""What every revision keeps of each table."""


def fill(url: str) -> None:
    """Put a thousand rows into each table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, email, password_hash) "
            "SELECT gen_random_uuid(), n || '@example.test', 'x' FROM generate_series(1, 1000) AS n"
        )
        connection.execute("INSERT INTO user_state (user_id, is_active) SELECT id, email NOT LIKE '9%' FROM users")
        connection.execute(
            "INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), id, email || '🌱' FROM users"
        )
        connection.execute(
            "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
            "SELECT gen_random_uuid(), gen_random_uuid(), id, 'used', now(), now() + interval '9 days' FROM users"
        )
        connection.execute(
            "INSERT INTO rate_limit_counters (key, count, expires_at) "
            "SELECT sha256(email::bytea), 1, now() + interval '1 hour' FROM users"
        )


def contents(url: str) -> dict[str, tuple[int, str]]:
    """Count and digest the rows of each table, but for those that stand for sessions which go on."""
    with psycopg.connect(url) as connection:
        asked = {
            table: connection.execute(
                "SELECT count(*), md5(string_agg(kept, ';' ORDER BY kept)) FROM "
                f"(SELECT CAST(({columns}) AS text) AS kept, * FROM {table}) AS rows "
                "WHERE to_jsonb(rows) ->> 'reason' IS DISTINCT FROM 'active'".encode()
            )
            for table, columns in KEPT.items()
        }
        return {table: answer.fetchone() for table, answer in asked.items()}  # type: ignore[misc]  # there is one


def closed_accounts(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT user_id FROM user_state WHERE NOT is_active ORDER BY user_id").fetchall()


def test_four_at_once_migrate_once_each_time(postgres_url: str) -> None:
    """Machines may start at the same moment: the schema is migrated once, also on filled tables."""
    codes = []
    for number in range(ROUNDS):
        with new_database(postgres_url) as url:
            if number % 2:
                upgrade(parse_database_url(url))
                fill(url)
                command.downgrade(alembic_config(parse_database_url(url)), "-1")
            environment = {**os.environ, "DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET}
            command_line = [sys.executable, "-m", "app", "migrate"]
            quiet = subprocess.DEVNULL
            started = [
                subprocess.Popen(command_line, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet) for _ in range(4)
            ]
            codes += [process.wait(60) for process in started]
            assert contents(url)["tasks"][0] == (1000 if number % 2 else 0)
    print(f"four migrations at once, {ROUNDS} times: {codes.count(0)} of {len(codes)} succeeded")
    assert codes == [0] * 4 * ROUNDS


def test_down_and_up_keeps_every_row_byte_for_byte(own_database_url: str) -> None:
    """An operator can go back to the first revision and forward again without losing a row; who was closed stays so."""
    dsn = parse_database_url(own_database_url)
    fill(own_database_url)
    before, closed = contents(own_database_url), closed_accounts(own_database_url)
    command.downgrade(alembic_config(dsn), "0001")
    assert contents(own_database_url) == before
    upgrade(dsn)
    assert contents(own_database_url) == before
    assert closed_accounts(own_database_url) == closed
    assert ({count for count, _ in before.values()}, len(closed)) == ({1000}, 111)


NEXT_RELEASE = """
from migrations.without_waiting import *

revision, down_revision = "9999", "{head}"

def upgrade() -> None:
    add_column("tasks", "colour text NOT NULL DEFAULT 'red'")
    make_index("ix_tasks_user_id_colour", "tasks", "user_id", "colour")
    replace_check("tasks", "colour", "colour <> ''")
    set_fillfactor("tasks", 80)
    replace_primary_key("sessions", "user_id", "id", "created_at")
    make_table("notes", "id uuid PRIMARY KEY", "user_id uuid NOT NULL")
    add_foreign_key("notes", "user_id", "users (id) ON DELETE CASCADE", name="fk_notes_user_id_users")

def downgrade() -> None:
    drop_table("notes")
    replace_primary_key("sessions", "user_id", "id")
    set_fillfactor("tasks", None)
    drop_index("ix_tasks_user_id_colour")
    drop_column("tasks", "colour")
"""


async def test_migrating_under_load_fails_nothing(own_database_url: str, tmp_path: Path) -> None:
    """People go on writing while a later release adds to the tables that they write to, and takes it away again."""
    known = Acknowledged()
    config = alembic_config(parse_database_url(own_database_url))
    later = shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    (later / "versions/9999_later.py").write_text(NEXT_RELEASE.format(head=head_revision()))
    config.set_main_option("script_location", str(later))
    settings: dict[str, Any] = {"RATE_LIMITS": "on", "RATE_LIMIT_REFRESH_SESSION": "100000/minute"}
    with serving(tmp_path, DATABASE_URL=own_database_url, LOG_LEVEL="WARNING", **settings) as server:
        async with writing(server.url, known):
            for _ in range(5):
                await more_written(known, 100)
                await asyncio.to_thread(command.upgrade, config, "head")
                await more_written(known, 100)
                await asyncio.to_thread(command.downgrade, config, "-1")
        await check(own_database_url, server.url, known)
    assert known.statuses.keys() <= {200, 201, 204}  # not even a 503
