"""What the server does itself in the place of uvicorn's own code: it must come to the same, byte for byte."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.core.http.answers import QuickCycle
from app.core.http.middleware import CONSTANT_HEADERS
from app.core.http.server import BoundedProtocol
from tests.support.waiting import until

Messages = list[dict[str, Any]]


class Transport:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("203.0.113.7", 4711), "sockname": ("127.0.0.1", 80)}.get(name)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def connected(kind: type[HttpToolsProtocol], app: Any, **options: Any) -> tuple[HttpToolsProtocol, Transport]:
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none", **options)
    config.load()
    config.loaded_app = app
    state, transport = ServerState(), Transport()
    state.default_headers = [(b"date", b"Mon, 30 Nov 2026 20:00:00 GMT")]
    protocol = kind(config=config, server_state=state, app_state={}, _loop=asyncio.get_running_loop())
    protocol.connection_made(transport)  # type: ignore[arg-type]  # all that is used of one
    return protocol, transport


@contextmanager
def written_by_uvicorn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.core.http.server.QuickCycle", RequestResponseCycle)
        yield


async def sent(request: bytes, messages: Messages) -> tuple[bytes, bool]:
    """Answer a request with these messages. Return what is written, and whether the connection closes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    protocol, transport = connected(BoundedProtocol, app)
    protocol.data_received(request)
    await until(lambda: not protocol.tasks)
    protocol.connection_lost(ConnectionError())
    return transport.written, transport.closed


def answer(body: bytes = b"{}", *headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> Messages:
    length = (b"content-length", b"%d" % len(body))
    return [
        {"type": "http.response.start", "status": status, "headers": [length, *headers], **more},
        {"type": "http.response.body", "body": body},
    ]


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM: Messages = [
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"a", "more_body": True},
    {"type": "http.response.body", "body": b"b"},
]
ANSWERS = {
    "constant headers": (GET, answer(b"{}", *CONSTANT_HEADERS, (b"etag", b'"1"'))),
    "capitals": (GET, answer(b"{}", (b"ETag", b'"1"'), (b"X-\xfc", b"\xfc\t1"))),
    "no body": (GET, answer(b"", status=204)),
    "without a length": (GET, STREAM),
    "in two parts": (GET, [answer(b"ab")[0], {**STREAM[1]}, {**STREAM[2]}]),
    "a head": (GET.replace(b"GET", b"HEAD"), answer(b"{}")),
    "closing": (GET, answer(b"{}", (b"connection", b"close"))),
    "asked to close": (GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n"), answer(b"{}")),
    "1.0": (GET.replace(b"1.1", b"1.0"), answer(b"{}")),
    "in chunks": (GET, [{**STREAM[0], "headers": [(b"transfer-encoding", b"chunked")]}, *STREAM[1:]]),
    "two lengths": (GET, answer(b"{}", (b"content-length", b"2"))),
    "unknown status": (GET, answer(b"{}", status=299)),
    "a forged line": (GET, answer(b"{}", (b"etag", b"1\r\nset-cookie: x"))),
    "a forged name": (GET, answer(b"{}", (b"etag: 1\r\nset-cookie", b"x"))),
    "too long": (GET, [answer(b"a")[0], answer(b"ab")[1]]),
    "too short": (GET, [answer(b"ab")[0], answer(b"a")[1]]),
    "no length at all": (GET, answer(b"{}")[1:]),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_head_is_as_uvicorn_writes_it(name: str) -> None:
    """Clients and proxies get what they would get of uvicorn, and no header becomes two."""
    request, messages = ANSWERS[name]
    found = await sent(request, messages)
    with written_by_uvicorn():
        expected = await sent(request, messages)
    assert found == expected
    assert b"set-cookie" not in found[0]


async def test_the_short_way_is_taken() -> None:
    """uvicorn has not taken another class for its requests, and writes no header that we have written."""
    made: list[RequestResponseCycle] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        made.append(send.__self__)
        assert send.__self__._head(answer(b"{}", *CONSTANT_HEADERS)[0])
        for message in answer():
            await send(message)

    protocol, transport = connected(BoundedProtocol, app)
    protocol.data_received(GET)
    await until(lambda: not protocol.tasks)
    assert type(made[0]) is QuickCycle
    assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
    protocol.connection_lost(ConnectionError())


async def test_a_connection_closes_when_it_was_idle_long_enough() -> None:
    """A connection that nobody uses ends after the seconds that are set, counted from the last answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in answer():
            await send(message)

    loop = asyncio.get_running_loop()
    protocol, transport = connected(BoundedProtocol, app)
    protocol.timeout_keep_alive = 0.2  # type: ignore[assignment]  # a timer takes it as well
    for _ in range(3):
        asked = loop.time()
        protocol.data_received(GET)
        await until(lambda: not protocol.tasks)
    protocol._look()  # type: ignore[attr-defined]  # or the timer would ring once more, after ten seconds
    await until(lambda: transport.closed)
    assert loop.time() - asked >= 0.2
    protocol.connection_lost(None)


async def test_a_body_that_comes_after_its_answer_keeps_no_connection_open() -> None:
    """Whoever is refused before the body has come and sends it then would have a connection for ever."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in answer(status=401):
            await send(message)

    protocol, transport = connected(BoundedProtocol, app)
    protocol.timeout_keep_alive = 0.2  # type: ignore[assignment]  # a timer takes it as well
    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
    await until(lambda: not protocol.tasks)
    protocol.data_received(b"}")
    protocol._look()  # type: ignore[attr-defined]  # or the timer would ring once more, after ten seconds
    await until(lambda: transport.closed)
    protocol.connection_lost(None)
