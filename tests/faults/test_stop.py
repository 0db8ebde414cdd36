"""SIGTERM: what is in flight is answered, nothing new is begun, nothing is left."""

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app import __version__
from app.cli.serve import GRACE_SECONDS
from app.core.clock import stopwatch
from tests.support.people import PASSWORD, Person
from tests.support.server import Server, serving
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.slow


def sessions(url: str) -> int:
    """Return how many connections the service has to its database."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
            (f"auth-tasks-api {__version__}",),
        ).fetchone()
        assert found is not None
        return int(found[0])


def expect_no_session(url: str) -> None:
    """Wait until PostgreSQL has ended what the service had."""
    wait_until(lambda: sessions(url) == 0)


async def until_read(port: int) -> None:
    """Wait until the kernel holds neither connections nor bytes for the server of a port, which has taken them all."""
    await until(lambda: all(queue.endswith(":00000000") for queue in queues(port)))


def queues(port: int) -> list[str]:
    """Return the queues of each socket at a port, in hexadecimal as `to write:to read`."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[4] for row in rows if row[1].endswith(f":{port:04X}")]


@pytest.mark.alone
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_is_in_flight_is_answered(own_database_url: str, tmp_path: Path, workers: str) -> None:
    """A restart costs nobody an answer: 100 sign-ins that wait for their hash at SIGTERM get theirs."""
    settings = {"DATABASE_URL": own_database_url, "WORKERS": workers, "PASSWORD_HASH_COST": "9"}
    with serving(tmp_path, wait=True, **settings) as server:
        limits = httpx.Limits(max_connections=110)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
            ada = await Person.sign_up(client)
            body = {"email": ada.email, "password": PASSWORD}
            written, all_written = 0, asyncio.Event()

            async def note(event: str, info: Any) -> None:
                nonlocal written
                written += event == "http11.send_request_body.complete"
                if written == 100:
                    all_written.set()

            def sign_in() -> Coroutine[Any, Any, httpx.Response]:
                return client.post("/api/auth/signin", json=body, extensions={"trace": note})

            sent = [asyncio.create_task(sign_in()) for _ in range(100)]
            # One that has not connected yet, or whose request is not read yet, is refused, and rightly.
            await asyncio.wait_for(all_written.wait(), 30)
            await until_read(httpx.URL(server.url).port or 0)
            in_flight = sum(not each.done() for each in sent)
            server.process.terminate()
            began = stopwatch()
            refused = asyncio.create_task(until_refused(client))
            answers = await asyncio.gather(*sent)
            await refused
            code = await asyncio.to_thread(server.process.wait, GRACE_SECONDS + 5)
        took = stopwatch() - began
    answered = sum(answer.status_code == 200 for answer in answers)
    print(f"{workers} workers: {in_flight} in flight at SIGTERM, {answered} of 100 answered, gone after {took:.1f} s")
    assert in_flight > 20
    assert answered == 100
    assert took < GRACE_SECONDS
    assert code in (0, -15)
    expect_no_session(own_database_url)


async def until_refused(client: httpx.AsyncClient) -> None:
    """Connect anew until nothing listens; uvicorn looks twice a second whether its workers are to stop."""
    for _ in range(100):
        try:
            await client.get("/health/live", headers={"Connection": "close"})
        except httpx.TransportError:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("new connections are accepted")


def stuck(server: Server) -> socket.socket:
    """Begin a request and never end it."""
    link = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    link.sendall(
        b"POST /api/auth/signin HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    return link


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_idle_connection_and_a_stuck_request_do_not_keep_it(
    own_database_url: str, tmp_path: Path, workers: str
) -> None:
    """A stop ends within its grace time, whatever clients do, and leaves nothing in the database."""
    with serving(tmp_path, wait=True, DATABASE_URL=own_database_url, WORKERS=workers) as server:
        async with httpx.AsyncClient(base_url=server.url) as idle:
            await Person.sign_up(idle)
            with stuck(server):
                await asyncio.sleep(0.3)
                began = stopwatch()
                await asyncio.to_thread(server.stop, GRACE_SECONDS + 8)
                took = stopwatch() - began
    print(f"{workers} workers, one request stuck: gone after {took:.1f} s of {GRACE_SECONDS}")
    assert took < GRACE_SECONDS + 3
    expect_no_session(own_database_url)


def test_the_embedded_database_stops_with_the_service(folder: Path, tmp_path: Path) -> None:
    """Stopping the service stops its database, and the data is there the next time."""
    for expected in (201, 409):
        with serving(tmp_path, EMBEDDED_DATA_DIR=str(folder / "postgres")) as server:
            body = {"email": "ada@example.test", "password": PASSWORD}
            assert httpx.post(f"{server.url}/api/auth/signup", json=body).status_code == expected
            server.stop()
        assert not (folder / "postgres" / "postmaster.pid").exists()
