"""Streams of changes as a client reads them, from the service in this process or in one of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI
from starlette.types import Message

from tests.support.copies import CHANGES, Copy
from tests.support.people import Person

EVENTS = {"Accept": "text/event-stream"}


class Event(NamedTuple):
    """What a stream has told at once."""

    name: str
    id: str | None
    data: dict[str, Any]

    @property
    def titles(self) -> list[str]:
        return [task["title"] for task in self.data["tasks"]]


class Stream:
    """Reads events by the rules of HTML's section on them, as far as the service uses them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.retry: int | None = None
        self.beats = 0
        self._lines = answer.aiter_lines()

    async def read(self, seconds: float = 10) -> Event:
        """Return the next event. Raises: TimeoutError, StopAsyncIteration at the end."""
        async with asyncio.timeout(seconds):
            while True:
                fields = await self._fields()
                if "data" in fields:
                    return Event(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))

    async def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while line := await anext(self._lines):
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            else:
                self.beats += 1
        self.retry = int(fields.get("retry", self.retry or 0))
        return fields

    async def until(self, title: str, seconds: float = 10) -> Event:
        """Read until a task of this title is told."""
        async with asyncio.timeout(seconds):
            while title not in (event := await self.read(seconds)).titles:
                pass
        return event

    async def end(self, seconds: float = 10) -> str:
        """Read to the end, and return why it is one."""
        async with asyncio.timeout(seconds):
            while (event := await self.read(seconds)).name != "end":
                pass
            with suppress(StopAsyncIteration):
                raise AssertionError(await self.read(seconds))
        code: str = event.data["code"]
        return code


@asynccontextmanager
async def opening(
    person: Person, *, client: httpx.AsyncClient | None = None, **options: Any
) -> AsyncIterator[httpx.Response]:
    """Ask for a stream and yield the answer, whatever it is."""
    headers = {**person.bearer, **EVENTS, **options.pop("headers", {})}
    client = client or person.client
    async with client.stream(options.pop("method", "GET"), CHANGES, headers=headers, timeout=60, **options) as answer:
        if answer.status_code != 200:
            await answer.aread()
        yield answer


@asynccontextmanager
async def following(person: Person, **options: Any) -> AsyncIterator[Stream]:
    """Open a stream and yield it."""
    async with opening(person, **options) as answer:
        assert answer.status_code == 200, answer.text
        yield Stream(answer)


async def follow(copy: Copy, **options: Any) -> str:
    """Keep a copy by a stream until that ends, and return why."""
    async with opening(copy.person, params=copy.question, **options) as answer:
        if answer.status_code == 410:
            copy.apply(answer)
            return "SYNC_EXPIRED"
        if answer.status_code != 200:
            return str(answer.json()["code"])
        stream = Stream(answer)
        while (event := await stream.read(60)).name != "end":
            copy.take(event.data)
            copy.cursor = event.id or copy.cursor
        return str(event.data["code"])


def streaming_client_of(app: FastAPI) -> httpx.AsyncClient:
    """Return a client of the application that reads an answer while it is being sent."""
    return httpx.AsyncClient(transport=_StreamingTransport(app), base_url="http://api.test")


class _StreamingTransport(httpx.AsyncBaseTransport):
    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        left, sent = asyncio.Event(), asyncio.Queue[Message]()
        body = await request.aread()
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Message:
            for message in messages:
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if not left.is_set():
                sent.put_nowait(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": "http",
            "server": ("api.test", 80),
            "client": ("203.0.113.7", 4711),
            "root_path": "",
        }
        running = asyncio.create_task(self.app(scope, receive, send))
        running.add_done_callback(lambda _: sent.put_nowait({"type": "http.response.body"}))
        start = await sent.get()
        assert start["type"] == "http.response.start", running
        stream = _Body(sent, left, running)
        return httpx.Response(start["status"], headers=start["headers"], stream=stream)


class _Body(httpx.AsyncByteStream):
    def __init__(self, sent: asyncio.Queue[Message], left: asyncio.Event, running: asyncio.Task[None]) -> None:
        self._sent, self._left, self._running = sent, left, running

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._sent.get()
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return

    async def aclose(self) -> None:
        """Leave, as a client does, and wait until the service has seen it."""
        self._left.set()
        await asyncio.wait_for(self._running, 10)


class RawStream:
    """A stream by a bare connection, of which there can be many; `said` is all that has come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.said = b""

    @classmethod
    async def open(cls, url: str, access_token: str, *, version: str = "1.1", since: str = "") -> "RawStream":
        """Ask for a stream."""
        where = httpx.URL(url)
        made = cls(*await asyncio.open_connection(where.host, where.port))
        target = f"{CHANGES}?since={since}" if since else CHANGES
        head = f"GET {target} HTTP/{version}\r\nHost: x\r\nAccept: text/event-stream\r\n"
        made.writer.write(f"{head}Authorization: Bearer {access_token}\r\n\r\n".encode())
        return made

    async def until(self, text: bytes, seconds: float = 20) -> None:
        """Read until this has come."""
        async with asyncio.timeout(seconds):
            while text not in self.said:
                more = await self.reader.read(65536)
                assert more, self.said
                self.said += more

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()
