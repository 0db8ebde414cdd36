"""What one account may take: so many tasks, so many sessions, so many of a process' connections."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.core.database.connection import Transaction
from app.core.database.turns import Turns
from tests.support.clock import FrozenClock
from tests.support.people import Person, is_signed_in
from tests.support.server import Service, app_of
from tests.support.shapes import SHAPES, Shape
from tests.support.waiting import held_statements, until


async def create(person: Person, shape: Shape = SHAPES["canonical"], **headers: str) -> httpx.Response:
    return await person.send("POST", shape.url(person), json={"title": "One more"}, headers=headers)


@pytest.mark.parametrize("name", SHAPES)
async def test_an_account_has_so_many_tasks_in_every_shape(service: Service, clock: FrozenClock, name: str) -> None:
    """A script that makes tasks without end is stopped, is told so, and goes on when its owner has deleted some."""
    shape = SHAPES[name]
    async with service(clock=clock, max_tasks_per_user=3, api_contracts=shape.contracts) as client:
        client.event_hooks["response"] = []  # errors have other shapes here
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        made = [shape.task(await create(ada, shape, **{"Idempotency-Key": f"k{n}"})) for n in range(3)]
        answer = await create(ada, shape)
        assert (answer.status_code, shape.code(answer)) == (409, "TOO_MANY_TASKS")
        assert (await ada.send("POST", shape.url(ada), json={"title": ""})).status_code == 422, "which goes before"
        assert (await create(bob, shape)).status_code == 201, "each has their own"
        again = await create(ada, shape, **{"Idempotency-Key": "k1"})
        assert again.status_code in (200, 201)
        assert shape.task(again)["id"] == made[1]["id"]
        assert (await create(ada, shape, **{"Idempotency-Key": "new"})).status_code == 409
        assert (await ada.send("DELETE", shape.url(ada, f"/{made[0]['id']}"))).is_success
        clock.advance(seconds=1)
        assert (await create(ada, shape)).status_code == 201
        assert (await create(ada, shape)).status_code == 409


async def test_tasks_of_other_processes_count_in_a_minute(service: Service, clock: FrozenClock) -> None:
    """Each process counts once a minute, so that it cannot be passed by for long."""
    settings: dict[str, Any] = {"clock": clock, "max_tasks_per_user": 3}
    async with service(**settings) as one, service(**settings) as two:
        ada = await Person.sign_up(one)
        there = Person(two, ada.email, user=ada.user, access_token=ada.access_token)
        assert (await create(ada)).status_code == 201
        for _ in range(2):
            assert (await create(there)).status_code == 201
        assert (await create(there)).status_code == 409
        clock.advance(seconds=59)
        assert (await create(ada)).status_code == 201, "one more, by the count of a minute ago"
        clock.advance(seconds=1)
        assert (await create(ada)).status_code == 409


async def test_there_may_be_no_limit(service: Service) -> None:
    """Whoever runs it for themselves may have as many tasks as they like."""
    async with service(max_tasks_per_user=0) as client:
        assert (await create(await Person.sign_up(client))).status_code == 201


async def test_what_is_known_of_users_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of however many users a process knows a few counts, and whoever is forgotten is counted again."""
    monkeypatch.setattr("app.tasks.limit.USERS_KNOWN", 1)
    async with service(max_tasks_per_user=2) as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        in_turns = [(await create(person)).status_code for _ in range(3) for person in (ada, bob)]
        assert in_turns == [201, 201, 201, 201, 409, 409]


async def test_there_may_be_any_number_of_sessions(service: Service) -> None:
    """Whoever runs it for themselves may be signed in on as many devices as they like."""
    async with service(max_sessions_per_user=0) as client:
        ada = await Person.sign_up(client)
        others = [await ada.sign_in() for _ in range(3)]
        assert all([await is_signed_in(person) for person in (ada, *others)])


async def test_an_account_has_so_many_sessions(
    service: Service, clock: FrozenClock, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who signs in again and again loses the session that was used least recently, and never the new one.

    Source: ASVS 5.0 7.1.2.
    """
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 1)
    async with service(clock=clock, max_sessions_per_user=3) as client:
        ada = await Person.sign_up(client)
        people = [ada]
        for _ in range(2):
            clock.advance(seconds=1)
            people.append(await ada.sign_in())
        clock.advance(seconds=1)
        ada.keep(await ada.refresh())
        fourth = await ada.sign_in()
        assert [await is_signed_in(person) for person in (*people, fourth)] == [True, False, True, True]
        assert (await people[1].refresh()).status_code == 401
        assert len((await ada.get("/api/auth/sessions")).json()) == 3
        at_once = await asyncio.gather(*(ada.sign_in() for _ in range(6)))
        alive = [await is_signed_in(person) for person in (*people, fourth, *at_once)]
        assert sum(alive) == 3
        await fourth.sign_in()
        rows = connection.execute("SELECT count(*) FROM sessions WHERE user_id = %s", [ada.user["id"]]).fetchone()
        assert rows == (3,), "what has ended is no longer listed, and need not be kept for a list"


async def test_the_list_of_sessions_has_the_newest_hundred(service: Service, connection: psycopg.Connection) -> None:
    """Whoever has very many is answered in one small piece."""
    async with service(max_sessions_per_user=0) as client:
        ada = await Person.sign_up(client)
        connection.execute(
            "INSERT INTO sessions (user_id, id, device, token_version, created_at) "
            "SELECT %s, gen_random_uuid(), n::text, 0, now() - n * interval '1 second' FROM generate_series(1, 150) n",
            [ada.user["id"]],
        )
        listed = (await ada.get("/api/auth/sessions")).json()
        assert [session["device"] for session in listed[1:]] == [str(n) for n in range(1, 100)]
        assert listed[0]["current"]


async def test_one_account_does_not_take_every_connection(service: Service, connection: psycopg.Connection) -> None:
    """However many requests somebody sends at once, the others are answered while those wait."""
    async with service(database_pool_max=10) as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        task = await ada.add_task()
        url = f"/api/tasks/{task['id']}"

        with connection.transaction():
            connection.execute("SELECT 1 FROM tasks WHERE user_id = %s FOR UPDATE", [ada.user["id"]])
            theirs = [asyncio.create_task(ada.send("PATCH", url, json={"title": str(n)})) for n in range(40)]
            await until(lambda: held_statements(connection) == 4)
            answers = await asyncio.gather(*(bob.add_task() for _ in range(20)))
            assert len(answers) == 20
            assert held_statements(connection) == 4
        statuses = {answer.status_code for answer in await asyncio.gather(*theirs)}
        assert statuses == {200}, "they waited for their turn"
        stale = asyncio.create_task(ada.get("/api/tasks"))
        stale.cancel()
        assert (await ada.get("/api/tasks")).status_code == 200


async def test_transactions_that_wait_for_each_other_take_turns(service: Service) -> None:
    """However many transactions of one account wait for each other, the others have connections."""
    inside, gate = 0, asyncio.Event()

    async def work(_: Transaction) -> None:
        nonlocal inside
        inside += 1
        await gate.wait()

    async with service(database_pool_max=10) as client:
        database, user = app_of(client).state.database, uuid4()
        theirs = [asyncio.create_task(database.transact_in_turn(user, work)) for _ in range(10)]
        await until(lambda: inside == 4)
        assert (await Person.sign_up(client)).user["id"]
        assert inside == 4
        gate.set()
        await asyncio.gather(*theirs)
    assert inside == 10


async def test_who_gives_up_waiting_loses_nobody_a_turn() -> None:
    """Turns are exact, whoever gives up when."""
    turns, user = Turns(most=2, seconds=0.01), uuid4()
    gate, inside = asyncio.Event(), 0

    async def work() -> None:
        nonlocal inside
        if not turns.take_at_once(user):
            await turns.take(user)
        inside += 1
        assert inside <= 2
        await gate.wait()
        inside -= 1
        turns.give(user, 0)

    for _ in range(20):
        gate.clear()
        tasks = [asyncio.create_task(work()) for _ in range(6)]
        done = await asyncio.wait(tasks[2:])
        assert all(isinstance(task.exception(), TimeoutError) for task in done[0])
        late = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
        late[1].cancel()
        gate.set()
        await asyncio.gather(*tasks[:2], late[0], late[2])
        assert not turns._running
        assert not turns._lines


async def test_while_anybody_waits_an_accounts_statements_run_one_by_one() -> None:
    """Twelve requests of one account delay those beside them by one statement; four of them do not wait at all."""
    turns, user, other = Turns(most=4, seconds=5), uuid4(), uuid4()
    assert [turns.take_at_once(user) for _ in range(5)] == [True] * 4 + [False]
    waiting = [asyncio.create_task(turns.take(user)) for _ in range(2)]
    await asyncio.sleep(0)
    for begun in ([False, False], [False, False], [False, False], [True, False]):
        turns.give(user, 0.001)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == begun
        assert not turns.take_at_once(user), "who comes later goes later"
        assert turns.take_at_once(other), "others do not wait"
    turns.give(user, 0.001)
    await asyncio.gather(*waiting)
    assert [turns.take_at_once(user) for _ in range(4)] == [True] * 3 + [False], "nobody waits any more"


async def test_slow_statements_of_one_account_run_one_by_one() -> None:
    """Somebody whose statements take long does not keep all cores of the database busy, but only while they do."""
    turns, user = Turns(most=4, seconds=5), uuid4()
    assert [turns.take_at_once(user) for _ in range(5)] == [True] * 4 + [False]
    for _ in range(3):
        turns.give(user, 0.2)
    assert not turns.take_at_once(user), "one runs"
    turns.give(user, 0.2)
    assert turns.take_at_once(user), "nobody waits for what is over"
    assert turns.take_at_once(user), "what has ended is forgotten"
    turns.give(user, 0.2)
    turns.give(user, 0.01)
    assert [turns.take_at_once(user) for _ in range(5)] == [True] * 4 + [False]
