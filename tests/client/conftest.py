"""A server for the client, and a way to it that loses answers."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_tasks_client import TasksClient, TokenStore
from tests.client.between import Between
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving


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
