"""People whose client reads streams of the service in this process."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.people import Person
from tests.support.server import app_of
from tests.support.streams import streaming_client_of


@pytest.fixture
async def streaming(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service that all tests share, which reads an answer while it is sent."""
    async with streaming_client_of(app_of(client)) as made:
        yield made


@pytest.fixture
async def follower(ada: Person, streaming: httpx.AsyncClient) -> Person:
    """Ada, in the same session, with a client that reads streams."""
    return Person(streaming, ada.email, ada.password, ada.user, ada.access_token, ada.refresh_token)
