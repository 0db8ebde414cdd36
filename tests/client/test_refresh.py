"""A session that goes on: answers lost at any byte, processes killed, no lock, and a thief."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import httpx
import pytest

from auth_tasks_client import SignedOut, StoredTokens, TasksClient, TokenAuth, TokenStore
from tests.client.between import InProcess
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, new_email
from tests.support.rounds import rounds
from tests.support.server import Server
from tests.support.settings import ROOT

TOGETHER = 20
THEFTS = rounds(500)
CUTS = rounds(200, least=40)


def stored(store: TokenStore) -> StoredTokens:
    tokens = store.read()
    assert tokens is not None
    return tokens


def expire(store: TokenStore) -> StoredTokens:
    """Let the access token be an expired one, as after fifteen minutes."""
    store.write(replace(stored(store), access_token="x", expires_at=0))
    return stored(store)


@contextmanager
def cutting(url: str, after_bytes: int) -> Iterator[str]:
    """Pass one request on and cut its answer; refuse the connections after it."""
    there = httpx.URL(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            here, _ = listener.accept()
            with here, socket.create_connection((there.host, there.port or 80)) as server:
                listener.close()
                server.sendall(receive_message(here))
                here.sendall(receive_message(server)[:after_bytes])

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)


def receive_message(link: socket.socket) -> bytes:
    """Read one HTTP message, whose body is JSON."""
    message = b""
    while not message.endswith(b"}"):
        part = link.recv(65536)
        assert part, message
        message += part
    return message


@pytest.mark.slow
def test_an_answer_lost_at_any_byte_signs_nobody_out(store: TokenStore, client: TasksClient) -> None:
    """Wherever the connection breaks, the next try goes on with the same session. Source: FR-051."""
    lost = 0
    for after_bytes in range(0, 1800, 1800 // CUTS):
        before = expire(store)
        with cutting(client.url, after_bytes) as url:
            store.write(replace(before, url=url))
            try:
                TokenAuth(store).current()
            except httpx.TransportError:
                lost += 1
        store.write(replace(stored(store), url=client.url))
        assert client.tasks() == []
        assert stored(store).refresh_token != before.refresh_token
    print(f"{CUTS} refreshes cut at any byte: {lost} answers lost, 0 signed out")
    assert lost > CUTS // 2


async def killed_after_sending(transport: InProcess, store: TokenStore) -> None:
    """Sign up, and leave the store as a process leaves it that is killed when its refresh is on the way."""

    def live() -> None:
        with TasksClient(store, "http://api.test", transport=transport) as client:
            client.sign_up(new_email(), PASSWORD)
            expire(store)
            transport.loses = True
            with pytest.raises(httpx.TransportError):
                client.tasks()
            transport.loses = False

    await asyncio.to_thread(live)


def look(transport: InProcess, store: TokenStore) -> None:
    with TasksClient(store, transport=transport) as client:
        assert client.tasks() == []


async def test_a_process_killed_after_sending_goes_on_a_day_later(
    clocked: httpx.AsyncClient, clock: FrozenClock, store: TokenStore
) -> None:
    """A laptop that is closed in the middle of a refresh is still signed in tomorrow. Source: FR-051."""
    transport = InProcess(clocked)
    await killed_after_sending(transport, store)
    clock.advance(days=1)
    await asyncio.to_thread(look, transport, store)
    clock.advance(days=1)
    expire(store)
    await asyncio.to_thread(look, transport, store)


@pytest.mark.usefixtures("_unlocked")
async def test_many_without_a_lock_go_on_with_one_session_a_day_later(
    clocked: httpx.AsyncClient, clock: FrozenClock, store: TokenStore
) -> None:
    """Programs that start at once, a day after an answer was lost, need no lock to share it. Source: FR-051."""
    transport = InProcess(clocked)
    await killed_after_sending(transport, store)
    for _ in range(5):
        clock.advance(days=1)
        expire(store)
        await asyncio.gather(*(asyncio.to_thread(look, transport, store) for _ in range(TOGETHER)))


@pytest.mark.slow
@pytest.mark.usefixtures("_unlocked")
def test_threads_without_a_lock_stay_signed_in(store: TokenStore, client: TasksClient, server: Server) -> None:
    """Twenty that refresh at the same moment without a lock all go on with one session. Source: FR-051."""
    barrier = Barrier(TOGETHER)

    def work(_: int) -> None:
        barrier.wait()
        with httpx.Client(base_url=server.url, auth=TokenAuth(store)) as http:
            assert http.get("/api/tasks").status_code == 200

    with ThreadPoolExecutor(TOGETHER) as pool:
        for _ in range(10):
            expire(store)
            list(pool.map(work, range(TOGETHER)))
    assert client.tasks() == []


@pytest.mark.slow
def test_processes_without_a_lock_stay_signed_in(store: TokenStore, client: TasksClient, tmp_path: Path) -> None:
    """Twenty processes at once without a lock all go on with one session. Source: FR-051."""
    without_lock = (
        "import sys, contextlib; from auth_tasks_client import TokenStore, __main__; "
        "TokenStore.locked = lambda self: contextlib.nullcontext(); sys.exit(__main__.main(['list', '--json']))"
    )
    package = str(ROOT / "clients" / "python")
    environment = {**os.environ, "AUTH_TASKS_HOME": str(store.path.parent), "PYTHONPATH": package}
    command = [sys.executable, "-c", without_lock]
    for _ in range(3):
        expire(store)
        started = [
            subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(TOGETHER)
        ]
        assert [process.wait(60) for process in started] == [0] * TOGETHER
    assert client.tasks() == []


class Interrupted(httpx.HTTPTransport):
    """Stops for a while, before its first request is sent or before the answer arrives."""

    def __init__(self, meanwhile: Callable[[], object], *, before_sending: bool) -> None:
        super().__init__()
        self.meanwhile = [meanwhile]
        self.before_sending = before_sending

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.before_sending and self.meanwhile:
            self.meanwhile.pop()()
        answer = super().handle_request(request)
        answer.read()
        if self.meanwhile:
            self.meanwhile.pop()()
        return answer


@pytest.mark.usefixtures("_unlocked")
@pytest.mark.parametrize("before_sending", [True, False])
def test_who_is_late_uses_what_is_stored_and_replaces_nothing(
    store: TokenStore, client: TasksClient, before_sending: bool
) -> None:
    """A process that stands still in the middle of its refresh goes on with what others have stored. Source: FR-051."""
    expire(store)

    def go_on() -> None:
        for _ in range(3):
            client.tasks()
            expire(store)
        client.tasks()

    late = TokenAuth(store, transport=Interrupted(go_on, before_sending=before_sending))
    found = late.current()
    assert found == stored(store)
    assert client.tasks() == []
    expire(store)
    assert client.tasks() == []


@pytest.mark.usefixtures("_unlocked")
def test_two_who_got_one_pair_make_one_key(store: TokenStore, client: TasksClient, tmp_path: Path) -> None:
    """Two who asked for the same pair without a lock may both refresh that too, at any time. Source: FR-051."""
    other = TokenStore(tmp_path / "other" / "tokens.json")
    other.write(expire(store))
    for _ in range(3):
        assert TokenAuth(store).current().access_token == TokenAuth(other).current().access_token
        assert stored(store).refresh_key == stored(other).refresh_key
        expire(store)
        expire(other)
    assert client.tasks() == []


def test_a_pair_stored_without_a_key_goes_on_with_one(store: TokenStore, client: TasksClient) -> None:
    """Who updates the client stays signed in."""
    store.write(replace(expire(store), refresh_key=None))
    assert client.tasks() == []
    assert len(stored(store).refresh_key or "") >= 22


@pytest.mark.slow
def test_a_thief_without_the_key_ends_the_session(store: TokenStore, client: TasksClient) -> None:
    """Whoever steals a refresh token from a log or a proxy is found out, whoever comes first.

    Source: FR-051.
    """
    email = stored(store).email
    ended = 0
    with httpx.Client(base_url=client.url) as http, ThreadPoolExecutor(1) as pool:
        for number in range(THEFTS):
            client.sign_in(email, PASSWORD)
            stolen = {"refresh_token": expire(store).refresh_token}
            headers = {"Idempotency-Key": secrets.token_hex(16)} if number % 2 else {}
            if number % 3 == 0:  # the owner comes first
                assert client.tasks() == []
            theft = pool.submit(http.post, "/api/auth/refresh", json=stolen, headers=headers)
            if number % 3 == 1:  # the thief comes first
                theft.result()
            noticed = is_signed_out(client)  # if the owner comes a moment before the thief, at the next request
            got = theft.result().json()
            theirs = {"Authorization": f"Bearer {got.get('access_token', 'none')}"}
            refused = http.get("/api/auth/me", headers=theirs).status_code == 401
            ended += refused and (noticed or is_signed_out(client))
    print(f"{ended} of {THEFTS} thefts ended the session")
    assert ended == THEFTS


def is_signed_out(client: TasksClient) -> bool:
    try:
        client.tasks()
    except SignedOut:
        return True
    return False
