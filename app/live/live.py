"""What the service needs of this room: it starts and stops with it, is told of writes, and answers with streams."""

import asyncio
from contextlib import AsyncExitStack
from contextvars import Context
from functools import partial
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from app.auth.auth import Auth, bearer_claims
from app.auth.dependencies import get_auth, get_bearer_token
from app.auth.user_database import UserDatabase
from app.core.config import Settings
from app.core.cursors import InvalidCursor
from app.core.database.pool import Database
from app.core.errors import Stopping
from app.core.http.draining import Draining
from app.core.rate_limits.attempt import Attempt
from app.live.hints import Count, Hints, listening_server
from app.live.hub import Hub
from app.live.listener import Listener
from app.live.stream import GOING_AWAY, HEADERS, MEDIA_TYPE, EventStream
from app.tasks.changes import read_changes

LAST_EVENT = "Last-Event-ID"
LONGEST_CURSOR = 1000
CANCEL_SECONDS = 0.5


class Live:
    """The streams of a process, the hints that wake them, and the connection on which it hears those of others."""

    def __init__(self, settings: Settings, database: Database, draining: Draining, count: Count) -> None:
        self._settings, self._database, self._draining, self._count = settings, database, draining, count
        self._hub = Hub(settings.live_streams)
        self._running = AsyncExitStack()

    @property
    def streams(self) -> int:
        """Return how many there are."""
        return self._hub.count

    async def start(self) -> None:
        """Begin to be told of writes."""
        server = await self._running.enter_async_context(listening_server(self._settings, self._database))
        self._hints = Hints(server, self._count)
        await self._running.enter_async_context(self._hints.running())
        dsn = self._settings.listen_dsn or self._settings.dsn
        listener = Listener(server, dsn, self._hub, self._hints, self._count)
        listening = asyncio.create_task(listener.run(), context=Context())  # what it does is part of no request
        self._running.push_async_callback(_cancel, listening)
        self._database.on_write = self._wrote
        self._draining.on_begin.append(partial(self._hub.stop_all, GOING_AWAY))

    async def stop(self) -> None:
        """End every stream, and say what was not said yet."""
        self._database.on_write = None
        self._hub.stop_all(GOING_AWAY)
        await self._running.aclose()

    def _wrote(self, user_id: UUID) -> None:
        self._hints.add(user_id)
        if self._hub.count:
            self._hub.wake([str(user_id)])

    async def follow(self, db: UserDatabase, request: Request, since: str | None) -> Response:
        """Answer with what has changed since then and what changes from now on, until the access token ends.

        Raises: Stopping, TooManyStreams, TooManyRequests, InvalidToken, InvalidCursor, SyncExpired.
        """
        if self._draining.begun:
            raise Stopping
        auth = await get_auth(request)
        begin, field = _where_to_begin(request, since)
        waiter = self._hub.add(db.principal)
        try:
            async with _attempt(auth, db).counted():
                found = await self._hub.read(partial(read_changes, db, begin, field=field))
            seconds = await _seconds_left(auth, request)
        except BaseException:
            self._hub.remove(waiter)
            raise
        if request.scope.get("is_head"):
            self._hub.remove(waiter)
            return Response(headers=HEADERS, media_type=MEDIA_TYPE)
        return EventStream(self._hub, waiter, db, begin, found, seconds=seconds)


async def _cancel(task: asyncio.Task[None]) -> None:
    """End a task: one that goes on after errors may take an error of that moment for a reason to go on."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)


def _where_to_begin(request: Request, since: str | None) -> tuple[str | None, str]:
    """Return the cursor, and the name by which it was sent: a client that comes back has a later one in the header."""
    last = request.headers.get(LAST_EVENT)
    if not last:
        return since, "since"
    if len(last) > LONGEST_CURSOR:
        raise InvalidCursor(LAST_EVENT)
    return last, LAST_EVENT


def _attempt(auth: Auth, db: UserDatabase) -> Attempt:
    limit = auth.settings.rate_limit_live_session
    return Attempt(auth.limiter, "live-session", str(db.principal.session_id), limit)


async def _seconds_left(auth: Auth, request: Request) -> float:
    """Return for how long the access token is good."""
    token, now = await get_bearer_token(request), auth.clock()
    return bearer_claims(auth, token or "", now).expires_at - now.timestamp()
