"""The command line, against a real server: for people a table, for scripts --json and exit codes."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from auth_tasks_client.__main__ import main
from tests.support import PASSWORD, Server, new_email

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("AUTH_TASKS_HOME", str(tmp_path))
    monkeypatch.setenv("AUTH_TASKS_URL", server.url)
    monkeypatch.setattr("getpass.getpass", lambda: PASSWORD)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_whole_day(run: Run) -> None:
    """From the account to the end of all its sessions."""
    email = new_email()
    assert run("list")[0] == 3
    assert run("signup", email, "--name", "Ada")[0] == 0
    assert run("signout")[0] == 0
    assert run("signin", email)[0] == 0
    assert run("list")[1] == "No tasks.\n"
    assert run("add", "Water the plants 🌱", "--priority", "high")[0] == 0
    task = json.loads(run("list", "--json")[1])[0]
    assert run("list")[1] == f"[ ] {task['id'][:8]}  high    Water the plants 🌱\n"
    assert run("edit", task["id"][:8], "--title", "Fern", "--status", "in_progress")[1].startswith("[~]")
    assert run("done", task["id"][:8])[1].startswith("[x]")
    assert json.loads(run("list", "--status", "pending", "--json")[1]) == []
    assert run("done", "zzz") == (1, "", "No such task.\n")
    run("add", "Another")
    assert "2 tasks have" in run("rm", "")[2]
    assert run("rm", task["id"])[0] == 0
    assert json.loads(run("signout", "--everywhere", "--json")[1]) == {"message": "You are signed out."}


def test_failures_have_their_own_codes_and_clear_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script branches on, and what a person reads."""
    email = new_email()
    monkeypatch.setattr("getpass.getpass", lambda: "short")
    code, _, said = run("signup", email)
    assert (code, "password must have at least 8" in said) == (1, True)
    monkeypatch.setattr("getpass.getpass", lambda: "wrong password")
    assert run("signin", email)[0] == 3
    with pytest.raises(SystemExit) as wrong:
        run("fly")
    assert wrong.value.code == 2


def test_a_password_can_be_piped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts have no terminal to ask at."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert run("signup", new_email(), "--password-stdin")[0] == 0
