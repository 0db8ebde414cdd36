"""Migrations: by several at once, there and back, and under load."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command

from app.core.database.dsn import parse_database_url
from app.operations.migrations import alembic_config, upgrade
from tests.faults.load import Acknowledged, check, more_written, writing
from tests.support.databases import new_database
from tests.support.rounds import rounds
from tests.support.server import serving
from tests.support.settings import ROOT, SECRET

pytestmark = pytest.mark.slow

ROUNDS = rounds(10, least=2)
TABLES = ("users", "tasks", "token_denylist", "rate_limit_counters")


def fill(url: str) -> None:
    """Put a thousand rows into each table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (id, email, password_hash) "
            "SELECT gen_random_uuid(), n || '@example.test', 'x' FROM generate_series(1, 1000) AS n"
        )
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
    """Count and digest the rows of each table, without the columns that a way back drops."""
    as_text = "CAST(to_jsonb({0}) - 'key_hash' - 'changed' AS text) AS row"
    digest = f"SELECT count(*), md5(string_agg(row, ';' ORDER BY row)) FROM {{0}}, {as_text}"
    with psycopg.connect(url) as connection:
        asked = {table: connection.execute(digest.format(table).encode()) for table in TABLES}
        return {table: answer.fetchone() for table, answer in asked.items()}  # type: ignore[misc]  # there is one


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
    """An operator can go back a revision and forward again without losing a row."""
    dsn = parse_database_url(own_database_url)
    fill(own_database_url)
    before = contents(own_database_url)
    command.downgrade(alembic_config(dsn), "0001")
    assert contents(own_database_url) == before
    upgrade(dsn)
    assert contents(own_database_url) == before
    assert before["tasks"][0] == 1000


async def test_migrating_under_load_fails_nothing(own_database_url: str, tmp_path: Path) -> None:
    """People go on writing while the schema is migrated.

    The way back keeps the columns that this code writes: an older one, which a migration meets, does without.
    """
    known = Acknowledged()
    dsn = parse_database_url(own_database_url)
    settings: dict[str, Any] = {"RATE_LIMITS": "on", "RATE_LIMIT_REFRESH_SESSION": "100000/minute"}
    with serving(tmp_path, DATABASE_URL=own_database_url, LOG_LEVEL="WARNING", **settings) as server:
        async with writing(server.url, known):
            for _ in range(5):
                await more_written(known, 100)
                command.stamp(alembic_config(dsn), "0003")
                await asyncio.to_thread(command.downgrade, alembic_config(dsn), "0001")
                await more_written(known, 100)
                await asyncio.to_thread(upgrade, dsn)
        await check(own_database_url, server.url, known)
    assert known.statuses.keys() <= {200, 201, 204}  # not even a 503
