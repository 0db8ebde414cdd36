"""The embedded PostgreSQL trusts whoever reaches its socket: another user of the machine must not."""

import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from app.operations.embedded_postgres.paths import EmbeddedUnavailable, reachable_binaries, server_user
from app.operations.embedded_postgres.server import EmbeddedPostgres

STRANGER = 65533
LONG = "long" * 40

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a second user of this machine"),
]


@pytest.fixture
def crowded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder in which everybody may make files, as /tmp is."""
    temporary = folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


def make(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, durable=False, echo=lambda text: None)


@contextmanager
def started(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    postgres = make(data_dir)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


def say_hello(url: str) -> None:
    with psycopg.connect(url, connect_timeout=2) as connection:
        connection.execute("SELECT 1")


def socket_of(postgres: EmbeddedPostgres) -> Path:
    return Path(str(psycopg.conninfo.conninfo_to_dict(postgres.url)["host"])) / ".s.PGSQL.5432"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def kill(postgres: EmbeddedPostgres) -> None:
    """Kill the server, as a crash of the machine would, and wait until nothing of it is left."""
    pid = int((postgres.data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_no_stranger_connects(postgres: EmbeddedPostgres) -> None:
    """Try as another user what the service does as its own."""
    say_hello(postgres.url)
    command = [str(reachable_binaries(server_user()) / "psql"), "-XAtc", "SELECT usesuper FROM pg_user", postgres.url]
    done = subprocess.run(
        command,
        user=STRANGER,
        group=STRANGER,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout == ""
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize("name", ["short", LONG])
def test_another_user_cannot_connect(folder: Path, crowded: Path, name: str) -> None:
    """Other users of the machine can neither enter the socket's folder nor write to the socket."""
    with started(folder / name / "postgres") as postgres:
        assert_no_stranger_connects(postgres)
        assert mode(socket_of(postgres).parent) == 0o700
        assert mode(socket_of(postgres)) == 0o700
        with psycopg.connect(postgres.url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)  # nor come by the network


def test_no_other_user_can_stand_where_the_socket_will_be(folder: Path, crowded: Path) -> None:
    """Nobody can work out where the socket will be, as they could when it was a digest of the path."""
    data_dir = folder / LONG / "postgres"
    guess = crowded / f"auth-tasks-0-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    guess.mkdir()
    guess.chmod(0o777)
    os.chown(guess, STRANGER, STRANGER)
    with started(data_dir) as postgres:
        assert_no_stranger_connects(postgres)
    with started(data_dir) as again:
        assert again.url != postgres.url


def test_every_process_with_the_same_data_finds_the_same_place_and_the_last_one_removes_it(
    folder: Path, crowded: Path
) -> None:
    """Programs with the same data find one socket, though its name is random, also after a crash of the server."""
    data_dir = folder / LONG / "postgres"
    with started(data_dir) as first, started(data_dir) as second:
        assert first.url == second.url
        kill(first)
        assert first.ensure_running()
        with started(data_dir) as third:
            assert third.url == first.url
            assert_no_stranger_connects(third)
    assert list(crowded.iterdir()) == []
    assert sorted(path.name for path in data_dir.parent.iterdir()) == ["postgres", "postgres.lock", "postgres.users"]


@pytest.mark.parametrize("name", ["short", LONG])
def test_a_mode_that_lets_others_in_is_mended(folder: Path, crowded: Path, name: str) -> None:
    """A `chmod -R` by mistake, at whatever time, lets nobody in for long."""
    with started(folder / name / "postgres") as postgres:
        for place in (postgres.data_dir, socket_of(postgres).parent):
            place.chmod(0o777)
        with started(folder / name / "postgres"):
            assert mode(postgres.data_dir) == mode(socket_of(postgres).parent) == 0o700
            assert_no_stranger_connects(postgres)


def test_a_socket_of_another_user_is_not_taken_for_the_servers(folder: Path, crowded: Path) -> None:
    """Nobody is told passwords' hashes by putting a socket there while the folder let everybody in."""
    with started(folder / LONG / "postgres") as postgres:
        kill(postgres)
        place = socket_of(postgres)
        place.unlink()
        with socket.socket(socket.AF_UNIX) as trap:
            trap.bind(str(place))
            os.chown(place, STRANGER, STRANGER)
            trap.listen()
            assert postgres.ensure_running()
        assert_no_stranger_connects(postgres)


def test_a_link_of_another_user_in_the_place_of_a_lock_file_changes_nothing_of_ours(
    folder: Path, crowded: Path
) -> None:
    """Root, who writes process ids into lock files, is not made to write where a link leads."""
    precious = folder / "precious"
    precious.write_text("first line\n")
    precious.chmod(0o600)
    postgres = make(folder / LONG / "postgres")
    postgres.start()
    kill(postgres)
    lock = socket_of(postgres).with_name(".s.PGSQL.5432.lock")
    lock.unlink()
    lock.symlink_to(precious)
    with pytest.raises(EmbeddedUnavailable, match="lock is a link"):
        postgres.ensure_running()
    assert precious.read_text() == "first line\n"
    lock.unlink()
    assert postgres.ensure_running()
    postgres.stop()


@pytest.mark.parametrize("name", ["service.conf", "postgresql.conf", "server.log"])
def test_a_link_in_a_new_cluster_leads_root_nowhere(
    folder: Path, crowded: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else runs as `nobody` can put a link there while the cluster is made."""
    precious = folder / "precious"
    precious.write_text("first line\n")
    precious.chmod(0o600)
    run = EmbeddedPostgres._run

    def run_beside_a_stranger(self: EmbeddedPostgres, program: str, *arguments: str) -> None:
        run(self, program, *arguments)
        if program == "initdb":
            planted = Path(arguments[arguments.index("-D") + 1]) / name
            if planted.exists():
                planted.rename(planted.with_suffix(".moved"))
            planted.symlink_to(precious)

    monkeypatch.setattr("app.operations.embedded_postgres.server.WAITS_SECONDS", (0.1,))
    monkeypatch.setattr(EmbeddedPostgres, "_run", run_beside_a_stranger)
    with suppress(EmbeddedUnavailable), started(folder / "data" / "postgres"):
        pass
    assert precious.read_text() == "first line\n"
    assert (precious.stat().st_uid, mode(precious)) == (0, 0o600)


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_place_that_another_user_has_taken_since_is_given_up(folder: Path, crowded: Path, kind: str) -> None:
    """The database starts though a crash emptied /tmp and somebody else has taken its place there.

    It does not while a process here has the old address.
    """
    data_dir = folder / LONG / "postgres"
    postgres = make(data_dir)
    postgres.start()
    kill(postgres)
    place = socket_of(postgres).parent
    shutil.rmtree(place)
    own = crowded / "own" if kind == "link" else place
    own.mkdir()
    own.chmod(0o777)
    os.chown(own, STRANGER, STRANGER)
    if kind == "link":
        place.symlink_to(own)
        os.chown(place, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(EmbeddedUnavailable, match=place.name):
        postgres.ensure_running()
    with started(data_dir) as another:
        assert socket_of(another).parent != place
        assert_no_stranger_connects(another)
        assert own.lstat().st_uid == STRANGER
        with pytest.raises(EmbeddedUnavailable, match=place.name):
            postgres.ensure_running()
        say_hello(another.url)


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_another_user_put_in_the_place_of_the_data_is_refused(folder: Path, crowded: Path, kind: str) -> None:
    """Data is not kept in what somebody else has made, not even an empty folder, and nothing of theirs is changed."""
    data_dir = crowded / "postgres"
    theirs = crowded / "theirs" if kind == "link" else data_dir
    if kind == "file":
        theirs.touch()
    else:
        theirs.mkdir()
    theirs.chmod(0o777)
    os.chown(theirs, STRANGER, STRANGER)
    if kind == "link":
        data_dir.symlink_to(theirs)
    with pytest.raises(EmbeddedUnavailable, match=r"postgres (belongs to another user|is a link or no folder)"):
        make(data_dir).start()
    assert (theirs.stat().st_uid, mode(theirs)) == (STRANGER, 0o777)


@pytest.mark.parametrize("kind", ["theirs", "writable", "link"])
def test_a_file_beside_the_data_that_others_can_write_is_refused(folder: Path, crowded: Path, kind: str) -> None:
    """No other user can keep the service waiting for ever, or send it to another socket."""
    data_dir = folder / LONG / "postgres"
    data_dir.parent.mkdir()
    postgres, target = make(data_dir), folder / "target"
    for suffix in (".lock", ".socket", ".users"):
        beside = data_dir.with_name(f"postgres{suffix}")
        if kind == "link":
            beside.symlink_to(target)
        else:
            beside.write_text(str(crowded / "elsewhere"))
            os.chown(beside, STRANGER if kind == "theirs" else 0, -1)
            beside.chmod(0o644 if kind == "theirs" else 0o666)
        with pytest.raises(EmbeddedUnavailable, match=f"postgres{suffix} "):
            postgres.start()
        beside.unlink()
    assert not target.exists()
    postgres.start()
    postgres.stop()
