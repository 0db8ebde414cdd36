"""The pool that takes a short way: it must not be seen but in the time it takes."""

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from app.core.database import quick_pool
from app.core.database.dsn import parse_database_url
from app.core.database.pool import Database
from app.core.database.quick_pool import QuickPool
from tests.support.waiting import until


@asynccontextmanager
async def pooled(url: str, size: int) -> AsyncIterator[QuickPool]:
    database = Database(parse_database_url(url), pool_min=size, pool_max=size)
    await database.open()
    await until(lambda: database.pool.get_stats()["pool_available"] == size)
    try:
        yield database.pool
    finally:
        await database.close()


async def test_psycopg_pool_is_as_ours_expects_it(postgres_url: str) -> None:
    """The short way is taken with the psycopg_pool that is installed, and hides nothing else of it."""
    async with pooled(postgres_url, 1) as pool:
        await pool.putconn(await pool.getconn())
        assert pool.is_quick
    hidden = vars(QuickPool).keys() & set(dir(AsyncConnectionPool))
    assert {name for name in hidden if not name.startswith("__")} == {"getconn", "putconn"}


def test_what_is_used_of_psycopg_pool_is_named() -> None:
    """All that the short way uses is looked for before it is taken."""
    used = [node for node in ast.walk(ast.parse(inspect.getsource(QuickPool))) if isinstance(node, ast.Attribute)]
    internals = {node.attr for node in used if node.attr.startswith("_")} - vars(QuickPool).keys()
    assert internals <= {*quick_pool._USED, *quick_pool._USED_OF_CONNECTION}


@pytest.mark.parametrize("names", ["_USED", "_USED_OF_CONNECTION"])
async def test_the_service_does_without_the_short_way(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    """People are served, more slowly, if a later psycopg_pool has not what is used of it or of its connections."""
    monkeypatch.setattr(quick_pool, names, ("something",))
    async with pooled(postgres_url, 1) as pool:
        for _ in range(2):
            connection = await pool.getconn()
            assert not pool.is_quick
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
            await pool.putconn(connection)


async def test_the_figures_are_psycopgs(postgres_url: str) -> None:
    """Operators see how many connections are in use and how many are idle."""
    async with pooled(postgres_url, 3) as pool:
        before = pool.get_stats().get("requests_num", 0)
        taken = [await pool.getconn() for _ in range(2)]
        figures = pool.get_stats()
        assert (figures["pool_size"], figures["pool_available"], figures["requests_num"]) == (3, 1, before + 2)
        assert pool._nconns_min == 1  # by which it knows which connections were never needed
        for connection in taken:
            await pool.putconn(connection)
        assert pool.get_stats()["pool_available"] == 3
        with pytest.raises(ValueError, match="can't return connection to pool"):
            await pool.putconn(taken[0])


async def test_who_waits_longest_is_served_first(postgres_url: str) -> None:
    """Nobody who comes later gets the connection for which others wait."""
    async with pooled(postgres_url, 1) as pool:
        served = []

        async def ask(number: int) -> None:
            connection = await pool.getconn(10)
            served.append(number)
            await asyncio.sleep(0)
            await pool.putconn(connection)

        connection = await pool.getconn()
        waiting = [asyncio.create_task(ask(number)) for number in range(3)]
        await until(lambda: pool.get_stats().get("requests_waiting") == 3)
        await pool.putconn(connection)
        await asyncio.gather(*waiting, ask(3))
        assert served == [0, 1, 2, 3]


async def test_a_connection_that_may_not_go_on_is_replaced(postgres_url: str) -> None:
    """Whoever asks next gets a good connection: after one that broke, one to be replaced, and one in a transaction."""
    async with pooled(postgres_url, 1) as pool:
        broken = await pool.getconn()
        await broken.close()
        await pool.putconn(broken)
        old = await pool.getconn()
        await pool.drain()
        await pool.putconn(old)
        expired = await pool.getconn()
        assert expired is not old
        expired._expire_at = 0
        await pool.putconn(expired)
        last = await pool.getconn()
        assert last is not expired
        await last.execute("BEGIN")
        await pool.putconn(last)
        same = await pool.getconn()
        assert same is last
        assert same.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        await pool.putconn(same)


async def test_a_connection_that_comes_back_after_the_end_is_closed(postgres_url: str) -> None:
    """A process that stops leaves no connection behind."""
    async with pooled(postgres_url, 1) as pool:
        connection = await pool.getconn()
        await pool.close()
        await pool.putconn(connection)
        assert connection.closed
