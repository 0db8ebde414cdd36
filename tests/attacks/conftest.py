"""Two workers behind one port, as an attacker meets them; nobody takes the mails that they send."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.mail import mail_settings
from tests.support.server import Server, serving

PAGE = "http://localhost:3000"


@pytest.fixture(scope="session")
def two_workers(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("two-workers")
    settings: dict[str, Any] = {"DATABASE_URL": database_url, "WORKERS": "2", "LOG_LEVEL": "WARNING"}
    settings["PASSKEYS"] = "on"
    settings |= {name.upper(): str(value) for name, value in mail_settings(9, frontend_url=PAGE).items()}
    with serving(folder, **settings) as server:
        yield server


@pytest.fixture
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """A client with many connections, so that both workers are met; or of the service at TEST_SERVICE_URL."""
    url = os.environ.get("TEST_SERVICE_URL") or request.getfixturevalue("two_workers").url
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        yield client
