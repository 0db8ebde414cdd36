"""One account with very many tasks, whose owner asks without pause, and how long the others wait meanwhile."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from app.core.clock import stopwatch
from tests.support.people import Person
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.alone]

TASKS, CLIENTS, SECONDS = 400_000, 12, 6
MARGIN = 0.05  # of a machine of two cores, on which the load and the database run, too
LOAD = """
import asyncio, httpx, sys, time

async def ask(client, url, end):
    while time.monotonic() < end:
        async with client.stream("GET", url) as answer:
            async for _ in answer.aiter_raw():
                pass

async def main(base, url, token, clients, seconds):
    async with httpx.AsyncClient(base_url=base, timeout=60, headers={"Authorization": f"Bearer {token}"}) as client:
        await client.get("/health/live")
        print("asking", flush=True)
        end = time.monotonic() + float(seconds)
        await asyncio.gather(*(ask(client, url, end) for _ in range(int(clients))))

asyncio.run(main(*sys.argv[1:]))
"""


async def p99(person: Person, seconds: float) -> float:
    """Return the time that all but a hundredth of somebody's requests take."""
    times, statuses = list[float](), Counter[int]()
    end = stopwatch() + seconds
    while stopwatch() < end:
        began = stopwatch()
        statuses[(await person.get("/api/tasks?limit=20")).status_code] += 1
        times.append(stopwatch() - began)
        await asyncio.sleep(0.01)
    assert statuses.keys() == {200}
    return sorted(times)[len(times) * 99 // 100]


async def test_one_heavy_account_does_not_slow_the_others(own_database_url: str, tmp_path: Path) -> None:
    """Whatever it asks for without pause, another user waits at most twice as long as alone, and is always answered."""
    with serving(tmp_path, DATABASE_URL=own_database_url, LOG_LEVEL="WARNING") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            heavy, other = await Person.sign_up(client), await Person.sign_up(client)
            for _ in range(50):
                await other.add_task()
            with psycopg.connect(own_database_url, autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO tasks (user_id, id, title, status, priority, version, created_at, updated_at, changed)"
                    " SELECT %s, gen_random_uuid(), 'Task ' || n, 'pending', 'low', 1, now(), now(), '0'"
                    " FROM generate_series(1, %s) n",
                    (heavy.user["id"], TASKS),
                )
                connection.execute("VACUUM ANALYZE")
            await p99(other, 1)
            alone = await p99(other, SECONDS)
            slower = {}
            for url in ("?q=zzz", "?limit=100&sort=title", "?limit=20", "/../auth/sessions", "/changes", ""):
                command = ["-c", LOAD, server.url, f"/api/tasks{url}".replace("tasks/../", ""), heavy.access_token]
                load = await asyncio.create_subprocess_exec(
                    *(sys.executable, *command, str(CLIENTS), str(SECONDS + 1)),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                assert load.stdout
                assert await load.stdout.readline() == b"asking\n"
                slower[url] = await p99(other, SECONDS)
                await load.wait()
    print(f"alone {alone * 1000:.0f} ms; beside", {url: f"{took * 1000:.0f} ms" for url, took in slower.items()})
    assert {url: took for url, took in slower.items() if took > 2 * alone + MARGIN} == {}
