"""No request of 64 KiB holds the event loop for longer than 20 ms: everybody else's requests wait for it."""

import asyncio
import socket
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Message
from uvicorn.server import ServerState

from app.core.http.server import BoundedProtocol
from app.main import create_app
from tests.attacks.hostile import PATHS, Attack, attacks
from tests.support.mail import mail_settings
from tests.support.measuring import untraced
from tests.support.people import Person
from tests.support.server import client_of
from tests.support.settings import make_settings

T = TypeVar("T")
MOST_SECONDS = 0.020
TRIES = 5
PATIENT_TRIES = 300  # where the bound is near: a shared processor is half as fast for seconds at a time


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contracts", "tags"),
    [
        ("", {"auth", "tasks", "service"}),
        pytest.param("v1,path", {"v1", "path"}, marks=pytest.mark.slow),
        pytest.param("path-enveloped", {"path-enveloped"}, marks=pytest.mark.slow),
    ],
)
async def test_no_request_of_64_kib_holds_the_loop(database_url: str, contracts: str, tags: set[str]) -> None:
    """Each field, parameter and header of each operation in turn is what is hostile."""
    settings = make_settings(
        database_url,
        api_contracts=contracts,
        common_passwords="refuse",
        trusted_proxies="10.0.0.0/8",
        log_level="WARNING",
        passkeys="on",
        **mail_settings(1),  # nobody is there
    )
    app = create_app(settings)
    slow: list[str] = []
    times: list[float] = []
    async with app.router.lifespan_context(app), client_of(app) as client:
        document = app.openapi()
        for method, path, operation in operations(document):
            if tags.isdisjoint(operation["tags"]):
                continue
            person = await Person.sign_up(client)
            task = await person.add_task()
            known = {"user_id": person.user["id"], "task_id": task["id"], "session_id": str(uuid4())}
            known["passkey_id"] = "AAAA"
            for attack in attacks(document, path, operation, person.bearer["Authorization"], known):
                held, status = await held_during(partial(call, app, method, attack))
                times.append(held)
                if held > MOST_SECONDS or status >= 500:
                    slow.append(f"{held * 1000:.0f} ms, {status}: {method} {path} {attack.name}")
    assert slow == [], "\n".join(slow)
    print(f"{len(times):,} hostile requests held the loop for at most {max(times) * 1000:.1f} ms each")


@pytest.mark.parametrize("contracts", ["", "v1,path"])
async def test_no_path_takes_much_time(database_url: str, contracts: str) -> None:
    """Below every path that there is, also below those that no document names; in whichever thread."""
    app = create_app(make_settings(database_url, api_contracts=contracts, log_level="WARNING"))
    known = [path.rstrip("/") for route in app.routes if (path := getattr(route, "path", None)) is not None]
    below = {path for one in [*app.openapi()["paths"], *known] for path in (one, one.rpartition("/")[0])}
    slow: list[str] = []
    async with app.router.lifespan_context(app):
        for path, (name, hostile) in product(sorted(below), PATHS.items()):
            attack = Attack(name, f"{path}/{hostile}")
            taken, status = await cpu_seconds(app, attack)
            if taken > MOST_SECONDS or status not in (200, 307, 401, 404, 405, 422):
                slow.append(f"{taken * 1000:.0f} ms, {status}: {path} {name}")
    assert slow == [], "\n".join(slow)


async def cpu_seconds(app: FastAPI, attack: Attack) -> tuple[float, int]:
    """Return the time of all threads, the best of five."""
    best, status = float("inf"), 0
    for _ in range(TRIES):
        with untraced():
            started = time.process_time()
            status = await call(app, "GET", attack)
            best = min(best, time.process_time() - started)
        if best <= MOST_SECONDS:
            break
    return best, status


STREAM_SIZE = 256 * 1024  # what asyncio and uvloop read at once
GET, POST = b"GET / HTTP/1.1\r\nHost:a\r\n", b"POST /api/auth/signin HTTP/1.1\r\nHost:a\r\n"
CHUNKED = POST + b"Transfer-Encoding:chunked\r\n\r\n"
UPGRADE = b"Connection:upgrade\r\nUpgrade:a\r\n"
STREAMS = {  # how a stream starts, and what it repeats
    "requests": (b"", GET + b"\r\n"),
    "requests behind one that waits for its body": (CHUNKED + b"0\r\n\r\n", GET + b"\r\n"),
    "requests with bodies": (b"", POST + b"Content-Length:1\r\n\r\n0"),
    "offers": (b"", GET + UPGRADE + b"\r\n"),
    "requests of many headers": (b"", GET + b"a:b\r\n" * 98 + b"\r\n"),
    "paths of percent codes": (b"", b"GET /%b HTTP/1.1\r\nHost:a\r\n\r\n" % (b"%41" * 20_000)),
    "paths of slashes": (b"", b"GET %b HTTP/1.1\r\nHost:a\r\n\r\n" % (b"/" * 60_000)),
    "assets": (b"", b"GET /docs/assets%b HTTP/1.1\r\nHost:a\r\n\r\n" % (b"/a" * 30_000)),
    "queries": (b"", b"GET /api/tasks?%b HTTP/1.1\r\nHost:a\r\n\r\n" % (b"a&" * 30_000)),
    "headers": (GET, b"a:b\r\n"),
    "folded headers": (GET + b"a:b\r\n", b" b\r\n"),
    "empty headers": (GET, b"a:\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"a:b\r\n"),
    "chunks": (CHUNKED, b"1\r\na\r\n"),
    "extensions": (CHUNKED, b"1;a=b\r\na\r\n"),
    "blank lines": (b"", b"\r\n"),
    "nonsense": (b"", b"\0"),
}


@pytest.mark.parametrize(("start", "again"), STREAMS.values(), ids=STREAMS)
async def test_no_stream_of_256_kib_holds_the_loop_or_much_memory(
    database_url: str, start: bytes, again: bytes
) -> None:
    """No more is read from one connection at once."""
    data = (start + again * (STREAM_SIZE // len(again)))[:STREAM_SIZE]
    app = create_app(make_settings(database_url, log_level="WARNING"))
    async with app.router.lifespan_context(app):
        await receive_stream(app, data)
        held, _ = await held_during(lambda: receive_stream(app, data), tries=PATIENT_TRIES)
        tracemalloc.start()
        try:
            holding = asyncio.create_task(most_held())
            await receive_stream(app, data)
            holding.cancel()
            most = await holding
        finally:
            tracemalloc.stop()
    print(f"{held * 1000:.1f} ms, {most / STREAM_SIZE:.1f} times its size")
    assert held <= MOST_SECONDS, f"{held * 1000:.0f} ms"
    assert most <= 4 * STREAM_SIZE, f"{most / STREAM_SIZE:.1f} times its size"


async def receive_stream(app: FastAPI, data: bytes) -> None:
    """Have the server read all of it at once, and do with it what it will."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    server_side, client_side = socket.socketpair()
    with client_side:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_accepted_socket(
            lambda: BoundedProtocol(config, state, {}), server_side
        )
        protocol.data_received(data)
        while protocol.pipeline:
            await asyncio.wait(set(state.tasks))
        transport.abort()
        if state.tasks:
            await asyncio.wait(set(state.tasks))


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def held_during(work: Callable[[], Awaitable[T]], *, tries: int = TRIES) -> tuple[float, T]:
    """Return the longest time between two turns of the loop, in CPU time, and what the work returned.

    It is the best of some: others run here too.
    """
    best = float("inf")
    for _ in range(tries):
        with untraced():
            beating = asyncio.create_task(longest_gap())
            await asyncio.sleep(0)
            found = await work()
            beating.cancel()
            best = min(best, await beating)
        if best <= MOST_SECONDS:
            break
    return best, found


async def longest_gap() -> float:
    """Count until cancelled. All threads' time: one that keeps the interpreter to itself stops the loop, too."""
    longest, last = 0.0, time.process_time()
    cancelled = False
    while not cancelled:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            cancelled = True
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest


async def most_held() -> int:
    """Return the most memory that was held between two turns of the loop, until cancelled."""
    most = 0
    while True:
        most = max(most, tracemalloc.get_traced_memory()[0])
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return most


async def call(app: FastAPI, method: str, attack: Attack) -> int:
    """Send a request past any client and server, which would refuse some of these themselves."""
    status = 0
    unread = [{"type": "http.request", "body": attack.body, "more_body": False}]

    async def receive() -> Message:
        return unread.pop() if unread else await asyncio.Event().wait() and {}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": attack.path,
        "raw_path": attack.path.encode(),
        "root_path": "",
        "query_string": attack.query,
        "headers": [(b"host", b"api.test"), *attack.headers],
        "client": ("10.0.0.1", 4711),
        "server": ("api.test", 80),
    }
    await app(scope, receive, send)
    return status
