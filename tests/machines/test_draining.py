"""Stopping behind balancers as they are installed: whoever asks meanwhile is answered."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.core.clock import stopwatch
from tests.machines.proxies import PROGRAMS, proxy_before
from tests.support.people import Person
from tests.support.server import Server, free_port, serving
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.slow

A_SECOND = 48
DRAIN_SECONDS = 7  # HAProxy asks each two seconds, and believes the third answer
SEEN_SECONDS = 5  # after which a process that is ready again gets requests: HAProxy believes the second answer


@asynccontextmanager
async def asking(url: str, answered: Counter[str], *, people: int = 8) -> AsyncIterator[None]:
    """Keep people reading and writing, so many requests a second, and count what they get."""
    stopped = asyncio.Event()

    async def ask(person: Person) -> None:
        while not stopped.is_set():
            for method in ("GET", "POST"):
                body = {"json": {"title": "to do"}} if method == "POST" else {}
                try:
                    answer = await person.send(
                        method, "/api/tasks?limit=5" if method == "GET" else "/api/tasks", **body
                    )
                    answered["yes" if answer.is_success else f"{method} {answer.status_code}"] += 1
                except httpx.TransportError as error:
                    answered[f"{method} {type(error).__name__}"] += 1
                await asyncio.sleep(people / A_SECOND)

    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        everybody = [await Person.sign_up(client) for _ in range(people)]
        at_work = [asyncio.create_task(ask(person)) for person in everybody]
        try:
            yield
        finally:
            stopped.set()
            await asyncio.gather(*at_work)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("name", "replaced"),
    [("haproxy", 1), *(pytest.param(name, 2, marks=pytest.mark.nightly) for name in PROGRAMS)],
)
async def test_a_rolling_update_loses_no_request(
    own_database_url: str, tmp_path: Path, name: str, replaced: int
) -> None:
    """Each of two processes is replaced while people read and write, and every request is answered."""
    if not PROGRAMS[name]:
        pytest.skip(f"there is no {name} to test with: apt-get install {name}")
    settings = {"DATABASE_URL": own_database_url, "DRAIN_SECONDS": str(DRAIN_SECONDS), "TRUSTED_PROXIES": "127.0.0.1"}
    ports, answered = [free_port(), free_port()], Counter[str]()
    with ExitStack() as stack:

        def start(port: int) -> Server:
            return stack.enter_context(serving(tmp_path, wait=True, PORT=str(port), LOG_LEVEL="WARNING", **settings))

        servers = [start(port) for port in ports]
        url = stack.enter_context(proxy_before(name, tmp_path, [server.url for server in servers]))
        async with asking(url, answered):
            await until(lambda: answered["yes"] > A_SECOND, 60)
            for old, port in list(zip(servers, ports, strict=True))[:replaced]:
                await asyncio.to_thread(old.stop, DRAIN_SECONDS + 15)
                await asyncio.to_thread(start, port)
                await asyncio.sleep(SEEN_SECONDS)
            await until(lambda: answered["yes"] >= 1400 or replaced < 2, 120)
    lost = sum(answered.values()) - answered["yes"]
    print(f"{name}: {replaced} of 2 replaced, {sum(answered.values())} requests, {lost} not answered {dict(answered)}")
    assert lost == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_balancer_is_told_before_the_listener_closes(
    own_database_url: str, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    """After SIGTERM, or when its terminal is closed, it answers on, is not ready and keeps no connection."""
    settings = {"DATABASE_URL": own_database_url, "DRAIN_SECONDS": "2", "WORKERS": workers}
    with serving(tmp_path, wait=True, **settings) as server, httpx.Client(base_url=server.url) as client:
        assert "connection" not in client.get("/health/ready").headers
        began = stopwatch()
        server.process.send_signal(number)
        wait_until(lambda: client.get("/health/ready").status_code == 503)
        told = client.get("/health/ready")
        assert (told.json()["code"], told.headers["connection"]) == ("STOPPING", "close")
        alive = client.get("/health/live")
        assert (alive.status_code, alive.headers["connection"]) == (200, "close")
        assert server.process.wait(20) == (
            0 if workers == "2" or number == signal.SIGTERM else server.process.returncode
        )
        assert 2 <= stopwatch() - began < 10


def test_a_second_signal_ends_the_wait(own_database_url: str, tmp_path: Path) -> None:
    """Who does not want to wait for a balancer says so twice."""
    with serving(tmp_path, DATABASE_URL=own_database_url, DRAIN_SECONDS="300") as server:
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(status=503)
        server.stop()
