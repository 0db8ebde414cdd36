"""The database away, slow, full, broken: bounded waits, 503, and recovery without a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.core.clock import stopwatch
from app.core.database.dsn import parse_database_url
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.database.sql import plain
from app.core.database.statement import Statement
from app.operations.embedded_postgres.server import EmbeddedPostgres
from tests.support.people import Person
from tests.support.server import app_of, running
from tests.support.settings import make_settings
from tests.support.waiting import until


@pytest.fixture
async def own(own_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service over a database of its own, with few connections."""
    settings = make_settings(own_database_url, database_pool_min=2, database_pool_max=2)
    async with running(settings) as client:
        yield client


async def test_connections_that_died_in_the_pool_fail_no_request(own: httpx.AsyncClient, own_database_url: str) -> None:
    """Nobody notices that PostgreSQL restarted between two requests, not even by a write."""
    ada = await Person.sign_up(own)
    for attempt in range(3):
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await ada.add_task(f"after {attempt}")
        ada.keep(await ada.refresh())


async def test_a_request_that_finds_no_connection_is_503_in_time(own: httpx.AsyncClient) -> None:
    """Nobody waits long when all connections are taken, and what needs none is served."""
    ada = await Person.sign_up(own)
    pool = app_of(own).state.database.pool
    taken = [await pool.getconn() for _ in range(2)]
    began = stopwatch()
    answers = await asyncio.gather(*(ada.get("/api/tasks") for _ in range(10)))
    assert {a.status_code for a in answers} == {503}
    assert {a.json()["code"] for a in answers} == {"DATABASE_UNAVAILABLE"}
    assert 1.5 < stopwatch() - began < 4
    began = stopwatch()
    ada.access_token = ada.access_token.rpartition(".")[0] + "." + ada.refresh_token.rpartition(".")[2]
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await own.get("/health/live")).status_code == 200
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    assert (await own.options("/api/tasks", headers=asked)).status_code == 200
    assert stopwatch() - began < 1
    for connection in taken:
        await pool.putconn(connection)
    assert (await ada.refresh()).status_code == 200


@pytest.mark.slow
async def test_waiting_for_a_turn_is_waiting_for_a_connection(own_database_url: str) -> None:
    """Nobody waits longer than two seconds before a statement begins, whatever it is that they wait for."""
    sleep, user = Statement(plain("SELECT pg_sleep(1.5)::text AS slept", slept=str), str), uuid4()
    database = Database(parse_database_url(own_database_url), pool_min=2, pool_max=2)
    await database.open()
    pool = database.pool
    await pool.wait()  # for both: else the first may not have begun when none is available
    taken = [await pool.getconn()]
    first = asyncio.create_task(database.fetch_all(sleep, user_id=user))
    await until(lambda: pool.get_stats()["pool_available"] == 0)
    before_them = asyncio.create_task(pool.getconn(10))
    began = stopwatch()
    with pytest.raises(DatabaseUnavailable):
        await database.fetch_all(sleep, user_id=user)
    assert 1.5 < stopwatch() - began < 3
    await first
    taken.append(await before_them)
    for connection in taken:
        await pool.putconn(connection)
    await database.close()


async def test_a_locked_row_is_waited_for_in_bounds(own: httpx.AsyncClient, own_database_url: str) -> None:
    """Nobody waits long for a task that is locked elsewhere, and all is as before afterwards."""
    ada = await Person.sign_up(own)
    task = await ada.add_task()
    with psycopg.connect(own_database_url) as other:
        other.execute("SELECT 1 FROM tasks FOR UPDATE")
        began = stopwatch()
        answer = await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")
        assert answer.status_code == 503
        assert stopwatch() - began < 4
        assert (await ada.get(f"/api/tasks/{task['id']}")).json() == task
    assert (await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")).status_code == 200


async def test_a_denylist_that_cannot_be_read_refuses_everybody(own: httpx.AsyncClient, own_database_url: str) -> None:
    """Nobody gets in while it cannot be known whether they signed out: it fails closed."""
    ada = await Person.sign_up(own)
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE token_denylist RENAME TO elsewhere")
        assert (await ada.get("/api/tasks")).status_code == 503
        assert (await ada.refresh()).status_code == 503
        admin.execute("ALTER TABLE elsewhere RENAME TO token_denylist")
    assert (await ada.get("/api/tasks")).status_code == 200


async def test_a_database_that_only_reads_still_reads(own: httpx.AsyncClient, own_database_url: str) -> None:
    """People can read their tasks while the database cannot be written."""
    ada = await Person.sign_up(own)
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert (await ada.get("/api/tasks")).status_code == 200
    assert (await ada.send("POST", "/api/tasks", json={"title": "x"})).status_code == 503


async def test_a_deadlock_is_tried_again(own: httpx.AsyncClient, own_database_url: str) -> None:
    """Nobody notices a deadlock: the statement was rolled back as a whole, so nothing is done twice."""
    ada = await Person.sign_up(own)
    task = await ada.add_task()
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute("CREATE SEQUENCE tries")
        admin.execute(
            "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$"
        )
        admin.execute("CREATE TRIGGER t BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION fail_once()")
        answer = await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")
        assert (answer.status_code, answer.json()["version"]) == (200, 2)
        admin.execute("ALTER SEQUENCE tries RESTART WITH -10 MINVALUE -10")
        assert (await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")).status_code == 503


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_a_statement_that_never_ends_is_cut(
    own_database_url: str, pooler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever where no server ends a statement in time, as behind a pooler: the socket is shut."""
    monkeypatch.setattr("app.core.database.pool.ABORT_SECONDS", 0.5)
    settings = make_settings(own_database_url, database_pooler=pooler, database_pool_min=1)
    async with running(settings) as client:
        ada = await Person.sign_up(client)
        with psycopg.connect(own_database_url) as other:
            other.execute("LOCK TABLE tasks")
            began = stopwatch()
            assert (await ada.get("/api/tasks")).status_code == 503
            assert stopwatch() - began < 3
        assert (await ada.get("/api/tasks")).status_code == 200


@pytest.mark.slow
async def test_the_service_starts_before_its_database_and_is_ready_when_that_is(folder: Path) -> None:
    """An operator may start service and database in any order, and restart the database alone."""
    postgres = EmbeddedPostgres(folder / "postgres", durable=False, echo=lambda text: None)
    settings = make_settings(postgres.url, migrate_on_start="on")
    try:
        async with running(settings) as client:
            pool = app_of(client).state.database.pool
            pool.timeout = 0.5  # each request that is refused waits so long
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/live")).status_code == 200
            body = {"email": "ada@example.test", "password": "a long password"}
            assert (await client.post("/api/auth/signup", json=body)).status_code == 503
            postgres.start()
            began = stopwatch()
            while (await client.get("/health/ready")).status_code != 200:
                assert stopwatch() - began < 60
                await asyncio.sleep(0.1)
            ada = await Person.sign_up(client)
            postgres.stop()
            assert (await ada.get("/api/tasks")).status_code == 503
            assert (await client.get("/api/tasks")).status_code == 401
            pool.timeout = 30  # however long this machine takes to start it
            waiting = asyncio.create_task(ada.get("/api/tasks"))
            await asyncio.to_thread(postgres.start)
            assert (await waiting).status_code == 200
            postgres.stop()
            postgres.start()
            began = stopwatch()
            while (await ada.get("/api/tasks")).status_code != 200:
                assert stopwatch() - began < 5
            print(f"first success {stopwatch() - began:.2f} s after the database came back")
    finally:
        postgres.stop()


async def test_a_migration_that_changes_a_column_fails_no_request(
    own: httpx.AsyncClient, own_database_url: str
) -> None:
    """People go on working while a column changes.

    PostgreSQL answers "cached plan must not change result type" once, and the statement is prepared anew.
    """
    ada = await Person.sign_up(own)
    task = await ada.add_task()
    for length in (201, 202, 203):
        await asyncio.gather(*(ada.get(f"/api/tasks/{task['id']}") for _ in range(4)))
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            admin.execute(f"ALTER TABLE tasks ALTER COLUMN title TYPE varchar({length})")
        answers = await asyncio.gather(*(ada.get(f"/api/tasks/{task['id']}") for _ in range(4)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")).status_code == 200


async def test_a_thousand_failures_are_a_few_lines(own: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """A failing database does not fill the log: at most one line a second, with how many it stands for."""
    ada = await Person.sign_up(own)
    database = app_of(own).state.database
    with pytest.MonkeyPatch.context() as patch:

        async def fail(*_: object, **__: object) -> None:
            raise psycopg.OperationalError

        patch.setattr(database, "_run", fail)
        began = stopwatch()
        answers = [(await ada.get("/api/tasks")).status_code for _ in range(1000)]
        took = stopwatch() - began
    said = [record for record in caplog.records if record.getMessage() == "database_unavailable"]
    assert set(answers) == {503}
    assert 1 <= len(said) <= took + 1
