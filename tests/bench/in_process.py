"""Requests without a network: what a request costs inside of the service, counted and not timed."""

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI

from tests.support.settings import ROOT

Send = Callable[[], Awaitable[int]]


class Ask(NamedTuple):
    """A request as a server hands it to the service."""

    method: str
    path: str
    token: str = ""
    body: bytes = b""


def sender(app: FastAPI, ask: Ask) -> Send:
    """Return a function that sends the request once and returns the status."""
    headers = [(b"host", b"api.test")]
    if ask.token:
        headers.append((b"authorization", b"Bearer " + ask.token.encode()))
    if ask.body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(ask.body)).encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": ask.method,
        "path": ask.path,
        "raw_path": ask.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
    }

    async def send_once() -> int:
        status = 0

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": ask.body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        await app(dict(scope), receive, send)
        return status

    return send_once


class Cost(NamedTuple):
    """Function calls of one request, and the share of its time that each package takes, largest first."""

    calls: float
    shares: list[tuple[str, float]]


async def profile(send: Send, times: int) -> Cost:
    """Send it so often, warmed up, and return the average."""
    for _ in range(20):
        assert await send() < 400
    recorder = cProfile.Profile(time.process_time)  # waiting for PostgreSQL costs nothing
    recorder.enable()
    for _ in range(times):
        await send()
    recorder.disable()
    stats = pstats.Stats(recorder)
    seconds: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]  # not in the stubs
        seconds[_package(file, function)] += own
    total = sum(seconds.values())
    shares = [(name, own / total) for name, own in seconds.most_common()]
    return Cost(stats.total_calls / times, shares)  # type: ignore[attr-defined]  # not in the stubs


def _package(file: str, function: str) -> str:
    path = Path(file)
    if "site-packages" in path.parts:
        name = path.parts[path.parts.index("site-packages") + 1]
        return name if name != "psycopg_pool" else "psycopg"
    if path.is_relative_to(ROOT / "app"):
        return "this service: " + "/".join(path.relative_to(ROOT / "app").parts[:2])
    return "built-in functions" if file == "~" else f"standard library: {path.parent.name or path.name}"
