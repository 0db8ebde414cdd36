"""One stream: it looks when it is woken or when it is time, tells what is new, and says why it ends."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import TypeAlias
from uuid import UUID

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.auth.errors import InvalidToken
from app.auth.user_database import UserDatabase
from app.core.clock import stopwatch
from app.core.errors import ServiceUnavailable
from app.core.http.json import encode
from app.core.logging import current_request
from app.live.hub import Hub, Waiter, between
from app.tasks.changes import BATCH, Batches, Changes, read_changes
from app.tasks.errors import SyncExpired
from app.tasks.models import TaskRow
from app.tasks.router import writer

MEDIA_TYPE = "text/event-stream"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep an event until its buffer is full
}
RETRY_MILLISECONDS = 2000
AWAY_MILLISECONDS = 10_000
"""Within so long those whose process stops come back, each at a time of its own."""
BEAT = b":\n\n"
TOKEN_EXPIRED = "TOKEN_EXPIRED"
GOING_AWAY = "GOING_AWAY"
GONE = "GONE"
"""In the log alone: the client has left."""
PAUSE_SECONDS = (1, 3)
REMEMBERED = 200
"""Rows that a stream remembers to have told; each takes some 200 bytes."""

Events: TypeAlias = AsyncIterator[tuple[list[TaskRow], list[UUID]]]


class EventStream(Response):
    """Tells what was missed and then what happens, until its access token ends."""

    media_type = MEDIA_TYPE

    def __init__(
        self, hub: Hub, waiter: Waiter, db: UserDatabase, since: str | None, first: Changes, *, seconds: float
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._hub, self._waiter, self._db = hub, waiter, db
        self._since, self._first = since, first
        self._ends_at = asyncio.get_running_loop().time() + seconds
        self._told: dict[UUID, int | None] = {}  # its version, None for one that was deleted
        self._events = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the stream ends."""
        began = scope["streams_since"] = stopwatch()
        self._send = send
        leaving = asyncio.create_task(self._wait_for_the_end(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._write(b"retry: %d\n\n" % RETRY_MILLISECONDS)
            await self._go_on()
            if self._waiter.end != GONE:
                await self._write(_last_event(self._waiter.end))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()
            self._hub.remove(self._waiter)
            seconds = round(stopwatch() - began, 1)
            stream = {"stream_seconds": seconds, "events": self._events, "ended": self._waiter.end or GONE}
            current_request().stream = stream

    async def _wait_for_the_end(self, receive: Receive) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()
        self._waiter.stop(GONE)

    async def _go_on(self) -> None:
        """Tell and wait by turns, until there is a reason to end."""
        loop = asyncio.get_running_loop()
        found: Changes | None = self._first
        del self._first
        beat_at = 0.0
        while not self._waiter.end:
            is_said, look_at = False, 0.0
            try:
                if found is None:
                    found = await self._hub.read(partial(read_changes, self._db, self._since))
                is_said = await self._tell(found)
                self._since = found.next
            except (InvalidToken, SyncExpired) as error:
                self._waiter.stop(error.code)
                return
            except ServiceUnavailable:  # a pause, no end
                look_at = loop.time() + between(*PAUSE_SECONDS)
            now = loop.time()
            if not is_said and now >= beat_at:
                await self._write(BEAT)
                is_said = True
            next_beat = loop.time() + self._hub.next_beat()
            beat_at = next_beat if is_said else min(beat_at, next_beat)
            found = None
            await self._rest(look_at or beat_at)

    async def _rest(self, until: float) -> None:
        """Wait until it is time to look, or somebody says so."""
        loop, awake = asyncio.get_running_loop(), self._waiter.awake
        timer = loop.call_at(min(until, self._ends_at), awake.set)
        try:
            await awake.wait()
        finally:
            timer.cancel()
        awake.clear()
        if loop.time() >= self._ends_at:
            self._waiter.stop(TOKEN_EXPIRED)

    async def _tell(self, found: Changes) -> bool:
        """Tell what is new, as one event or several. Only the last names the moment: what is cut is told again.

        Return whether anything was told: at first even that there is nothing. Raises: ApiError.
        """
        now = self._remember(found)
        held: tuple[list[TaskRow], list[UUID]] | None = None
        async for tasks, deleted in self._news(found):
            if held is not None:
                await self._write(_event(*held))
                self._events += 1
                if asyncio.get_running_loop().time() >= self._ends_at:
                    self._waiter.stop(TOKEN_EXPIRED)
                if self._waiter.end:  # who reads slowly goes on at the last moment that was named
                    return True
            held = tasks, deleted
        self._told = now
        if held is None and self._events:
            return False
        await self._write(_event(*(held or ([], [])), id=found.next))
        self._events += 1
        return True

    async def _news(self, found: Changes) -> Events:
        """Yield what was found in parts of at most so many rows, but for what was told the last time.

        While a transaction is open anywhere in the database, all that was written since it began is found each time.
        """
        tasks = [task for task in found.tasks if self._told.get(task.id, -1) != task.version]
        deleted = [task_id for task_id in found.deleted if self._told.get(task_id, -1) is not None]
        if len(tasks) + len(deleted) <= BATCH and not found.more_tasks:
            if tasks or deleted:
                yield tasks, deleted
        else:
            yield tasks, []
            async for batch in self._batches(found.more_tasks):
                yield batch, []
            yield [], deleted
        async for ids in self._batches(found.more_deleted):
            yield [], ids

    async def _batches(self, batches: Batches[TaskRow] | Batches[UUID] | None) -> AsyncIterator[list]:  # type: ignore[type-arg]
        """Yield them, each read when it is this stream's turn."""
        while batches is not None:
            try:
                yield await self._hub.read(batches.__anext__)
            except StopAsyncIteration:
                return

    def _remember(self, found: Changes) -> dict[UUID, int | None]:
        """Return what this answer tells, if it is not much."""
        if len(found.tasks) + len(found.deleted) > REMEMBERED:
            return {}
        told: dict[UUID, int | None] = dict.fromkeys(found.deleted)
        return told | {task.id: task.version for task in found.tasks}

    async def _write(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})


def _event(tasks: list[TaskRow], deleted: list[UUID], *, id: str | None = None) -> bytes:
    """Return an event; JSON is one line."""
    name = b"id: %b\n" % id.encode() if id else b""
    return b'%bdata: {"tasks":[%b],"deleted":%b}\n\n' % (name, writer.members(tasks), encode(deleted))


def _last_event(code: str) -> bytes:
    retry = b"retry: %d\n" % between(0, AWAY_MILLISECONDS) if code == GOING_AWAY else b""
    return b'%bevent: end\ndata: {"code":"%b"}\n\n' % (retry, code.encode())
