"""What happens on the server, as it happens: one stream after the other, each from where the last one was cut."""

import json
import random
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, suppress
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx

from auth_tasks_client.changes import Task
from auth_tasks_client.errors import ApiError, accepted, code_of
from auth_tasks_client.local_copy import LocalCopy

EVENT_STREAM = "text/event-stream"
SILENT_SECONDS = 60  # a beat comes every 20 s
POLL_SECONDS = 10  # where the service has no streams
LONGEST_WAIT_SECONDS = 30
_FULL = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

Open = Callable[[str | None], AbstractContextManager[httpx.Response]]
"""Asks for a stream from a cursor on."""


class Told(NamedTuple):
    """What happened: the tasks as they are now, and the ids of those that were deleted."""

    tasks: list[Task]
    deleted: list[str]


class _Event(NamedTuple):
    """Something that was told, with the cursor behind it. A beat has none."""

    told: Told
    cursor: str | None = None


BEAT = _Event(Told([], []))


class Stream:
    """The events of one answer. Once they end, `end` says why, if that was told, and `wait` when to come back."""

    def __init__(self, answer: httpx.Response) -> None:
        self.wait = 1.0
        self.end: str | None = None
        self._answer = answer

    def events(self) -> Iterator[_Event]:
        """Yield what is told, once it is whole, and each beat. Raises: httpx.TransportError."""
        tasks: list[Task] = []
        deleted: list[str] = []
        for fields in self._fields():
            if not fields:
                yield BEAT
            elif fields.get("event") == "end":
                self.end = json.loads(fields["data"])["code"]
                return
            elif "data" in fields:
                told = json.loads(fields["data"])
                tasks += told["tasks"]
                deleted += told["deleted"]
                if cursor := fields.get("id"):
                    yield _Event(Told(tasks, deleted), cursor)
                    tasks, deleted = [], []

    def _fields(self) -> Iterator[dict[str, str]]:
        """Yield the fields of each event, none of them for a beat. What is cut off is no event."""
        fields: dict[str, str] = {}
        for line in self._lines():
            if line.startswith(":"):
                yield {}
            elif line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            else:
                self.wait = int(fields.pop("retry", self.wait * 1000)) / 1000
                if fields:
                    yield fields
                fields = {}

    def _lines(self) -> Iterator[str]:
        """Yield the lines as a stream has them: those of httpx end at U+2028, too, which a title may hold."""
        rest = b""
        for part in self._answer.iter_bytes():
            *lines, rest = (rest + part).split(b"\n")
            yield from (line.removesuffix(b"\r").decode() for line in lines)


class Following:
    """Goes on for ever: what fails at first is raised, later failures are waited for.

    `before` is asked before each stream where it begins. With `polls` it is asked again and again where there are none.
    """

    def __init__(self, open_stream: Open, before: Callable[[], str | None], *, polls: bool) -> None:
        self.cursor: str | None = None
        self._open, self._before, self._polls = open_stream, before, polls
        self._has_followed = False
        self._failures = 0

    def events(self) -> Iterator[_Event]:
        """Yield what is told, and each beat. Raises: ApiError, SignedOut, at first httpx.TransportError."""
        while True:
            try:
                self.cursor = self._before()
                wait = yield from self._one_stream()
            except httpx.TransportError:
                if not self._has_followed:
                    raise
                wait = self._longer()
            except ApiError as error:
                if error.status < HTTPStatus.INTERNAL_SERVER_ERROR or not self._has_followed:
                    raise
                wait = self._longer()
            time.sleep(wait)

    def _longer(self) -> float:
        self._failures += 1
        longest = min(LONGEST_WAIT_SECONDS, 2**self._failures)
        return random.uniform(longest / 2, longest)  # noqa: S311  # so that not everybody comes back at once

    def _one_stream(self) -> Generator[_Event, None, float]:
        """Yield the events of one stream, and return in how many seconds to come back."""
        with self._open(self.cursor) as answer:
            wait = _refused(answer, polls=self._polls)
            self._has_followed = True
            if wait is not None:
                self.cursor = None if code_of(answer) == "SYNC_EXPIRED" else self.cursor
                return wait
            stream = Stream(answer)
            for event in stream.events():
                self._failures = 0
                self.cursor = event.cursor or self.cursor
                yield event
        if stream.end == "SYNC_EXPIRED":
            self.cursor = None
        return stream.wait if stream.end in (None, "GOING_AWAY") else 0.0


def _refused(answer: httpx.Response, *, polls: bool) -> float | None:
    """Return when to ask again if there is no stream, None if there is one. Raises: ApiError."""
    if answer.is_success and answer.headers.get("Content-Type", "").startswith(EVENT_STREAM):
        return None
    answer.read()
    if answer.status_code in _FULL and code_of(answer):
        return float(answer.headers.get("Retry-After", POLL_SECONDS))
    if code_of(answer) == "SYNC_EXPIRED":
        return 0.0
    if polls and (code_of(answer) == "LIVE_IS_OFF" or answer.is_success):  # one of before there were streams
        return POLL_SECONDS
    accepted(answer)
    raise ApiError(answer.status_code, None, "This service has no stream of changes.")


def follow(copy: LocalCopy, open_stream: Open, synchronise: Callable[[], object]) -> Iterator[Told]:
    """Keep a copy by streams, send what waits in it, and yield what happens once the copy has it."""

    def before() -> str | None:
        synchronise()
        return copy.known("cursor")

    for event in Following(open_stream, before, polls=True).events():
        if event.cursor:
            with copy.locked():
                copy.take(*event.told, event.cursor, everything=False)
        if copy.changes(limit=1):
            with suppress(httpx.TransportError):  # the next beat tries again
                synchronise()
        if event.told.tasks or event.told.deleted:
            yield event.told


def watch(open_stream: Open, now: Callable[[], str]) -> Iterator[Told]:
    """Yield what happens from now on."""

    def begin() -> str:
        return following.cursor or now()

    following = Following(open_stream, begin, polls=False)
    for event in following.events():
        if event.told.tasks or event.told.deleted:
            yield event.told


def stream_options(cursor: str | None) -> dict[str, Any]:
    """Return how httpx asks for a stream."""
    return {
        "headers": {"Accept": EVENT_STREAM} | ({"Last-Event-ID": cursor} if cursor else {}),
        "timeout": httpx.Timeout(10, read=SILENT_SECONDS),
    }
