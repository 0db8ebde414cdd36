"""Several processes at one port: forked from the one that looks after them, and started again when they die."""

import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from app.cli import supervising
from app.core.clock import stopwatch
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LARGEST_MB = 80  # of a worker's own memory and its share of what all share; 60 is the aim, and printed
SLOWEST_SECONDS = 6  # on a machine that is busy with other tests; 1.5 is the aim, and printed

LOOK = """
import os, socket
def look():
    for number in os.listdir('/proc/self/fd'):
        try:
            found = socket.socket(fileno=os.dup(int(number)))
            peer = found.getpeername()
        except OSError:
            continue
        if peer:
            print('forked with a connection to', peer, flush=True)
    print('forked', flush=True)
os.register_at_fork(before=look)
"""
SPAWN = "from app.cli import supervising; supervising.FORKS = False"


def proportional_mb(pid: int) -> float:
    """Return a process's memory, of which it counts what it shares with others by its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def serve_somebody(server: Server, times: int = 20) -> None:
    """Let all workers do some work: each connection may meet another one."""
    for _ in range(times):
        body = {"email": new_email(), "password": PASSWORD}
        token = httpx.post(f"{server.url}/api/auth/signup", json=body).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        httpx.get(f"{server.url}/api/tasks", headers=headers).raise_for_status()


def test_workers_share_what_they_have_imported(database_url: str, tmp_path: Path) -> None:
    """A second worker costs a machine the memory of its work, not of everything that is imported."""
    with serving(tmp_path, DATABASE_URL=database_url, WORKERS="2") as server:
        serve_somebody(server)
        workers = [proportional_mb(pid) for pid in server.workers()]
        supervisor = proportional_mb(server.process.pid)
    print(f"two workers: {workers[0]:.0f} and {workers[1]:.0f} MB, what looks after them {supervisor:.0f} MB (PSS)")
    assert max(workers) <= LARGEST_MB


def test_nothing_is_connected_before_the_fork(database_url: str, tmp_path: Path) -> None:
    """No two processes speak on one connection to the database, the one that is started again neither."""
    with serving(tmp_path, first=LOOK, DATABASE_URL=database_url, WORKERS="2") as server:
        first = server.workers()
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: len(set(server.workers()) - set(first)) == 1, 30)
        server.wait_until()
        said = server.log.read_text()
    assert said.count("forked\n") >= 3
    assert "forked with a connection to" not in said


@pytest.mark.parametrize("way", ["forked", "spawned"])
def test_a_worker_that_ends_is_started_again(database_url: str, tmp_path: Path, way: str) -> None:
    """A worker that was killed, or ended by a signal of its own, is there again, and the service is ready."""
    first = SPAWN if way == "spawned" else ""
    with serving(tmp_path, first=first, DATABASE_URL=database_url, WORKERS="2", DRAIN_SECONDS="0") as server:
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            before = set(server.workers())
            assert len(before) == 2
            os.kill(min(before), number)
            wait_until(lambda: len(set(server.workers()) - before) == 1 and len(server.workers()) == 2, 30)  # noqa: B023
            server.wait_until()
        serve_somebody(server, 4)
        assert server.log.read_text().count("worker_died") == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_every_process(database_url: str, tmp_path: Path, number: signal.Signals) -> None:
    """No worker is left behind, with the port, when a service of several is stopped."""
    with serving(tmp_path, DATABASE_URL=database_url, WORKERS="2") as server:
        workers = server.workers()
        server.process.send_signal(number)
        assert server.process.wait(20) in (0, -number)
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        assert server.log.read_text().count('"stopping"') == 2


def test_no_worker_is_forked_while_another_thread_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker does not begin with a lock that the database's looking after holds, which nobody would ever release."""
    workers = object.__new__(supervising._Workers)
    workers.processes, workers.should_exit = [], threading.Event()
    ended: list[str] = []

    class Dead:
        pid, exitcode = 1, -9

        def kill(self) -> None:
            ended.append("killed")

        def join(self) -> None:
            pass

    workers.processes.append(Dead())  # type: ignore[arg-type]
    monkeypatch.setattr(supervising._Workers, "_started", lambda self: "another")
    with supervising.FORKING:
        workers._replace(0, workers.processes[0])
        assert not ended
    workers._replace(0, workers.processes[0])
    assert ended
    assert str(workers.processes) == "['another']"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_second_start_answers_soon(folder: Path, tmp_path: Path, workers: str) -> None:
    """Who starts the service again, with its embedded database, does not wait."""
    settings = {"EMBEDDED_DATA_DIR": str(folder / "postgres"), "WORKERS": workers}
    with serving(tmp_path, wait=True, **settings):
        pass
    began = stopwatch()
    with serving(tmp_path, wait=False, **settings) as server:
        server.wait_until("/health/ready")
        took = stopwatch() - began
    print(f"second start with {workers} worker(s): ready after {took:.2f} s")
    assert took < SLOWEST_SECONDS
