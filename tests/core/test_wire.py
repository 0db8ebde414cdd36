"""Connections that wait for one future: what could go wrong on the way to the database, beside `test_database.py`.

`tests/faults/test_network.py` has ways that are slow, cut and silent.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import uvloop
from psycopg.pq.abc import PGresult

from app.core.database import connection as connections
from app.core.database.connection import Connection
from app.core.database.dsn import parse_database_url
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.database.prepared import MOST_PREPARED, missing
from app.core.database.sql import plain
from app.core.database.statement import Statement
from app.core.database.wire import Wire
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import make_settings
from tests.support.waiting import until

ECHO = Statement(plain("SELECT CAST(:word AS text) || pg_sleep(CAST(:seconds AS float8))::text AS word", word=str), str)
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@asynccontextmanager
async def pooled(url: str, **size: int) -> AsyncIterator[Database]:
    """A pool of one connection, unless said otherwise."""
    database = Database(parse_database_url(url), **{"pool_min": 1, "pool_max": 1, **size})
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def echo(database: Database, word: str, seconds: float = 0) -> str | None:
    return await database.fetch_value(ECHO, word=word, seconds=seconds)


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with pooled(postgres_url) as opened:
        yield opened


async def test_psycopg_is_as_the_wire_expects_it(postgres_url: str, database: Database) -> None:
    """Statements are run the quick way with the psycopg that is installed, and nothing of its own is hidden by ours."""
    assert missing() == []
    connection = await database.pool.getconn()
    assert connection._wire
    await database.pool.putconn(connection)
    async with await psycopg.AsyncConnection.connect(postgres_url) as usual:
        hidden = {name for name in vars(Connection).keys() & set(dir(usual)) if not name.startswith("__")}
    assert hidden == {"connect", "wait", "close"}


VALUES: list[tuple[str, list[Any]]] = [
    ("bool", [True, False, None]),
    ("bytea", [b"", b"\0\xff" * 100, None]),
    ("int4", [0, -(2**31), 2**31 - 1, None]),
    ("int8", [0, -(2**63), 2**63 - 1, None]),
    ("float8", [0.1, float("inf"), -1e300]),
    ("text", ["", "Gießen 🌱", "%(x)s $1 %%", None]),
    ("varchar", ["", "x" * 10_000, None]),
    ("uuid", [UUID(int=0), uuid4(), None]),
    (
        "timestamptz",
        [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, 2, 3, 4, 5, timezone(timedelta(hours=-9)))],
    ),
    ("interval", [timedelta(0), timedelta(days=-3, microseconds=1)]),
    ("uuid[]", [[], [UUID(int=1), uuid4()], None]),
    ("text[]", [[], ["", "ä", "%s"]]),
    ("int8[]", [[], [1, 2**40]]),
    ("timestamptz[]", [[], [datetime(2026, 1, 1, tzinfo=UTC)]]),
]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
async def test_each_value_comes_back_as_psycopgs_cursor_gives_it(
    postgres_url: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that people write is changed on the way, whichever way it takes and wherever the database is."""
    url = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20timezone%3D{zone}"
    async with pooled(url) as quick:
        monkeypatch.setattr(connections, "missing", lambda: ["something"])
        async with pooled(url) as usual:
            for kind, values in VALUES:
                echo = Statement[Any](plain(f"SELECT CAST(:value AS {kind}) AS value", value=str), str)
                for value in values:
                    found = await quick.fetch_value(echo, value=value)
                    same = await usual.fetch_value(echo, value=value)
                    assert (found, type(found)) == (same, type(same)) == (value, type(value)), kind
                    if isinstance(found, datetime):
                        assert found.utcoffset() == timedelta(0)


async def test_the_service_does_without_the_wire(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """People are served, more slowly, if a later psycopg has not what the wire needs."""
    monkeypatch.setattr(connections, "missing", lambda: ["PGconn.send_prepare"])
    async with running(make_settings(database_url)) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task("Gießen 🌱")
        assert (await ada.get("/api/tasks")).json() == [task]
        ada.keep(await ada.refresh())
        assert (await ada.send("PATCH", f"/api/tasks/{task['id']}", json={"title": "x"})).json()["title"] == "x"


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 50])
async def test_the_answer_to_a_request_that_was_cancelled_is_nobodys(database: Database, turns: int) -> None:
    """Nobody is shown what another has asked for, whenever that one gives up."""
    for number in range(20):
        given_up = asyncio.create_task(echo(database, "of another", 0.001))
        for _ in range(turns):
            await asyncio.sleep(0.0001)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert await echo(database, str(number)) == str(number)


async def test_what_is_given_up_while_it_runs_ends_its_connection(database: Database) -> None:
    """The answer that is still to come is read by nobody, not even by what ends a transaction."""
    connection = await database.pool.getconn()
    given_up = asyncio.create_task(connection.fetch(ECHO, {"word": "of another", "seconds": 60}))
    await asyncio.sleep(0.01)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert connection.closed
    await database.pool.putconn(connection)


async def test_a_transaction_leaves_the_connection_as_it_was(own_database_url: str) -> None:
    """psycopg itself begins and ends transactions, on the same socket; statements go on before, within and after."""
    async with pooled(own_database_url) as database:
        backend = Statement(plain("SELECT pg_backend_pid() AS pid", pid=int), int)

        async def work(statements: Any) -> list[Any]:
            return [await statements.fetch_value(ECHO, word=word, seconds=0) for word in ("a", "b")]

        pid = await database.fetch_value(backend)
        for _ in range(3):
            assert await database.transact(work) == ["a", "b"]
            assert await echo(database, "after") == "after"
        assert await database.fetch_value(backend) == pid


async def test_what_was_given_up_in_a_transaction_is_undone(postgres_url: str, own_database_url: str) -> None:
    """Work that is given up half-way leaves nothing behind, and the next has the connection whole."""
    insert = Statement(plain("INSERT INTO numbers VALUES (1) RETURNING n", n=int), int)
    counted = Statement(plain("SELECT count(*) AS n FROM numbers", n=int), int)
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE numbers (n int)")
        async with pooled(own_database_url) as database:

            async def work(statements: Any) -> None:
                await statements.fetch_value(insert)
                await statements.fetch_value(ECHO, word="", seconds=60)

            given_up = asyncio.create_task(database.transact(work))
            await until(lambda: admin.execute(BACKENDS + " AND wait_event = 'PgSleep'").fetchone() == (1,))
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            assert await database.fetch_value(counted) == 0


async def test_a_connection_that_ends_while_it_is_idle_fails_no_request(database: Database, postgres_url: str) -> None:
    """Nobody notices that the database was restarted, whether the loop has seen it or has stood still meanwhile."""
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for stands_still in (True, False, True, False):
            backend = Statement(plain("SELECT pg_backend_pid() AS pid", pid=int), int)
            pid = await database.fetch_value(backend)
            admin.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
            if not stands_still:
                worked = time.process_time()
                await asyncio.sleep(0.1)
                assert time.process_time() - worked < 0.05  # nothing looks at the dead socket over and over
            assert await database.fetch_value(backend) != pid


async def test_a_connection_that_breaks_leaves_its_socket_to_others(database: Database, postgres_url: str) -> None:
    """What has the number of a broken connection's socket next is not disturbed: a client, or another connection."""
    loop = asyncio.get_running_loop()
    connection = await database.pool.getconn()
    number = connection.pgconn.socket
    waiting = asyncio.create_task(connection.fetch(ECHO, {"word": "", "seconds": 60}))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        pid = connection.info.backend_pid
        await until(lambda: admin.execute(asleep, (pid,)).fetchone() == (1,))
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(waiting, 10)
    assert connection.closed
    assert not loop.remove_reader(number)
    assert not loop.remove_writer(number)
    await database.pool.putconn(connection)
    assert await echo(database, "next") == "next"


async def test_closing_a_connection_fails_the_statement_that_waits(database: Database) -> None:
    """Nobody waits for a connection that was closed under them."""
    connection = await database.pool.getconn()
    waiting = asyncio.create_task(connection.fetch(ECHO, {"word": "", "seconds": 60}))
    await asyncio.sleep(0.01)
    await connection.close()
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(waiting, 10)
    await database.pool.putconn(connection)


async def test_what_the_server_says_in_between_is_no_answer(database: Database, postgres_url: str) -> None:
    """A notice or a notification is not taken for a row, comes it alone or with an answer."""
    connection = await database.pool.getconn()
    await connection.execute("LISTEN channel")
    await database.pool.putconn(connection)
    noisy = Statement(plain("SELECT pg_notify('channel', :word)::text || CAST(:word AS text) AS word", word=str), str)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        for word in ("a", "b", "c"):
            other.execute("NOTIFY channel, 'from another'")
            assert await database.fetch_value(noisy, word=word) == word
            assert await echo(database, word, 0.01) == word
        connection = await database.pool.getconn()
        await connection.execute(
            "CREATE FUNCTION pg_temp.say(t text) RETURNS text LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE WARNING 'said %', t; RETURN t; END $$"
        )
        await database.pool.putconn(connection)
        warns = Statement(plain("SELECT pg_temp.say(CAST(:word AS text)) AS word", word=str), str)
        assert await database.fetch_value(warns, word="x") == "x"


async def test_more_than_the_socket_takes_is_written_and_read(database: Database) -> None:
    """A long value arrives whole, though the server reads it piece by piece, and so does a long answer."""
    repeat = Statement(plain("SELECT CAST(:word AS text) || CAST(:word AS text) AS word", word=str), str)
    word = "Gießen 🌱 " * 1_000_000
    assert await database.fetch_value(repeat, word=word) == 2 * word


async def test_no_connection_keeps_more_plans_than_it_may(database: Database) -> None:
    """Somebody who asks for lists in every possible shape does not fill the database's memory with plans."""
    kept = Statement(plain("SELECT count(*) AS n FROM pg_prepared_statements", n=int), int)
    many = [Statement(plain(f"SELECT {number} AS n", n=int), int) for number in range(2 * MOST_PREPARED + 5)]
    for _ in range(2):
        for number, statement in enumerate(many):
            assert await database.fetch_value(statement) == number
            assert (await database.fetch_value(kept) or 0) <= MOST_PREPARED


async def test_nothing_is_prepared_behind_a_pooler(postgres_url: str) -> None:
    """A statement that was prepared is unknown to the server that a pooler in transaction mode chooses next."""
    kept = Statement(plain("SELECT count(*) AS n FROM pg_prepared_statements", n=int), int)
    async with pooled(f"{postgres_url}{'&' if '?' in postgres_url else '?'}pgbouncer=true") as database:
        for _ in range(3):
            assert await database.fetch_value(kept) == 0


async def test_what_fails_between_preparing_and_describing_fails_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the lock is free for which a description waited, every statement goes on, on the same connection."""
    connection = await database.pool.getconn()
    answer, answers = Wire.answer, count()

    async def fail_the_second(wire: Wire) -> PGresult:
        result = await answer(wire)
        if next(answers) == 1:
            raise psycopg.errors.LockNotAvailable
        return result

    words = [Statement(plain(f"SELECT CAST(:word AS text) || '{n}' AS word", word=str), str) for n in range(2)]
    monkeypatch.setattr(Wire, "answer", fail_the_second)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        await connection.fetch(words[0], {"word": "a"})
    for number in (1, 0, 1):
        assert await connection.fetch(words[number], {"word": "a"}) == [f"a{number}"]
    await database.pool.putconn(connection)


async def test_a_mistake_leaves_the_connection_as_it_was(database: Database) -> None:
    """A statement that fails fails alone: while it is prepared, while its values are written, while it runs."""
    divide = Statement(plain("SELECT 1 / CAST(:by AS int4) AS n", n=int), int)
    wrong = Statement(plain("SELECT nothing.n AS n FROM nothing", n=int), int)
    backend = Statement(plain("SELECT pg_backend_pid() AS pid", pid=int), int)
    pid = await database.fetch_value(backend)
    for _ in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.fetch_value(divide, by=0)
        with pytest.raises(DatabaseUnavailable):
            await database.fetch_value(wrong)
        with pytest.raises((psycopg.Error, TypeError)):
            await database.fetch_value(divide, by="one")
        assert await database.fetch_value(divide, by=1) == 1
    assert await database.fetch_value(backend) == pid


def test_it_works_on_the_loop_of_the_server(postgres_url: str) -> None:
    """uvicorn's loop is another than the one of the tests."""

    async def use() -> None:
        async with pooled(postgres_url, pool_max=4) as database:
            words = [str(number) for number in range(200)]
            answers = await asyncio.gather(*(echo(database, word) for word in words))
            assert answers == words
            given_up = asyncio.create_task(echo(database, "x", 1))
            await asyncio.sleep(0.01)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            assert await echo(database, "y" * 3_000_000) == "y" * 3_000_000

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use())
