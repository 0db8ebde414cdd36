"""Two servers take writes, because whoever promoted the second could not stop the first: every process leaves it."""

import asyncio
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest

from app.core.clock import stopwatch
from app.core.database.hosts import LOOK_SECONDS
from tests.machines.standby import Machine, Pair, replicated
from tests.machines.test_failover import CONNECTIONS
from tests.support.people import Person
from tests.support.server import serving
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SECONDS = LOOK_SECONDS + 2


async def until_it_is_refused(person: Person) -> float:
    """Ask as somebody who is signed out at the new primary, and return how long the old one was read."""
    began = stopwatch()
    while (answer := await person.get("/api/tasks")).status_code != 401:
        assert answer.status_code in (200, 503)
        assert stopwatch() - began < SECONDS
        await asyncio.sleep(0.01)
    return stopwatch() - began


async def written_by(person: Person, acknowledged: list[str], until: asyncio.Event) -> None:
    """Add tasks without a pause, and remember those that were made."""
    while not until.is_set():
        answer = await person.send("POST", "/api/tasks", json={"title": "x"})
        if answer.status_code == 201:
            acknowledged.append(answer.json()["id"])
        assert answer.status_code in (201, 503)


def tasks_at(machine: Machine) -> set[str]:
    with psycopg.connect(machine.url) as connection:
        return {str(row[0]) for row in connection.execute("SELECT id FROM tasks")}


def promote(pair: Pair, signed_out: Person) -> None:
    """Promote the standby beside its primary, and sign somebody out there."""
    pair.standby.promote()
    with psycopg.connect(pair.standby.url) as connection:
        connection.execute(
            "UPDATE user_state SET token_version = token_version + 1 WHERE user_id = %s", [signed_out.user["id"]]
        )


async def test_every_process_leaves_the_primary_that_was_replaced(folder: Path, tmp_path: Path) -> None:
    """Processes that read and processes that write go to the server that was promoted later, and never come back.

    So does one that starts then, with its first request, and nobody is served by the old one while the new one is away.
    """
    with replicated(folder, synchronous=False) as pair:
        old, new = pair.primary, pair.standby
        serve = partial(serving, tmp_path, DATABASE_URL=pair.url, LOG_LEVEL="WARNING")
        with serve() as reads, serve() as writes:
            async with (
                httpx.AsyncClient(base_url=reads.url, timeout=10) as reading,
                httpx.AsyncClient(base_url=writes.url, timeout=10) as writing,
            ):
                ada, bob = await Person.sign_up(reading), await Person.sign_up(writing)
                await asyncio.to_thread(pair.catch_up)
                acknowledged, enough = list[str](), asyncio.Event()
                busy = asyncio.create_task(written_by(bob, acknowledged, enough))
                await asyncio.to_thread(promote, pair, ada)
                was_read = await until_it_is_refused(ada)
                began = stopwatch()
                while not await asyncio.to_thread(tasks_at, new):
                    assert stopwatch() - began < SECONDS
                await asyncio.to_thread(old.wait_until, f"({CONNECTIONS}) = 0")
                before = len(acknowledged)
                await until(lambda: len(acknowledged) >= before + 50)
                enough.set()
                await busy
                lost = set(acknowledged) - await asyncio.to_thread(tasks_at, new)
                assert not lost & set(acknowledged[before:]), "whatever is written after that is at the new primary"

                with serve() as later:
                    async with httpx.AsyncClient(base_url=later.url, timeout=10) as starting:
                        ada.client = starting
                        assert (await ada.get("/api/tasks")).status_code == 401

                kept = await asyncio.to_thread(tasks_at, old)
                await asyncio.to_thread(new.stop)
                for _ in range(3):
                    assert (await bob.send("POST", "/api/tasks", json={"title": "x"})).status_code == 503
                await asyncio.to_thread(new.start)
                began = stopwatch()
                while (await bob.send("POST", "/api/tasks", json={"title": "x"})).status_code == 503:
                    assert stopwatch() - began < SECONDS
                assert await asyncio.to_thread(tasks_at, old) == kept
    print(f"two primaries: the old one was read for {was_read:.2f} s and took {len(lost)} of {before} writes")
