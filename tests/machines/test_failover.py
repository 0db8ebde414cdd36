"""The primary dies, or hands over to its standby: the service goes on there, and nothing acknowledged is lost."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from app.accounts.repository import END_EVERY_SESSION
from app.core.clock import stopwatch
from app.operations.doctor import examine
from app.operations.maintenance import run_without_timeouts
from tests.faults.load import Acknowledged, Writer, check, more_written, writing
from tests.machines.standby import Pair, replicated
from tests.support.copies import CHANGES, Copy
from tests.support.people import Person
from tests.support.server import app_of, running, serving
from tests.support.settings import make_settings

pytestmark = pytest.mark.slow

SECONDS = 2
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'auth-tasks-api %'"
STANDBY_FOLLOWS = "EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')"


async def first_success(writers: list[Writer], after: float) -> float:
    """Wait for an answer to a request of one of them that came after that moment; give when."""
    loop_time = asyncio.get_running_loop().time
    while not any(writer.answered_at > after for writer in writers):
        await asyncio.sleep(0.005)
        assert loop_time() - after < 30
    return min(writer.answered_at for writer in writers if writer.answered_at > after)


async def test_a_killed_primary_loses_nothing_and_the_standby_serves(folder: Path, tmp_path: Path) -> None:
    """A primary that dies loses nothing acknowledged, and the same process goes on at the promoted standby."""
    known, loop_time = Acknowledged(), asyncio.get_running_loop().time
    with (
        replicated(folder, synchronous=True) as pair,
        serving(tmp_path, DATABASE_URL=pair.url, LOG_LEVEL="WARNING") as server,
    ):
        assert failover(pair) == "ok"
        async with writing(server.url, known) as writers:
            before = await more_written(known, 50)
            await asyncio.to_thread(pair.primary.signal, signal.SIGKILL)
            await asyncio.sleep(1)
            began = loop_time()
            await asyncio.to_thread(pair.standby.promote)
            promoted = loop_time()
            served = await first_success(writers, began)
            await more_written(known, 100)
        assert server.process.poll() is None
        await check(pair.standby.url, server.url, known, moved=True)
    print(
        f"killed after {before} writes, promoted in {promoted - began:.2f} s: "
        f"first success {served - began:.2f} s after that was asked for"
    )
    assert served - promoted <= SECONDS


def failover(pair: Pair) -> str:
    """Return doctor's verdict."""
    verdicts = {what: verdict for verdict, what, _ in examine(make_settings(pair.url), lambda settings: iter(()))}
    return verdicts["failover"]


async def test_a_planned_switchover_moves_every_connection(folder: Path, tmp_path: Path) -> None:
    """An operator can change the primary under load and change back, without restarting the service."""
    known, loop_time = Acknowledged(), asyncio.get_running_loop().time
    with (
        replicated(folder, synchronous=True) as pair,
        serving(tmp_path, DATABASE_URL=pair.url, LOG_LEVEL="WARNING") as server,
    ):
        old, new = pair.primary, pair.standby
        async with writing(server.url, known) as writers:
            for _ in range(2):
                await more_written(known, 20)
                await asyncio.to_thread(old.stop)
                began = loop_time()
                await asyncio.to_thread(new.promote)
                promoted = loop_time()
                served = await first_success(writers, began)
                await asyncio.to_thread(old.follow, new)
                await asyncio.to_thread(old.start)
                print(f"switched over: first success {served - began:.2f} s after the promotion was asked for")
                assert served - promoted <= SECONDS
                await asyncio.to_thread(new.wait_until, STANDBY_FOLLOWS)
                await asyncio.to_thread(old.wait_until, f"({CONNECTIONS}) = 0")
                await asyncio.to_thread(new.wait_until, f"({CONNECTIONS}) > 0")
                await more_written(known, 100)
                old, new = new, old
        await check(old.url, server.url, known, moved=True)


async def test_idle_connections_leave_a_server_that_only_reads(folder: Path) -> None:
    """No write fails and no old row is read when a server is fenced off by a setting, which cuts no connection."""
    with replicated(folder, synchronous=True) as pair:
        settings = make_settings(pair.url, migrate_on_start="on", database_pool_min=4, database_pool_max=4)
        async with running(settings) as client:
            ada, bob = await Person.sign_up(client), await Person.sign_up(client)
            assert {a.status_code for a in await several(ada)} == {200}
            await asyncio.to_thread(pair.primary.wait_until, f"({CONNECTIONS}) = 4")
            await asyncio.to_thread(pair.primary.set, "default_transaction_read_only", "on")
            await asyncio.to_thread(pair.standby.promote)
            with psycopg.connect(pair.standby.url) as elsewhere:
                elsewhere.execute(
                    "UPDATE user_state SET token_version = token_version + 1 WHERE user_id = %s", [ada.user["id"]]
                )
            began = stopwatch()
            assert {a.status_code for a in await several(ada)} == {401}
            await bob.add_task()
            print(f"fenced off: every idle connection moved in {stopwatch() - began:.2f} s")
            assert stopwatch() - began <= SECONDS
            await asyncio.to_thread(pair.primary.wait_until, f"({CONNECTIONS}) = 0")


async def several(person: Person) -> list[httpx.Response]:
    """Ask on every connection of the pool at once, more than once."""
    return await asyncio.gather(*(person.get("/api/tasks") for _ in range(12)))


async def test_a_write_on_an_idle_connection_to_a_read_only_server_is_made_at_the_other(folder: Path) -> None:
    """Many writes at once that meet a server which only reads are all made at the other."""
    with replicated(folder, synchronous=True) as pair:
        settings = make_settings(pair.url, migrate_on_start="on", database_pool_min=4, database_pool_max=4)
        async with running(settings) as client:
            ada = await Person.sign_up(client)
            assert {a.status_code for a in await several(ada)} == {200}
            await asyncio.to_thread(pair.primary.set, "default_transaction_read_only", "on")
            app_of(client).state.database.pool.timeout = 30  # however long this machine takes to promote
            began = stopwatch()
            asked = [asyncio.create_task(ada.send("POST", "/api/tasks", json={"title": "x"})) for _ in range(20)]
            await asyncio.to_thread(pair.standby.promote)
            statuses = Counter(answer.status_code for answer in await asyncio.gather(*asked))
            print(f"20 writes at once while it is promoted: {dict(statuses)}, {stopwatch() - began:.2f} s")
        assert statuses == {201: 20}
        assert pair.standby.ask("SELECT count(*) FROM tasks") == 20


async def test_a_machine_that_hangs_is_left_by_all_connections_at_once(folder: Path) -> None:
    """A machine that takes connections and answers nothing costs one wait, not one for each connection."""
    with replicated(folder, synchronous=True) as pair:
        settings = make_settings(pair.url, migrate_on_start="on", database_pool_min=4, database_pool_max=4)
        async with running(settings) as client:
            ada = await Person.sign_up(client)
            assert {a.status_code for a in await several(ada)} == {200}
            await asyncio.to_thread(pair.primary.signal, signal.SIGSTOP)
            await asyncio.to_thread(pair.standby.promote)
            began = stopwatch()
            assert (await ada.get("/api/tasks")).status_code == 503
            cut = stopwatch()
            for _ in range(8):
                await ada.add_task()
            print(f"hung: one 503 after {cut - began:.2f} s, eight writes in the next {stopwatch() - cut:.2f} s")
            assert stopwatch() - cut <= SECONDS
            await asyncio.to_thread(pair.standby.wait_until, f"({CONNECTIONS}) = 4")


async def test_what_an_asynchronous_standby_had_not_received_is_lost(folder: Path, tmp_path: Path) -> None:
    """An operator can read in docs/scaling.md what an asynchronous standby loses; it is measured here."""
    known = Acknowledged()
    with (
        replicated(folder, synchronous=False) as pair,
        serving(tmp_path, DATABASE_URL=pair.url, LOG_LEVEL="WARNING") as server,
    ):
        assert failover(pair) == "warn"
        async with writing(server.url, known, people=12):
            before = await more_written(known, 100)
            await asyncio.to_thread(pair.primary.signal, signal.SIGKILL)
        # The writers have stopped: they would find that what they were promised is lost.
        await asyncio.to_thread(pair.standby.promote)
        with psycopg.connect(pair.standby.url) as connection:
            found = {str(row[0]): row[1] for row in connection.execute("SELECT id, version FROM tasks")}
        lost = [task for task, version in known.versions.items() if found.get(task, 0) < version]
        print(f"asynchronous, on one machine: {len(lost)} of {before} acknowledged writes lost")
        assert server.process.poll() is None


async def test_a_standby_that_is_behind_brings_sessions_back_until_all_are_ended(folder: Path) -> None:
    """An operator who loses sign-outs with a standby can end all sessions.

    Before that, ended ones are active and used tokens valid again. Copies begin anew by themselves.
    """
    with replicated(folder, synchronous=False) as pair:
        async with running(make_settings(pair.url, migrate_on_start="on")) as client:
            ada, bob = await Person.sign_up(client), await Person.sign_up(client)
            await asyncio.to_thread(pair.catch_up)
            await asyncio.to_thread(pair.disconnect)
            assert (await ada.send("POST", "/api/auth/signout")).status_code == 200
            used = bob.refresh_token
            bob.keep(await bob.refresh())
            await bob.add_task()
            copy = Copy(bob)
            await copy.pull()
            await asyncio.to_thread(pair.primary.signal, signal.SIGKILL)
            await asyncio.to_thread(pair.standby.promote)
            # Before anything is written there: its transaction ids would soon be beyond those of the lost ones.
            assert (await bob.get(CHANGES, params=copy.question)).status_code == 410
            assert (await ada.get("/api/tasks")).status_code == 200
            assert (await bob.refresh(used)).status_code == 200
            assert (await bob.get("/api/tasks")).json() == []
            await asyncio.to_thread(run_without_timeouts, make_settings(pair.url).dsn, END_EVERY_SESSION)
            for person in (ada, bob):
                assert (await person.get("/api/tasks")).status_code == 401
                assert (await person.refresh()).status_code == 401
                await person.sign_in()
