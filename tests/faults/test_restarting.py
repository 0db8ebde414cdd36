"""The thread that starts the embedded database again: nothing that passes may end it, nor make it do harm."""

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.operations.embedded_postgres.server import EmbeddedPostgres
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving
from tests.support.settings import environment_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs"),
]


def wait_for_line(server: Server, words: str) -> None:
    deadline = time.monotonic() + 20
    while words not in server.log.read_text():
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.1)


def test_a_database_that_dies_while_files_are_short_is_started_again_afterwards(folder: Path, tmp_path: Path) -> None:
    """A database that dies while descriptors are short is started again afterwards, and the log says so once."""
    with serving(tmp_path, EMBEDDED_DATA_DIR=str(folder / "postgres")) as server:
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        os.kill(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        wait_for_line(server, "Too many open files")
        time.sleep(1.2)  # two more attempts
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        wait_for_line(server, "was started again")
        server.wait_until()
        account = {"email": new_email(), "password": PASSWORD}
        assert httpx.post(f"{server.url}/api/auth/signup", json=account).status_code == 201
        said = [line for line in server.log.read_text().splitlines() if "embedded PostgreSQL cannot" in line]
    assert len(said) == 1


def test_a_database_whose_queue_is_full_is_not_started_a_second_time(folder: Path) -> None:
    """A database that is only busy goes on: a second start would rewrite its lock file, and it would stop for that."""
    postgres = EmbeddedPostgres(folder / "postgres", durable=False, echo=lambda text: None)
    postgres.start()
    pid_file = folder / "postgres" / "postmaster.pid"
    before = pid_file.read_text()
    os.kill(int(before.split()[0]), signal.SIGSTOP)
    with ExitStack() as visitors:
        visitors.callback(os.kill, int(before.split()[0]), signal.SIGCONT)
        while visit(folder / "postgres" / ".s.PGSQL.5432", visitors):
            pass
        assert not postgres.ensure_running()
        assert pid_file.read_text() == before
    postgres.stop()


def visit(path: Path, visitors: ExitStack) -> bool:
    """Connect and stay; False when no more are let in."""
    visitor = visitors.enter_context(socket.socket(socket.AF_UNIX))
    visitor.setblocking(False)
    return visitor.connect_ex(str(path)) != errno.EAGAIN


def test_what_cannot_be_told_is_no_reason_to_stop() -> None:
    """The service goes on when whoever read its lines has gone, as in `make run 2>&1 | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from app.cli.serve import echo; echo('a'); print('goes on', flush=True)"]
    try:
        done = subprocess.run(command, env=environment_of(), stdout=subprocess.PIPE, stderr=writer, check=False)
    finally:
        os.close(writer)
    assert done.stdout == b"goes on\n"
