"""The links of mails, as a program and as somebody in a terminal uses them."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auth_tasks_client import ApiError, TasksClient, default_store
from auth_tasks_client.__main__ import main
from tests.support.mail import PAGE, Mailbox, mail_server, mail_settings, plain
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving
from tests.support.waiting import wait_until

NEW = "another battery 5"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def mailing(database_url: str, tmp_path: Path, mailbox: Mailbox) -> Iterator[Server]:
    """A server that sends mail."""
    with mail_server(mailbox) as port:
        named: dict[str, Any] = {name.upper(): str(value) for name, value in mail_settings(port).items()}
        with serving(tmp_path, DATABASE_URL=database_url, **named) as server:
            yield server


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("AUTH_TASKS_HOME", str(tmp_path))

    def run(*arguments: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def link_in(mailbox: Mailbox, to: str, page: str) -> str:
    """Wait for a mail to this address, and return its link."""
    found: list[str] = []

    def has_come() -> bool:
        lines = [line for mail in mailbox.mails if mail["To"] == to for line in plain(mail).splitlines()]
        found[:] = [line for line in lines if line.startswith(f"{PAGE}/{page}#token=")]
        return bool(found)

    wait_until(has_come)
    return found[-1]


def test_an_account_is_helped_in_a_terminal(
    run: Run, mailing: Server, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody without a browser proves an address, moves to another one, and gets in again without the password."""
    email, new = new_email(), new_email()
    monkeypatch.setenv("AUTH_TASKS_URL", mailing.url)
    stdin = "--password-stdin"
    assert run("signup", email, stdin, typed=PASSWORD)[0] == 0
    assert run("email") == (0, f"{email}  (not proven: auth-tasks email --verify)\n")
    assert run("email", "--verify")[0] == 0
    proof = link_in(mailbox, email, "verify")
    assert run("email", "--link", stdin, typed=f"{proof}\n") == (0, f"{email}  (proven)\n")
    assert run("email", "--new", new, stdin, typed="wrong\n") == (1, "The current password is wrong.\n")
    assert run("email", "--new", new, stdin, typed=PASSWORD)[0] == 0
    move = link_in(mailbox, new, "email")
    assert run("email", "--link", stdin, typed=move) == (0, f"{new}  (proven)\n")
    stored = default_store().read()
    assert stored
    assert stored.email == new
    assert run("email", "--link", stdin, typed=proof)[0] == 1
    assert run("list")[0] == 0, "a link that is out of date ends no session"
    assert run("password", "--forgot", new)[0] == 0
    link = link_in(mailbox, new, "reset")
    assert run("password", "--link", stdin, typed=f"{link}\n{NEW}\n")[0] == 0
    assert run("list")[0] == 3
    assert run("signin", new, stdin, typed=NEW)[0] == 0


def test_a_server_without_mail_says_so(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person learns that there are no links here, and not that something might have been changed."""
    monkeypatch.setenv("AUTH_TASKS_URL", server.url)
    assert run("password", "--forgot", new_email()) == (1, "This service sends no mail.\n")
    with TasksClient(default_store(), server.url) as client, pytest.raises(ApiError) as refused:
        client.mail_reset_link(new_email())
    assert (refused.value.status, refused.value.code) == (501, "MAIL_IS_OFF")
