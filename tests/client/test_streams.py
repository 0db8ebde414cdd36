"""What somebody does to standard input and output ends in a sentence or in silence, never in a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from auth_tasks_client import TasksClient
from tests.support.people import new_email
from tests.support.settings import ROOT

NO_TERMINAL = "There is no terminal to ask for the password: use --password-stdin.\n"
NO_PASSWORD = "Standard input has no password: a line for each is needed.\n"

pytestmark = pytest.mark.slow

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run(client: TasksClient, tmp_path: Path) -> Run:
    """Runs a command of somebody who is signed in by a shell without a terminal, which redirects as it is told."""

    def call(redirection: str, *arguments: str | bytes, given: bytes = b"", **environment: str) -> object:
        command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "auth_tasks_client", *arguments]
        package = str(ROOT / "clients" / "python")
        settings = {"AUTH_TASKS_HOME": str(client.store.path.parent), "PYTHONPATH": package, **environment}
        return subprocess.run(
            command,
            input=given,
            cwd=tmp_path,
            env={**os.environ, **settings},
            capture_output=True,
            start_new_session=True,  # without a terminal
            timeout=60,
            check=False,
        )

    return call  # type: ignore[return-value]


@pytest.mark.parametrize("command", [["list"], ["add", "x"], ["--help"]])
def test_an_output_that_is_lost_is_one_sentence(run: Run, command: list[str]) -> None:
    """A script learns that what it asked for was done, and that nobody has the answer."""
    for redirection, why in ((">/dev/full", "No space left on device"), (">&-", "it is closed")):
        done = run(redirection, *command)
        assert (done.returncode, done.stderr.decode()) == (5, f"Standard output cannot be written: {why}.\n")
    done = run("| true", *command)
    assert done.stderr == b""
    assert run("2>/dev/full", "done", "nothing").returncode == 1
    assert run("2>&-", "done", "nothing").returncode == 1


def test_what_a_terminal_cannot_show_is_escaped(run: Run, client: TasksClient) -> None:
    """A list is shown on a machine with an old locale, and JSON stays the same JSON."""
    client.add("Łódź 🌱")
    for encoding, shown in (
        ("latin-1", r"\u0141ód\u017a \ud83c\udf31"),
        ("ascii", r"\u0141\u00f3d\u017a \ud83c\udf31"),
    ):
        done = run("", "list", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stdout.decode(encoding).rstrip().endswith(shown)) == (0, True), done
        done = run("", "list", "--json", PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout.decode(encoding))[0]["title"] == "Łódź 🌱"


@pytest.mark.parametrize("redirection", ["</dev/null", "<&-", ""], ids=["nothing", "closed", "a pipe"])
def test_without_a_terminal_the_password_comes_from_standard_input(run: Run, redirection: str) -> None:
    """Who scripts it reads how; a password that was not meant for the prompt is not taken for one."""
    done = run(redirection, "signin", new_email(), given=b"a password\n")
    assert (done.returncode, done.stderr.decode()) == (2, NO_TERMINAL)
    if redirection:
        done = run(redirection, "signin", new_email(), "--password-stdin")
        assert (done.returncode, done.stderr.decode()) == (2, NO_PASSWORD)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8:surrogateescape"])
def test_what_is_no_text_is_said(run: Run, encoding: str) -> None:
    """Bytes that cannot be sent are refused before anything is, and before they wait in a copy for ever."""
    done = run("", "signin", new_email(), "--password-stdin", given=b"\xff\xfe\n", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (2, b"The password is not UTF-8.\n")
    done = run("", "add", b"\xff")
    assert (done.returncode, done.stderr) == (2, b"title is not UTF-8.\n")
