"""Limits that are counted in Redis."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.errors import TooManyRequests
from app.core.rate_limits.redis import LimitsUnavailable, RedisRateLimiter
from app.core.setting_types import Limit
from tests.support.people import Person
from tests.support.server import Service, free_port

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server: apt-get install redis-server"
)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}/0", process
        process.send_signal(signal.SIGCONT)
        process.terminate()


async def started(url: str) -> RedisRateLimiter:
    limiter = RedisRateLimiter(url)
    for _ in range(100):
        try:
            await limiter.clear("start", "up")
            return limiter
        except LimitsUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("redis-server did not start")


async def test_exactly_so_many_of_many_at_once_pass(redis: tuple[str, "subprocess.Popen[bytes]"]) -> None:
    """Limits are exact in Redis too, and Retry-After is the rest of the window."""
    limiter = await started(redis[0])
    tries = [limiter.hit("signin", "ada", Limit(7, 60)) for _ in range(35)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    refused = [r for r in results if isinstance(r, TooManyRequests)]
    assert (len(refused), len(results)) == (28, 35)
    assert all(1 <= int((r.headers or {})["Retry-After"]) <= 60 for r in refused)
    await limiter.clear("signin", "ada")
    await limiter.hit("signin", "ada", Limit(1, 60))
    await limiter.give_back("signin", "ada")
    await limiter.give_back("signin", "ada")
    await limiter.hit("signin", "ada", Limit(1, 60))
    with pytest.raises(TooManyRequests):
        await limiter.hit("signin", "ada", Limit(1, 60))
    await limiter.close()


async def test_without_redis_nobody_signs_in_uncounted(
    redis: tuple[str, "subprocess.Popen[bytes]"], service: Service
) -> None:
    """While Redis is away nobody guesses uncounted, tasks go on, and all is well when it is back."""
    url, process = redis
    await (await started(url)).close()
    async with service(rate_limits="on", rate_limit_storage=url, rate_limit_signin_account="2/minute") as client:
        ada = await Person.sign_up(client)
        wrong = {"email": ada.email, "password": "wrong password"}
        statuses = [(await client.post("/api/auth/signin", json=wrong)).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        process.send_signal(signal.SIGSTOP)
        answer = await client.post("/api/auth/signin", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (503, "LIMITS_UNAVAILABLE")
        assert (await ada.get("/api/tasks")).status_code == 200
        process.send_signal(signal.SIGCONT)
        assert (await client.post("/api/auth/signin", json=wrong)).status_code == 429
        assert (await ada.refresh()).status_code == 200
