"""A hundred sign-ins at once at the real cost, while tasks are read."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import httpx
import pytest

from app.auth.passwords import PasswordHasher
from app.core.clock import stopwatch
from tests.support.people import PASSWORD, Person
from tests.support.server import Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SIGN_INS = 100
NEEDED = SIGN_INS / 13
TOO_SLOW = "this machine hashes {:.1f} a second: 100 take longer than the queue of 15 s, whoever computes them"


async def hashes_a_second() -> float:
    """Measure this machine, as the service would use it."""
    passwords = PasswordHasher(cost=12, queue_seconds=60)
    began = stopwatch()
    await asyncio.gather(*(passwords.hash(PASSWORD, client="ada") for _ in range(8)))
    passwords.close()
    return 8 / (stopwatch() - began)


# In a process of its own, so that the storm's own client does not delay what is measured.
WATCH = """
import json, sys, threading, time
import httpx
url, token, waited = sys.argv[1], sys.argv[2], []
stop = threading.Thread(target=sys.stdin.read, daemon=True)
stop.start()
with httpx.Client(timeout=60, headers={"Authorization": f"Bearer {token}"}) as client:
    client.get(url)
    print("ready", flush=True)
    while stop.is_alive():
        began = time.perf_counter()
        assert client.get(url).status_code == 200
        waited.append(time.perf_counter() - began)
        time.sleep(0.02)
print(json.dumps(waited))
"""


class Watch:
    """Asks one URL all the time and tells how long it waited."""

    def __init__(self, url: str, token: str) -> None:
        command = [sys.executable, "-c", WATCH, url, token]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def p99_ms(self) -> float:
        said, _ = self.process.communicate("", timeout=60)
        return float(quantiles(json.loads(said), n=100)[98] * 1000)


class Storm(NamedTuple):
    """What became of the sign-ins, and of the others meanwhile."""

    shed: int
    slowest_seconds: float
    tasks_p99_ms: float
    live_p99_ms: float


async def storm_of_sign_ins(server: Server) -> Storm:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        ada = await Person.sign_up(client)
        await ada.add_task()
        tasks, live = (Watch(server.url + path, ada.access_token) for path in ("/api/tasks", "/health/live"))
        body = {"email": ada.email, "password": PASSWORD}

        async def sign_in() -> tuple[int, float]:
            began = stopwatch()
            return (await client.post("/api/auth/signin", json=body)).status_code, stopwatch() - began

        statuses, seconds = zip(*await asyncio.gather(*(sign_in() for _ in range(SIGN_INS))), strict=True)
        assert set(statuses) <= {200, 503}
        return Storm(statuses.count(503), max(seconds), tasks.p99_ms(), live.p99_ms())


@pytest.mark.parametrize("queue_seconds", ["15", "2"])
async def test_a_storm_of_sign_ins_leaves_tasks_and_liveness_alone(
    database_url: str, tmp_path: Path, queue_seconds: str
) -> None:
    """A storm of sign-ins slows nobody else, and each is answered or told to come again, soon.

    With the default queue all are answered. The machine is shared, so the best of three storms counts.
    Source: SC-006.
    """
    if queue_seconds == "15" and (rate := await hashes_a_second()) < NEEDED:
        pytest.skip(TOO_SLOW.format(rate))
    settings = {"ENVIRONMENT": "development", "PASSWORD_HASH_COST": "12", "HASH_QUEUE_SECONDS": queue_seconds}
    for _ in range(3):
        with serving(tmp_path, wait=True, DATABASE_URL=database_url, **settings) as server:
            storm = await storm_of_sign_ins(server)
        print(f"100 sign-ins at once, queue {queue_seconds} s: {storm}")
        is_in_time = storm.shed == 0 if queue_seconds == "15" else storm.slowest_seconds < 5
        if is_in_time and storm.tasks_p99_ms < 200 and storm.live_p99_ms < 50:
            return
    if queue_seconds == "15" and storm.shed and (rate := await hashes_a_second()) < NEEDED:
        pytest.skip(TOO_SLOW.format(rate))
    raise AssertionError(f"three times, at last {storm}")
