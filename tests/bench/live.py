"""What open streams cost: memory and processor of 500 and of 2,000, and what they take from requests beside them."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.data import People, Request, access_token, make_tokens
from tests.bench.servers import Target, Window, load
from tests.support.server import serving
from tests.support.settings import SECRET
from tests.support.streams import RawStream

STREAMS = 500
IDLE_SECONDS = 40
CONNECTIONS = 16


def measure(folder: Path, database: Target, people: People, *, rounds: int, seconds: int) -> None:
    """Print a table for one process with 500 streams, and for four with 2,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    tokens = [access_token(make_tokens(SECRET), person) for person in people.few]
    paths = [f"/api/tasks/{person.task_ids[7]}" for person in people.few]
    requests = folder / "live-requests"
    requests.write_text("".join("\t".join(Request("GET", *both)) + "\n" for both in zip(paths, tokens, strict=True)))
    print(f"{'':34}{'MB':>8}{'KB each':>10}{'CPU idle':>10}{'PG idle':>10}{'get/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for processes in (1, 4):
        with ExitStack() as stack:
            settings = {"DATABASE_URL": database.url, "LOG_LEVEL": "WARNING", "LIVE_STREAMS": str(STREAMS)}
            servers = [stack.enter_context(serving(folder, wait=True, **settings)) for _ in range(processes)]
            targets = [
                Target(f"process {number}", server.url, server.process.pid) for number, server in enumerate(servers)
            ]
            look = partial(load, targets[0], database, requests, connections=CONNECTIONS, seconds=seconds)
            asyncio.run(_compare(targets, database, tokens, look, rounds))


async def _compare(
    targets: list[Target], database: Target, tokens: list[str], look: Callable[[], Window], rounds: int
) -> None:
    """Print a line without streams, and one with them."""
    await asyncio.to_thread(look)  # to warm up
    without = [await asyncio.to_thread(look) for _ in range(rounds)]
    before = _memory(targets)
    _print(f"{len(targets)} processes, no streams", before, None, (0.0, 0.0), without)
    async with _streams(targets, tokens) as count:
        used, asked = _cpu(targets), database.cpu_seconds()
        await asyncio.sleep(IDLE_SECONDS)
        idle = (_cpu(targets) - used) / IDLE_SECONDS, (database.cpu_seconds() - asked) / IDLE_SECONDS
        memory = _memory(targets)
        beside = [await asyncio.to_thread(look) for _ in range(rounds)]
    _print(f"{len(targets)} processes, {count:,} streams", memory, (memory - before) * 1024 / count, idle, beside)


@asynccontextmanager
async def _streams(targets: list[Target], tokens: list[str]) -> AsyncIterator[int]:
    """Open as many streams as the processes have, and read what comes."""
    places = [
        (target, tokens[(number * STREAMS + each) % len(tokens)])
        for number, target in enumerate(targets)
        for each in range(STREAMS)
    ]
    streams: list[RawStream] = []
    for first in range(0, len(places), 50):
        some = await asyncio.gather(
            *(RawStream.open(target.url, token) for target, token in places[first : first + 50])
        )
        await asyncio.gather(*(stream.until(b"data: ") for stream in some))
        streams += some
    reading = [asyncio.create_task(stream.until(b"event: end", 3600)) for stream in streams]
    try:
        yield len(streams)
        ended = [stream.said[-60:] for stream, task in zip(streams, reading, strict=True) if task.done()]
        assert not ended, ended[:3]
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, *(stream.close() for stream in streams), return_exceptions=True)


def _memory(targets: list[Target]) -> int:
    return sum(sum(target.memory_mb()) for target in targets)


def _cpu(targets: list[Target]) -> float:
    return sum(target.cpu_seconds() for target in targets)


def _print(name: str, memory: int, each: float | None, idle: tuple[float, float], windows: list[Window]) -> None:
    figures = [median(getattr(window, part) for window in windows) for part in ("rate", "p50", "p99")]
    errors = sum(window.errors for window in windows)
    line = f"{name:34}{memory:8}{each or 0:10.1f}{idle[0]:10.1%}{idle[1]:10.1%}"
    print(
        line + "".join(f"{figure:10.3g}" for figure in figures) + (f"  {errors} errors" if errors else ""), flush=True
    )
