"""The line before the threads that hash: by turns, bounded, and exact whoever gives up when."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from app.auth import hash_queue
from app.auth.hash_queue import HashingOverloaded, HashQueue
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service, app_of, client_of
from tests.support.waiting import until


class Desk:
    """A queue of one thread that works on the jobs of `begin`, each until `finish` is called."""

    def __init__(self, queue: HashQueue) -> None:
        self.queue = queue
        self.begun: list[str] = []
        self.working = 0
        self._go = threading.Semaphore(0)

    def begin(self, client: str) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.queue.run(lambda: self._work(client), client=client))

    def _work(self, client: str) -> None:
        self.begun.append(client)
        self.working += 1
        self._go.acquire(timeout=10)
        self.working -= 1

    async def finish(self) -> None:
        """Let one job end, and the next one begin if there is one."""
        before, waits = len(self.begun), bool(self.queue._lines)
        self._go.release()
        if waits:
            await until(lambda: len(self.begun) > before)

    def end(self) -> None:
        for _ in range(100):
            self._go.release()
        self.queue.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(HashQueue(width=1, longest=4, seconds=10))
    yield made
    made.end()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0.002)


async def test_waiting_clients_take_turns(desk: Desk) -> None:
    """However many jobs one of them has, another's next one is the next but one."""
    jobs = [desk.begin(client) for client in ("flood", "flood", "flood", "ada", "bob")]
    await settle()
    for _ in jobs:
        await desk.finish()
    assert desk.begun == ["flood", "flood", "ada", "bob", "flood"]
    await asyncio.gather(*jobs)


async def test_who_comes_to_a_full_queue_takes_the_last_place_of_the_longest_line(desk: Desk) -> None:
    """Up to half of the places; the first in line keep theirs."""
    working, *flood = [desk.begin("flood") for _ in range(5)]
    await settle()
    ada = [desk.begin("ada") for _ in range(3)]
    await settle()
    assert [job.done() for job in (working, *flood)] == [False, False, False, True, True]
    assert [job.done() for job in ada] == [False, False, True], "two places each"
    for refused in (*flood[2:], ada[2]):
        with pytest.raises(HashingOverloaded):
            await refused
    for _ in range(5):
        await desk.finish()
    await asyncio.gather(working, *flood[:2], *ada[:2])


async def test_the_flood_itself_is_refused_at_once_when_the_queue_is_full(desk: Desk) -> None:
    """Nobody waits to be told."""
    jobs = [desk.begin("flood") for _ in range(8)]
    await settle()
    assert [job.done() for job in jobs] == [False] * 5 + [True] * 3
    for _ in range(5):
        await desk.finish()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert Counter(map(type, results)) == {type(None): 5, HashingOverloaded: 3}


async def test_who_gives_up_leaves_a_place_to_others(desk: Desk) -> None:
    """Also to whoever comes before its task has run."""
    working, *flood = [desk.begin("flood") for _ in range(5)]
    await settle()
    flood[-1].cancel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):  # in this task, which runs now
            await desk.queue.run(lambda: None, client="ada")
    for job in flood[:-1]:
        job.cancel()
    await settle()
    bob = [desk.begin("bob") for _ in range(4)]
    await settle()
    assert not any(job.done() for job in bob)
    for _ in range(5):
        await desk.finish()
    await asyncio.gather(working, *bob)


async def test_a_job_that_nobody_waits_for_keeps_its_thread_until_it_ends(desk: Desk) -> None:
    """Otherwise whoever gives up at once would have another one begun each time, before everybody else's."""
    given_up = desk.begin("flood")
    await until(lambda: desk.working == 1)
    given_up.cancel()
    await settle()
    ada = desk.begin("ada")
    await settle()
    assert given_up.cancelled()
    assert (desk.begun, desk.working) == (["flood"], 1)
    await desk.finish()
    assert desk.begun == ["flood", "ada"]
    await desk.finish()
    await ada


async def test_who_gives_up_at_the_moment_of_its_turn_passes_it_on() -> None:
    """The turn was given, and its task has not run since."""
    queue = HashQueue(width=1, longest=4, seconds=10)
    await queue._acquire("ada")
    first, second = (asyncio.ensure_future(queue._acquire(client)) for client in ("bob", "eve"))
    await settle()
    queue._release()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()
    queue._release()
    await asyncio.wait_for(queue._acquire("ada"), 1)
    queue.close()


async def test_who_gave_up_before_its_turn_is_passed_over() -> None:
    """It was cancelled, and its task has not run since."""
    queue = HashQueue(width=1, longest=4, seconds=10)
    await queue._acquire("ada")
    first, second = (asyncio.ensure_future(queue._acquire(client)) for client in ("bob", "eve"))
    await settle()
    first.cancel()
    queue._release()
    await asyncio.wait_for(second, 1)
    queue.close()


async def test_no_slot_is_lost_or_found_whoever_gives_up_when() -> None:
    """1,000 visits that end early, late or never, by cancelling and by waiting too long."""
    chance = random.Random(14)
    queue = HashQueue(width=3, longest=20, seconds=0.02)
    working = most = 0

    async def visit(client: str) -> None:
        nonlocal working, most
        with suppress(HashingOverloaded):
            await queue._acquire(client)
            working += 1
            most = max(most, working)
            try:
                await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01]))
            finally:
                working -= 1
                queue._release()

    visits = []
    for _ in range(1000):
        visits.append(asyncio.ensure_future(visit(chance.choice("aaaabcd"))))
        if chance.random() < 0.4:
            chance.choice(visits).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
    await asyncio.gather(*visits, return_exceptions=True)
    assert (most, working, queue._free, queue._lines) == (3, 0, 3, {})
    queue.close()


async def test_who_leaves_in_the_moment_of_being_shed_takes_no_turn() -> None:
    """A client that hangs up while the queue sheds it costs nobody else a turn."""
    queue = HashQueue(width=1, longest=2, seconds=5)
    gate = threading.Event()
    running = asyncio.ensure_future(queue.run(gate.wait, client="a"))
    waiting = [asyncio.ensure_future(queue.run(lambda: None, client="a")) for _ in range(2)]
    await asyncio.sleep(0.01)
    queue._make_room("b")
    waiting[1].cancel()
    gate.set()
    answers = await asyncio.gather(running, *waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [bool, type(None), asyncio.CancelledError]
    assert (queue._free, queue._lines) == (1, {})
    queue.close()


@asynccontextmanager
async def at(client: httpx.AsyncClient, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the same service that calls from another address."""
    async with client_of(app_of(client), address) as other:
        yield other


@pytest.mark.slow
async def test_one_address_floods_sign_ups_and_another_ones_sign_in_succeeds(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without limits, and with as many sign-ups waiting as may wait."""
    monkeypatch.setattr(hash_queue, "_NICENESS", 0)  # else this machine's other programs go before all hashes
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def flood(somebody: httpx.AsyncClient) -> None:
        while not over.is_set():
            answer = await somebody.post("/api/auth/signup", json={"email": new_email(), "password": PASSWORD})
            statuses[answer.status_code] += 1
            await asyncio.sleep(0.5)

    async with service(password_hash_cost=11, hash_queue_seconds=4) as client, at(client, "198.51.100.9") as somebody:
        ada = await Person.sign_up(client)
        flooding = []
        while statuses[503] < 10:
            flooding.append(asyncio.ensure_future(flood(somebody)))
            await asyncio.sleep(0.005)
        for _ in range(3):
            await ada.sign_in()
        over.set()
        await asyncio.gather(*flooding)
        assert set(statuses) == {201, 503}
