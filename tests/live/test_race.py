"""Writers on two processes and one past them, streams that are cut and resumed, and processes that are killed."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.core.clock import stopwatch
from app.operations.embedded_postgres.paths import EmbeddedUnavailable
from app.operations.embedded_postgres.server import EmbeddedPostgres
from tests.faults.late_writers import LateWriter
from tests.faults.test_kills import embedded, postmaster
from tests.support.copies import Copy
from tests.support.people import Person
from tests.support.rounds import PERCENT, rounds
from tests.support.server import Server, free_port, serving
from tests.support.streams import follow

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ROUNDS = 1000 if PERCENT >= 100 else 25
KILLS = rounds(30, least=3)
COPIES = 6
IDS = 8
ROUND_SECONDS = 0.06
CUT = 0.25


class Processes:
    """Two processes of the service, either of which may be killed, and the database of both."""

    def __init__(self, stack: ExitStack, folder: Path, postgres: EmbeddedPostgres) -> None:
        self.stack, self.folder, self.postgres = stack, folder, postgres
        self.ports = [free_port(), free_port()]
        self.servers = [self.start(port) for port in self.ports]
        for server in self.servers:
            server.wait_until()

    def start(self, port: int) -> Server:
        settings = {"DATABASE_URL": self.postgres.url, "ACCESS_TOKEN_EXPIRE_MINUTES": "600", "LOG_LEVEL": "ERROR"}
        return self.stack.enter_context(serving(self.folder, wait=False, PORT=str(port), **settings))

    def kill(self, number: int) -> None:
        """Kill a process, or the database, and wait until it is there again."""
        if number == len(self.servers):
            os.kill(postmaster(self.postgres), signal.SIGKILL)
            revive(self.postgres)
        else:
            self.servers[number].kill()
            self.servers[number] = self.start(self.ports[number])
        for server in self.servers:
            server.wait_until()


def revive(postgres: EmbeddedPostgres) -> None:
    """Start it until it runs: those that the killed one has left end first."""
    for _ in range(100):
        with suppress(EmbeddedUnavailable, psycopg.OperationalError):
            postgres.ensure_running()
            psycopg.connect(postgres.url, connect_timeout=2).close()
            return
        time.sleep(0.2)
    raise AssertionError("the database did not come back")


class Follower:
    """Keeps a copy by one stream after the other, each at any process, cut at any moment."""

    def __init__(self, copy: Copy, clients: list[httpx.AsyncClient], chance: random.Random) -> None:
        self.copy, self.clients, self.chance = copy, clients, chance
        self.cuts = 0
        self.stopped = False
        self.following: asyncio.Task[str] | None = None

    async def run(self) -> None:
        while not self.stopped:
            self.copy.person.client = self.chance.choice(self.clients)
            self.following = asyncio.create_task(follow(self.copy))
            (ended,) = await asyncio.gather(self.following, return_exceptions=True)
            cut = (str, httpx.TransportError, asyncio.CancelledError, StopAsyncIteration)
            assert isinstance(ended, cut), ended
            await asyncio.sleep(self.chance.random() * 0.05)

    def stop(self) -> None:
        self.stopped = True
        if self.following:
            self.following.cancel()

    def cut_at_times(self) -> None:
        if self.chance.random() < CUT and self.following and not self.following.done():
            self.following.cancel()
            self.cuts += 1


async def write(person: Person, client: httpx.AsyncClient, chance: random.Random) -> None:
    """Make, change, tick or delete one of few tasks. What a killed process has done with it, nobody knows."""
    person.client = client
    key = str(chance.randrange(IDS))
    with suppress(httpx.TransportError, ValueError):
        made = await person.send("POST", "/api/tasks", json={"title": key}, headers={"Idempotency-Key": key})
        path = f"/api/tasks/{made.json().get('id')}"
        match chance.randrange(4):
            case 0:
                await person.send("DELETE", path)
            case 1:
                await person.send("PATCH", f"{path}/toggle")
            case _:
                await person.send("PATCH", path, json={"title": f"{chance.random()}"})


async def insist(person: Person, number: int) -> None:
    """Write something that is heard of, however often it takes."""
    while True:
        with suppress(httpx.TransportError):
            answer = await person.send("POST", "/api/tasks", json={"title": f"Round {number}"})
            if answer.status_code == 201:
                return
        await asyncio.sleep(0.05)


async def differences(copies: list[Copy], person: Person) -> list[Any]:
    """Return, of each copy that is not what the list is, what it has and what it should have."""
    truth = await Copy(person).truth()
    return [
        {
            key: (copy.tasks.get(key), truth.get(key))
            for key in copy.tasks.keys() | truth
            if copy.tasks.get(key) != truth.get(key)
        }
        for copy in copies
        if copy.tasks != truth
    ]


@asynccontextmanager
async def keeping(
    copies: list[Copy], clients: list[httpx.AsyncClient], chance: random.Random
) -> AsyncIterator[list[Follower]]:
    """Keep the copies by streams until the block ends."""
    followers = [Follower(copy, clients, chance) for copy in copies]
    running = [asyncio.create_task(follower.run()) for follower in followers]
    try:
        yield followers
    finally:
        for follower in followers:
            follower.stop()
        await asyncio.gather(*running)


async def test_copies_that_streams_keep_are_what_the_table_is(folder: Path, tmp_path: Path) -> None:
    """Whoever writes, commits late or is killed, and wherever a line is cut: no copy misses a change.

    Source: FR-059.
    """
    chance = random.Random(13)
    kills = dict(zip(range(ROUNDS // (2 * KILLS), ROUNDS, ROUNDS // KILLS), [0, 2, 1] * KILLS, strict=False))
    limits = httpx.Limits(max_keepalive_connections=0)
    with embedded(folder) as postgres, ExitStack() as stack:
        processes = Processes(stack, tmp_path, postgres)
        urls = [server.url for server in processes.servers]
        async with (
            httpx.AsyncClient(base_url=urls[0], timeout=20, limits=limits) as one,
            httpx.AsyncClient(base_url=urls[1], timeout=20, limits=limits) as two,
        ):
            ada = await Person.sign_up(one)
            copies = [Copy(await ada.sign_in()) for _ in range(COPIES)]
            writers = [(await ada.sign_in(), client) for client in (one, two)]
            late = LateWriter(postgres.url, ada, ada.session_id, chance)
            async with keeping(copies, [one, two], chance) as followers:
                for number in range(ROUNDS):
                    if number in kills:
                        await write_while(asyncio.to_thread(processes.kill, kills[number]), writers, chance)
                    for follower in followers:
                        follower.cut_at_times()
                    pause = asyncio.sleep(chance.random() * ROUND_SECONDS)
                    await asyncio.gather(*write_all(writers, chance), write_late(late), pause)
                    await insist(chance.choice(writers)[0], number)
                    await become_true(copies, ada)
                    if number % 20 == 19:
                        await clear(ada)
            if late.connection:
                await late.connection.close()
    cuts = sum(follower.cuts for follower in followers)
    print(f"{ROUNDS} rounds, {cuts} cuts, {len(kills)} kill -9, {COPIES} copies: none differs")
    assert cuts > ROUNDS / 2


Writers = list[tuple[Person, httpx.AsyncClient]]


def write_all(writers: Writers, chance: random.Random) -> list[Coroutine[Any, Any, None]]:
    return [write(writer, client, chance) for writer, client in writers]


async def write_while(killing: Awaitable[None], writers: Writers, chance: random.Random) -> None:
    done = asyncio.ensure_future(killing)
    while not done.done():
        await asyncio.gather(*write_all(writers, chance), asyncio.sleep(0.05))
    await done


async def become_true(copies: list[Copy], person: Person) -> None:
    """Wait until every copy is what the list is; without a hint that may take a beat."""
    deadline = stopwatch() + 30
    while wrong := await differences(copies, person):
        assert stopwatch() < deadline, wrong
        await asyncio.sleep(0.02)


async def write_late(late: LateWriter) -> None:
    with suppress(psycopg.Error):
        await late.write()


async def clear(person: Person) -> None:
    """Delete what the rounds have made, so that the lists stay short."""
    for task in (await person.get("/api/tasks")).json():
        if task["title"].startswith("Round "):
            with suppress(httpx.TransportError):
                await person.send("DELETE", f"/api/tasks/{task['id']}")
