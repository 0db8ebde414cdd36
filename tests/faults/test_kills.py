"""kill -9 under load: of the server, of the database, of both."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from app.operations.embedded_postgres.server import EmbeddedPostgres
from tests.faults.load import Acknowledged, check, more_written, writing
from tests.support.copies import CHANGES, Copy
from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

CYCLES = rounds(25, least=4)
RESTARTS = rounds(10, least=4)
WRITES = 160  # in each cycle, before the kill


@contextmanager
def embedded(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A durable database, used from here too, so that it outlives the server."""
    postgres = EmbeddedPostgres(folder / "postgres", echo=lambda text: None)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


def postmaster(postgres: EmbeddedPostgres) -> int:
    return int((postgres.data_dir / "postmaster.pid").read_text().split()[0])


def crash(postgres: EmbeddedPostgres) -> None:
    """Stop it without a checkpoint, and wait until it has stopped."""
    postgres._run("pg_ctl", "-D", str(postgres.data_dir), "-w", "-m", "immediate", "stop")


def wait_for(postgres: EmbeddedPostgres) -> None:
    """Wait until it takes connections again, whoever starts it."""
    for _ in range(300):
        try:
            psycopg.connect(postgres.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            asyncio.run(asyncio.sleep(0.1))
        else:
            return
    raise AssertionError("the database did not come back")


async def test_a_killed_server_loses_nothing_and_does_nothing_twice(folder: Path, tmp_path: Path) -> None:
    """What was acknowledged is kept, and done once, though all processes are killed again and again."""
    known = Acknowledged()
    with embedded(folder) as postgres:
        for cycle in range(CYCLES):
            settings = {"DATABASE_URL": postgres.url, "WORKERS": str(1 + cycle % 2), "LOG_LEVEL": "WARNING"}
            with serving(tmp_path, wait=True, **settings) as server:
                async with writing(server.url, known):
                    await more_written(known, WRITES)
                    await asyncio.to_thread(server.kill)
        with serving(tmp_path, DATABASE_URL=postgres.url) as server:
            await check(postgres.url, server.url, known)
    assert known.writes >= CYCLES * WRITES


@pytest.mark.parametrize("server_too", [False, True])
async def test_a_killed_embedded_database_loses_nothing(folder: Path, tmp_path: Path, server_too: bool) -> None:
    """What was acknowledged is kept though the embedded database is killed.

    The server starts it again, or the next server does.
    """
    known = Acknowledged()
    settings = {"EMBEDDED_DATA_DIR": str(folder / "postgres"), "LOG_LEVEL": "WARNING"}
    postgres = EmbeddedPostgres(folder / "postgres", echo=lambda text: None)

    async def kill(server: Server) -> None:
        os.kill(postmaster(postgres), signal.SIGKILL)
        if server_too:
            await asyncio.to_thread(server.kill)
        else:
            await asyncio.to_thread(wait_for, postgres)

    cycles = 0
    while cycles < CYCLES:
        with serving(tmp_path, wait=True, **settings) as server:
            async with writing(server.url, known):
                while cycles < CYCLES and server.process.poll() is None:
                    await more_written(known, WRITES, server=server)
                    await kill(server)
                    cycles += 1
                await asyncio.sleep(0.5)
    with serving(tmp_path, wait=True, **settings) as server:
        await check(postgres.url, server.url, known)
    assert known.writes >= CYCLES * WRITES


async def test_a_database_that_restarts_at_once_is_waited_for(folder: Path, tmp_path: Path) -> None:
    """Nobody has to restart the service when the database restarts: it serves again within a second."""
    known = Acknowledged()
    waits = []
    with embedded(folder) as postgres, serving(tmp_path, DATABASE_URL=postgres.url, LOG_LEVEL="WARNING") as server:
        async with writing(server.url, known) as writers:
            for _ in range(RESTARTS):
                await asyncio.sleep(0.7)
                await asyncio.to_thread(crash, postgres)
                await asyncio.to_thread(server.wait_until, "/health/ready", 503)
                await asyncio.to_thread(server.wait_until, "/health/live", 200)
                refused = await writers[0].person.client.get("/health/ready")
                assert int(refused.headers["retry-after"]) >= 1
                await asyncio.to_thread(postgres.start)
                back_at = asyncio.get_running_loop().time()
                while not any(writer.answered_at > back_at for writer in writers):
                    await asyncio.sleep(0.01)
                    assert asyncio.get_running_loop().time() - back_at < 5
                waits.append(min(w.answered_at for w in writers if w.answered_at > back_at) - back_at)
                await asyncio.to_thread(server.wait_until, "/health/ready", 200)
        assert server.process.poll() is None
        await check(postgres.url, server.url, known)
    print(f"{RESTARTS} immediate restarts: first success at most {max(waits):.2f} s after the database came back")
    assert max(waits) <= 1
    assert known.statuses[503] > 0


async def test_a_killed_worker_is_replaced_and_the_other_goes_on(folder: Path, tmp_path: Path) -> None:
    """A worker that dies costs its own requests and no others."""
    known = Acknowledged()
    with embedded(folder) as postgres, serving(tmp_path, DATABASE_URL=postgres.url, WORKERS="2") as server:
        async with writing(server.url, known):
            await asyncio.sleep(0.5)
            os.kill(server.workers()[0], signal.SIGKILL)
            await asyncio.sleep(3)
        await check(postgres.url, server.url, known)
        assert known.statuses[503] == 0


async def test_ids_that_a_crash_gives_out_again_hide_no_change(folder: Path, tmp_path: Path) -> None:
    """A transaction that leaves nothing on the disk leaves its id to another one after a crash, which is told too.

    Source: FR-059.
    """
    burn = "; ".join(["BEGIN; SELECT pg_current_xact_id(); ROLLBACK"] * 100)
    with embedded(folder) as postgres, serving(tmp_path, DATABASE_URL=postgres.url) as server:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            connection.execute("SELECT pg_reload_conf()")
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            copy = Copy(await Person.sign_up(client))
            await copy.pull()
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                connection.execute("SELECT pg_sleep(1)")
                before = number(connection)
                connection.execute(burn)
                await copy.pull()
                crash(postgres)
            postgres.start()
            await asyncio.to_thread(server.wait_until, "/health/ready", 200)
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                assert number(connection) < before + 100, "no id is given out again"
                task = await copy.person.add_task()
                connection.execute(burn)
                connection.execute(burn)
            answer = await copy.person.get(CHANGES, params=copy.question)
            assert (answer.status_code, [told["id"] for told in answer.json()["tasks"]]) == (200, [task["id"]])


def number(connection: psycopg.Connection) -> int:
    """Return the lowest id that no transaction has had."""
    row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    assert row
    return int(row[0])


SLOWLY = """
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END';
    CREATE TRIGGER slowly {} ON {} FOR EACH ROW EXECUTE FUNCTION slowly()"""


@pytest.mark.parametrize("table", ["user_state", "users", "token_denylist", "sessions"])
@pytest.mark.parametrize("killed", ["the server", "the database"])
async def test_a_kill_in_a_new_password_locks_nobody_out(folder: Path, tmp_path: Path, table: str, killed: str) -> None:
    """Whatever is killed between the statements of a new password, the owner signs in, and with one of the two.

    Source: FR-054.
    """
    new = "another battery staple 5"
    with embedded(folder) as postgres:
        with serving(tmp_path, DATABASE_URL=postgres.url) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
                ada = await Person.sign_up(client)
                ada.keep(await ada.refresh())
                with psycopg.connect(postgres.url, autocommit=True) as connection:
                    connection.execute(SLOWLY.format("AFTER UPDATE", table).encode())
                body = {"current_password": ada.password, "new_password": new}
                changing = asyncio.create_task(ada.send("POST", "/api/auth/password", json=body))
                await asyncio.sleep(0.25)  # in the middle of the statement that takes half a second
                if killed == "the server":
                    await asyncio.to_thread(server.kill)
                else:
                    await asyncio.to_thread(crash, postgres)
                with suppress(httpx.HTTPError):
                    assert (await changing).status_code == 503
        if killed == "the database":
            postgres.start()
        with serving(tmp_path, DATABASE_URL=postgres.url) as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
                bodies = [{"email": ada.email, "password": password} for password in (ada.password, new)]
                answers = [await client.post("/api/auth/signin", json=body) for body in bodies]
                assert [answer.status_code for answer in answers] == [200, 401]
                ada.client = client
                assert (await ada.get("/api/auth/me")).status_code == 200
