"""A service that sends mail, and the mailbox in which it arrives."""

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from app.core.logging import AUDIT
from tests.support.clock import FrozenClock
from tests.support.mail import Mailbox, mail_server, mail_settings
from tests.support.people import Person
from tests.support.server import app_of, running
from tests.support.settings import make_settings
from tests.support.waiting import until


@dataclass
class Mailed:
    """A service and the mailbox of all who use it."""

    client: httpx.AsyncClient
    box: Mailbox
    clock: FrozenClock

    async def sign_up(self) -> Person:
        return await Person.sign_up(self.client)

    async def until_sent(self) -> None:
        """Wait until nothing waits to be sent."""
        post = app_of(self.client).state.post
        await until(lambda: post.waiting == 0)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def port(mailbox: Mailbox) -> Iterator[int]:
    """Where mails for the mailbox are handed in."""
    with mail_server(mailbox) as port:
        yield port


@pytest.fixture
async def mailing(database_url: str, port: int, clock: FrozenClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that sends its mail there, whose clock the test moves."""
    async with running(make_settings(database_url, **mail_settings(port)), clock=clock) as client:
        yield client


@pytest.fixture
def mailed(mailing: httpx.AsyncClient, mailbox: Mailbox, clock: FrozenClock) -> Mailed:
    return Mailed(mailing, mailbox, clock)


@pytest.fixture
def trail() -> Iterator[list[logging.LogRecord]]:
    """The lines of the trail, also of a service that starts within the test."""
    audit = logging.getLogger(AUDIT)
    handler = _Kept()
    audit.addHandler(handler)
    yield handler.found
    audit.removeHandler(handler)


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)
