"""The way to the database: slow, in slices, cut, silent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.core.clock import stopwatch
from app.operations.embedded_postgres.server import EmbeddedPostgres
from tests.faults.proxy import Proxy, proxied
from tests.support.databases import new_database
from tests.support.people import Person
from tests.support.server import app_of, running
from tests.support.settings import make_settings
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
async def database(folder: Path) -> AsyncIterator[str]:
    """A database whose socket is known."""
    postgres = EmbeddedPostgres(folder / "postgres", durable=False, echo=lambda text: None)
    try:
        with new_database(postgres.start()) as url:
            yield url
    finally:
        postgres.stop()


@pytest.fixture
async def proxy(database: str, folder: Path) -> AsyncIterator[Proxy]:
    async with proxied(folder / "postgres" / ".s.PGSQL.5432") as made:
        yield made


@pytest.fixture
async def behind(database: str, proxy: Proxy) -> AsyncIterator[httpx.AsyncClient]:
    """The service with the proxy between."""
    name = database.partition("?")[0].rpartition("/")[2]
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
    async with running(make_settings(url, migrate_on_start="on", database_pool_min=1, database_pool_max=4)) as client:
        yield client


def rows(database: str, person: Person) -> list[str]:
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT title FROM tasks WHERE user_id = %s", (person.user["id"],))
        return [row[0] for row in found]


async def test_a_slow_way_is_only_slow(behind: httpx.AsyncClient, proxy: Proxy) -> None:
    """A slow network makes answers slow and no more: 200 ms each way, one byte at a time."""
    ada = await Person.sign_up(behind)
    proxy.delay_seconds = 0.2
    began = stopwatch()
    assert (await ada.get("/api/tasks")).status_code == 200
    assert 0.4 <= stopwatch() - began < 3
    proxy.delay_seconds, proxy.slice_bytes = 0, 1
    task = await ada.add_task("in slices")
    assert (await ada.get(f"/api/tasks/{task['id']}")).json() == task


async def test_a_silent_database_is_given_up_in_bounds(behind: httpx.AsyncClient, proxy: Proxy) -> None:
    """Nobody waits for ever on a database that accepts connections and never answers."""
    ada = await Person.sign_up(behind)
    proxy.swallow = True
    began = stopwatch()
    answers = await asyncio.gather(*(ada.get("/api/tasks") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {503}
    assert stopwatch() - began < 8
    assert (await behind.get("/health/live")).status_code == 200
    proxy.swallow = False
    proxy.cut()
    began = stopwatch()
    while (await ada.get("/api/tasks")).status_code != 200:
        assert stopwatch() - began < 5
        await asyncio.sleep(0.05)
    print(f"silent database: first success {stopwatch() - began:.2f} s after it spoke again")


async def test_an_answer_cut_at_any_byte_is_503_and_a_retry_does_nothing_twice(
    behind: httpx.AsyncClient, proxy: Proxy, database: str
) -> None:
    """A client whose create got a 503 may send it again: one task is made, wherever the connection broke."""
    ada = await Person.sign_up(behind)
    refused = 0
    for count in range(1, 600, 3):
        headers = {"Idempotency-Key": str(count)}
        proxy.cut_after_bytes = count
        first = await ada.send("POST", "/api/tasks", json={"title": str(count)}, headers=headers)
        proxy.cut_after_bytes = None
        refused += first.status_code == 503
        assert first.status_code in (200, 201, 503)
        for _ in range(3):  # the cut may hit the new connection that replaces the last one
            again = await ada.send("POST", "/api/tasks", json={"title": str(count)}, headers=headers)
            if again.status_code != 503:
                break
            await asyncio.sleep(0.02)
        assert again.status_code in (200, 201), again.text
    titles = rows(database, ada)
    print(f"200 creations cut at every third byte: {refused} refused, {len(titles)} rows")
    assert sorted(titles) == sorted(map(str, range(1, 600, 3)))
    assert refused > 50


async def test_what_fails_at_commit_is_never_acknowledged(behind: httpx.AsyncClient, database: str) -> None:
    """A client is never told 201 for what the database refuses at commit."""
    ada = await Person.sign_up(behind)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"
        )
        admin.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    answers = [await ada.send("POST", "/api/tasks", json={"title": str(n)}) for n in range(500)]
    acknowledged = [answer for answer in answers if answer.is_success]
    print(f"500 creations that fail at commit: {len(acknowledged)} acknowledged")
    assert acknowledged == []
    assert {answer.status_code for answer in answers} == {503}
    assert rows(database, ada) == []


async def test_a_connection_reset_at_commit_is_never_acknowledged_unless_it_is_there(
    behind: httpx.AsyncClient, proxy: Proxy, database: str
) -> None:
    """What a client was told is there, though connections are cut at commit."""
    ada = await Person.sign_up(behind)
    acknowledged = []
    for number in range(200):
        sent = asyncio.create_task(ada.send("POST", "/api/tasks", json={"title": str(number)}))
        await asyncio.sleep(0.0005 * (number % 8))
        proxy.cut()
        if (await sent).is_success:
            acknowledged.append(str(number))
    titles = rows(database, ada)
    print(f"200 creations, connection reset: {len(acknowledged)} acknowledged, {len(titles)} there")
    assert set(acknowledged) <= set(titles)
    assert len(titles) == len(set(titles))


def connections_missing(pool: Any) -> int:
    stats = pool.get_stats()
    return int(stats["pool_size"] - stats["pool_available"])


async def test_clients_that_leave_take_no_connection_with_them(behind: httpx.AsyncClient, database: str) -> None:
    """Clients that give up their requests, writes among them, leave the service as it was."""
    ada = await Person.sign_up(behind)
    left = 0
    for number in range(500):
        body = {"json": {"title": str(number)}} if number % 2 else {}
        sent = asyncio.create_task(ada.send("POST" if number % 2 else "GET", "/api/tasks", **body))
        await asyncio.sleep(0.0002 * (number % 11))
        left += sent.cancel()
        await asyncio.gather(sent, return_exceptions=True)
    pool = app_of(behind).state.database.pool
    await until(lambda: connections_missing(pool) == 0)
    print(f"500 requests, {left} given up: 0 connections missing")
    assert left > 50
    assert pool.get_stats()["pool_size"] <= 4
    assert (await ada.get("/api/tasks")).status_code == 200
    with psycopg.connect(database) as connection:
        idle = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        assert idle.fetchone() == (0,)


async def test_a_slow_statement_is_ended(behind: httpx.AsyncClient, database: str) -> None:
    """A statement that takes too long is ended, and what it had begun is undone."""
    ada = await Person.sign_up(behind)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(20); RETURN NEW; END'"
        )
        admin.execute("CREATE TRIGGER doze AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION doze()")
        began = stopwatch()
        answer = await ada.send("POST", "/api/tasks", json={"title": "slow"})
        took = stopwatch() - began
        admin.execute("DROP TRIGGER doze ON tasks")
    print(f"a statement of 20 s is ended after {took:.1f} s")
    assert (answer.status_code, rows(database, ada)) == (503, [])
    assert took < 4
    assert (await ada.send("POST", "/api/tasks", json={"title": "quick"})).status_code == 201
