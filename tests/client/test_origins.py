"""Tokens go to the server that gave them, and to no other."""

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from auth_tasks_client import LocalCopy, OtherAccount, OtherServer, TasksClient, TokenAuth, TokenStore
from auth_tasks_client.__main__ import main
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server

COMMANDS = [
    ["list"],
    ["add", "Mine"],
    ["edit", "3f", "--title", "x"],
    ["done", "3f"],
    ["rm", "3f"],
    ["sync"],
    ["conflicts"],
    ["keep", "1", "--mine"],
    ["sessions"],
    ["passwd"],
    ["delete"],
    ["signout"],
]


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """The port of another server, which never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def assert_nobody_called(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("by", ["--url", "AUTH_TASKS_URL"])
def test_no_command_gives_another_server_the_tokens(
    client: TasksClient,
    other: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    by: str,
) -> None:
    """An address that was left in the shell, or that a folder's `.envrc` sets, is refused before anything is sent."""
    monkeypatch.setenv("AUTH_TASKS_HOME", str(client.store.path.parent))
    monkeypatch.setattr("getpass.getpass", lambda *_: PASSWORD)
    if by == "--url":
        command = [*command, by, url_of(other)]
    else:
        monkeypatch.setenv(by, url_of(other))
    before = client.store.read()
    assert main(command) == 3
    assert capsys.readouterr().err == (
        f"You are signed in at {client.url}, not at {url_of(other)}. "
        "Leave out --url and AUTH_TASKS_URL, or sign in there.\n"
    )
    assert_nobody_called(other)
    assert client.store.read() == before


def test_a_program_is_refused_too(client: TasksClient, other: socket.socket) -> None:
    """Signing out is no exception: it goes where the session is."""
    with TasksClient(client.store, url_of(other)) as astray:
        for operation in (astray.tasks, astray.sessions, lambda: astray.add("x")):
            with pytest.raises(OtherServer):
                operation()
        token = client.store.read()
        assert token
        astray.sign_out()
    assert_nobody_called(other)
    assert client.store.read() is None
    body = {"refresh_token": token.refresh_token}
    assert httpx.post(f"{client.url}/api/auth/refresh", json=body).status_code == 401


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_client_of_ones_own_sends_them_to_their_server_alone(client: TasksClient, *, is_async: bool) -> None:
    """Whatever else it calls: other hosts, ports and schemes get none, and no 401 of theirs leads to a refresh."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401)

    auth, before = TokenAuth(client.store), client.store.read()
    there = client.url.removeprefix("http://")
    elsewhere = [f"https://{there}/", f"http://x.{there}/", "http://127.0.0.1:1/", f"http://127.0.0.1:1/?{client.url}"]
    transport = httpx.MockTransport(answer)
    for url in [*elsewhere, client.url]:
        if is_async:
            async with httpx.AsyncClient(transport=transport, auth=auth) as own:
                await own.get(url)
        else:
            with httpx.Client(transport=transport, auth=auth) as own_too:
                await asyncio.to_thread(own_too.get, url)
    assert ["Authorization" in request.headers for request in seen] == [False] * len(elsewhere) + [True] * 2
    assert before != client.store.read()  # refreshed after the 401 of its own server, and of no other


def test_the_same_server_may_be_written_in_other_ways(client: TasksClient) -> None:
    """A path, a slash and capitals make no other origin. A store of 1.0 says all that is asked."""
    tokens = client.store.read()
    assert tokens
    client.store.path.write_text(json.dumps({name: getattr(tokens, name) for name in tokens.__slots__}))
    with TasksClient(client.store, client.url.replace("http", "HTTP") + "/") as same:
        assert same.tasks() == []


def test_a_copy_belongs_to_one_server(client: TasksClient, server: Server, tmp_path: Path) -> None:
    """The tasks of one are not sent to another, though it gives its user the same id; a copy of 1.0 goes on."""
    with LocalCopy(tmp_path / "tasks.db") as copy:
        client.sync(copy)
        user_id = copy.known("user_id")
        assert copy.known("origin") == client.url
        copy.add("For one server alone")
        tokens = client.store.read()
        assert tokens
        seen: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(200, json={"id": user_id, "tasks": [], "deleted": [], "next": "x"})

        elsewhere = TokenStore(tmp_path / "elsewhere.json")
        elsewhere.write(replace(tokens, url="http://other.test"))
        other = TasksClient(elsewhere, transport=httpx.MockTransport(answer))
        with other, pytest.raises(OtherAccount, match="of another server"):
            other.sync(copy)
        assert seen == []
        copy._db.execute("DELETE FROM known WHERE name = 'origin'")
        assert client.sync(copy).sent == 1
        assert copy.known("origin") == client.url


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://tasks.example.test", True),
        ("http://10.0.0.1:8000", True),
        ("https://127.0.0.1:1", False),
        ("http://localhost:1", False),
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
    ],
)
def test_a_password_is_not_sent_in_the_clear_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, warned: bool
) -> None:
    """One line, when somebody signs in; on this machine there is nobody on the way."""
    monkeypatch.setenv("AUTH_TASKS_HOME", str(tmp_path))
    monkeypatch.setattr("getpass.getpass", lambda *_: PASSWORD)
    monkeypatch.setattr(TasksClient, "sign_in", lambda *_, **__: None)
    assert main(["signin", new_email(), "--url", url]) == 0
    expected = f"{url} is not encrypted: who is on the way there can read your password.\n" if warned else ""
    assert capsys.readouterr().err == expected
