"""Processes of 1.0 beside a migration that they do not survive: it waits for them to stop."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command

from app.cli import commands
from app.core.database.dsn import parse_database_url
from app.operations.migrations import alembic_config, head_revision
from tests.operations.test_doctor import found
from tests.support.server import running, serving
from tests.support.settings import SECRET, make_settings
from tests.support.waiting import until


@pytest.fixture
def old_url(own_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database as 1.0 left it."""
    command.downgrade(alembic_config(parse_database_url(own_database_url)), "0006")
    monkeypatch.setenv("DATABASE_URL", own_database_url)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    return own_database_url


@pytest.fixture
def old_process(old_url: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """What the database sees of a process of 1.0."""
    with psycopg.connect(old_url, application_name="auth-tasks-api", autocommit=True) as connection:
        yield connection


def revision(url: str) -> str:
    with psycopg.connect(url) as connection:
        ((found,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(found)


@pytest.mark.usefixtures("old_process")
def test_migrate_refuses_while_they_run(old_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator who forgot to stop 1.0 is told to, and nothing has changed; told otherwise, it is done."""
    with pytest.raises(SystemExit, match="stop them all first"):
        commands.main(["migrate"])
    assert revision(old_url) == "0006"
    commands.main(["migrate", "--beside-1.0"])
    assert revision(old_url) == head_revision()
    assert found(old_url)["processes"][0] == "fail"
    commands.main(["migrate"])
    assert "up to date" in capsys.readouterr().err


def test_a_new_database_and_other_programs_are_no_hindrance(
    empty_database_url: str, old_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only processes of 1.0, on a database of 1.0, are waited for."""
    with psycopg.connect(old_url, application_name="psql"):
        commands.main(["migrate"])
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    assert found(empty_database_url)["processes"] == ("ok", "none is of 1.0")
    commands.main(["migrate"])


async def test_a_start_waits_for_them(
    old_url: str, old_process: "psycopg.Connection[tuple[object, ...]]", capfd: pytest.CaptureFixture[str]
) -> None:
    """A process of this release that starts beside 1.0 is not ready and says why, and migrates when they have gone."""
    async with running(make_settings(old_url, migrate_on_start="on")) as client:
        assert (await client.get("/health/ready")).status_code == 503
        assert "older_processes_running" in capfd.readouterr().err
        assert revision(old_url) == "0006"
        old_process.close()
        await until(lambda: revision(old_url) == head_revision())
        assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.slow
def test_processes_of_this_release_do_not_wait_for_each_other(old_url: str, tmp_path: Path) -> None:
    """Several processes of this release start at once on a database of 1.0, and all of them serve."""
    with serving(tmp_path, DATABASE_URL=old_url, WORKERS="2") as server:
        assert "older_processes_running" not in server.log.read_text()
