"""A service whose database holds nobody else, and an operator beside it."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from app.cli import commands
from tests.support.server import running
from tests.support.settings import SECRET, make_settings

Run = Callable[..., str]


@pytest.fixture
def run(own_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `python -m app users` and returns what it printed."""
    monkeypatch.setenv("DATABASE_URL", own_database_url)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)

    def call(*arguments: str) -> str:
        commands.main(["users", *arguments])
        return capsys.readouterr().out

    return call


@pytest.fixture
async def own_client(own_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service on the database of `run`."""
    async with running(make_settings(own_database_url)) as started:
        yield started
