"""A server for the client, and a way to it that loses answers."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from auth_tasks_client import ScriptClient, TasksClient, TokenStore
from auth_tasks_client.__main__ import main
from tests.client.between import Between, Way
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving

Run = Callable[..., tuple[int, str, str]]
"""Carries out a command; returns its exit code and what it printed, perhaps on a `way` that leads elsewhere."""


@pytest.fixture(scope="session")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, DATABASE_URL=database_url) as started:
        yield started


@pytest.fixture
def between(server: Server) -> Iterator[Between]:
    """A proxy before the server; at first it only passes on."""
    with Between.running(server.url) as proxy:
        yield proxy


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "home" / "tokens.json")


@pytest.fixture
def client(server: Server, store: TokenStore) -> Iterator[TasksClient]:
    with TasksClient(store, server.url) as client:
        client.sign_up(new_email(), PASSWORD, "Ada")
        yield client


@pytest.fixture
def _unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the locks, as on a network drive that has none."""

    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("AUTH_TASKS_HOME", str(tmp_path))
    monkeypatch.setenv("AUTH_TASKS_URL", server.url)
    monkeypatch.setattr("getpass.getpass", lambda *_: PASSWORD)

    def run(*arguments: str, way: str | None = None) -> tuple[int, str, str]:
        with monkeypatch.context() as patched:
            if way:
                for kind in (TasksClient, ScriptClient):
                    patched.setattr(f"auth_tasks_client.__main__.{kind.__name__}", partial(kind, transport=Way(way)))
            code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
