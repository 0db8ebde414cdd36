"""What somebody does to standard input and output ends in a sentence or in silence, never in a traceback."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import SECRET, environment_of, make_settings

NAME = "Łódź 🌱"
LOST = "Standard output cannot be written: "
ADA = "ada@example.test"
# Every command that writes to standard output, and what a database has to be there for.
WITHOUT_DATABASE = [["secret"], ["openapi"], ["--help"], ["users", "--help"], ["--version"]]
WITH_DATABASE = [
    ["doctor"],
    ["users", "list"],
    ["users", "sessions", ADA],
    ["users", "reset", ADA],
    ["users", "export", ADA],
    ["users", "history", ADA, "trail.log"],
    ["users", "import", "users.csv"],
]

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


async def _make_ada(url: str) -> str:
    async with running(make_settings(url)) as client:
        return str((await Person.sign_up(client, email=ADA, name=NAME)).user["id"])


def call(
    folder: Path, arguments: list[str], redirection: str = "", *, out: int = subprocess.PIPE, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command by a shell, which redirects as it is told."""
    settings = {"BETTER_AUTH_SECRET": SECRET, "ENVIRONMENT": "test", "PASSWORD_HASH_COST": "4", **environment}
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment_of(**settings),
        stdout=out,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


@pytest.fixture
def run(own_database_url: str, tmp_path: Path) -> Run:
    """Runs a command on a database that has Ada."""
    ada = asyncio.run(_make_ada(own_database_url))
    event = {"event": "signed_in", "logger": "audit", "at": "2026-11-29T09:58", "user_id": ada}
    (tmp_path / "trail.log").write_text(json.dumps(event))
    (tmp_path / "garbage").write_bytes(bytes(range(256)))
    (tmp_path / "users.csv").write_text("email,hash\nnobody,x\n")
    return partial(call, tmp_path, DATABASE_URL=own_database_url)


@contextmanager
def left_by_its_reader() -> Iterator[int]:
    """Yield a pipe as `| head -1` leaves it."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def test_an_output_that_is_lost_is_one_sentence(tmp_path: Path) -> None:
    """A secret that was not written is no success, and `| head` is no error that anybody has to read."""
    for redirection, why in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        done = call(tmp_path, ["secret"], redirection)
        assert (done.returncode, done.stderr.decode()) == (1, f"{LOST}{why}.\n")
    with left_by_its_reader() as pipe:
        done = call(tmp_path, ["secret"], out=pipe)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_it_is_the_same_for_every_command(run: Run) -> None:
    """Whichever command fills the disk, and however much it writes."""
    for arguments in (*WITHOUT_DATABASE, *WITH_DATABASE):
        done = run(arguments, ">/dev/full")
        said = done.stderr.decode()
        assert (done.returncode, said.splitlines()[-1]) == (1, f"{LOST}No space left on device."), (arguments, said)
        assert "Traceback" not in said


@pytest.mark.slow
def test_what_a_terminal_cannot_show_is_escaped(run: Run) -> None:
    """A name from elsewhere ends no command on a machine with an old locale; JSON is UTF-8 all the same."""
    for arguments in (*WITHOUT_DATABASE, *WITH_DATABASE):
        done = run(arguments, PYTHONIOENCODING="latin-1")
        assert done.returncode == int("import" in arguments), done.stderr
        assert b"Traceback" not in done.stderr
        if arguments == ["users", "list"]:
            assert r"\u0141ód\u017a \U0001f331" in done.stdout.decode("latin-1")
        elif arguments == ["users", "export", ADA]:
            assert NAME in done.stdout.decode()


@pytest.mark.slow
def test_no_stream_need_be_there(run: Run) -> None:
    """A supervisor that closes all of them is served; an input that is no text, or none, is read as it is."""
    assert run(["migrate"], "<&- >&- 2>&-").returncode == 0
    assert run(["migrate"], "2>/dev/full").returncode == 0
    assert run(["users", "list"], "<&- 2>&-").stdout.decode().endswith(f"{ADA}  ({NAME})\n")
    for redirection, code in (("<&-", 0), ("<garbage", 0), ("</", 1)):
        done = run(["users", "history", ADA, "-"], redirection)
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False), done.stderr
