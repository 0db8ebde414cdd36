"""A service that knows passkeys."""

import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.mail.conftest import mailbox, port, trail
from tests.support.authenticator import Authenticator, add_passkey
from tests.support.clock import FrozenClock
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import make_settings

__all__ = ["mailbox", "port", "trail"]


@pytest.fixture(scope="session")
async def keyed(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with passkeys."""
    async with running(make_settings(database_url, passkeys="on")) as started:
        yield started


@pytest.fixture
async def keyed_clocked(database_url: str, clock: FrozenClock) -> AsyncIterator[httpx.AsyncClient]:
    """The same, whose clock the test moves."""
    async with running(make_settings(database_url, passkeys="on"), clock=clock) as started:
        yield started


@pytest.fixture
async def ada(keyed: httpx.AsyncClient) -> Person:
    """Somebody who has just signed up there."""
    return await Person.sign_up(keyed, name="Ada")


@pytest.fixture
async def bob(keyed: httpx.AsyncClient) -> Person:
    """Somebody else."""
    return await Person.sign_up(keyed, name="Bob")


@pytest.fixture
async def phone(ada: Person) -> Authenticator:
    """What has a passkey of Ada's."""
    return await add_passkey(ada, name="Phone")


def told(trail: list[logging.LogRecord], *names: str) -> list[str]:
    """Return the events of these names."""
    return [record.getMessage() for record in trail if record.getMessage() in names]
