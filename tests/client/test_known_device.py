"""Somebody else guesses passwords until the account is locked: whoever has signed in on this device still gets in."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from auth_tasks_client import ApiError, SignedOut, TasksClient, TokenStore
from tests.client.between import InProcess
from tests.support.people import PASSWORD, new_email
from tests.support.server import Service


def end_elsewhere(client: TasksClient) -> None:
    """End the session from another device, and notice it."""
    [session] = client.sessions()
    client.end_session(session["id"])
    with pytest.raises(SignedOut):
        client.tasks()


@pytest.mark.parametrize(
    "before",
    [lambda _: None, TasksClient.sign_out, end_elsewhere],
    ids=["signed in", "signed out", "session over"],
)
async def test_a_known_device_signs_in_while_others_guess(
    service: Service, store: TokenStore, before: Callable[[TasksClient], object]
) -> None:
    """The client sends its last refresh token, whether it is still good or not; a new device has to wait."""
    async with service(rate_limits="on", rate_limit_signin_account="2/minute") as api:
        transport, email = InProcess(api), new_email()

        def live() -> None:
            with TasksClient(store, "http://api.test", transport=transport) as client:
                client.sign_up(email, PASSWORD)
                before(client)
                for _ in range(3):
                    asyncio.run_coroutine_threadsafe(guess(api, email), transport.loop).result()
                client.sign_in(email, PASSWORD)
                assert client.tasks() == []
                elsewhere = TasksClient(TokenStore(store.path.with_name("new.json")), transport=transport)
                with elsewhere, pytest.raises(ApiError, match="Too many attempts"):
                    elsewhere.sign_in(email, PASSWORD)

        await asyncio.to_thread(live)


async def guess(api: httpx.AsyncClient, email: str) -> None:
    await api.post("/api/auth/signin", json={"email": email, "password": "wrong guess"})


def test_the_last_token_is_for_its_server_alone(client: TasksClient) -> None:
    """Signing in at another address, which may be planted, gives it no token; a deleted account leaves none."""
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(401)

    store = client.store
    last = store.last_refresh_token(client.url)
    client.sign_out()
    assert store.last_refresh_token(f"{client.url.upper().replace('HTTP', 'http')}/") == last
    for url in ("http://other.test", client.url.replace("http", "https"), client.url):
        with TasksClient(store, url, transport=httpx.MockTransport(answer)) as other, pytest.raises(ApiError):
            other.sign_in(new_email(), PASSWORD)
    assert [b"refresh_token" in body for body in seen] == [False, False, True]
    client.sign_up(new_email(), PASSWORD)
    client.delete_account(PASSWORD)
    assert not store.path.exists()
