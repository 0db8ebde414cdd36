"""A change of the password, a reset and a deletion, each against everything else in the same moment, on two workers."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from app.auth.tokens import make_codec
from app.core.clock import system_clock
from tests.support.people import PASSWORD, Person
from tests.support.rounds import rounds
from tests.support.settings import make_settings

pytestmark = pytest.mark.slow

ROUNDS = rounds(200, least=4)
NEW = "another battery staple 5"
AT_MOST_MS = 12  # a change at this cost of hashing takes as long

Act = Callable[[Person], Awaitable[httpx.Response]]


async def change(ada: Person) -> httpx.Response:
    return await ada.send("POST", "/api/auth/password", json={"current_password": PASSWORD, "new_password": NEW})


async def delete(ada: Person) -> httpx.Response:
    return await ada.send("POST", "/api/auth/me/delete", json={"current_password": PASSWORD})


async def reset(ada: Person) -> httpx.Response:
    codec = make_codec(make_settings("postgresql://localhost/none"))
    token = codec.issue_reset(UUID(ada.user["id"]), 0, system_clock())
    return await ada.client.post("/api/auth/reset", json={"token": token, "new_password": NEW})


async def sign_out(ada: Person) -> httpx.Response:
    return await ada.send("POST", "/api/auth/signout")


async def sign_out_everywhere_else(ada: Person) -> httpx.Response:
    return await ada.send("POST", "/api/auth/signout", json={"others": True})


async def tokens_of(ada: Person, *, devices: int) -> tuple[list[Person], list[Person]]:
    """Open sessions for the race: those whose refresh token is used in it, and those that only work."""
    sessions = [await ada.sign_in() for _ in range(2 * devices)]
    return sessions[:devices], sessions[devices:]


async def race(act: Act, ada: Person) -> tuple[httpx.Response, list[Person], Counter[int]]:
    """Do it while everything else happens; return its answer, who held tokens before the answer, and what they met."""
    refreshing, working = await tokens_of(ada, devices=2)
    held = [Person(ada.client, ada.email, access_token=ada.access_token, refresh_token=ada.refresh_token)]
    held += [Person(ada.client, it.email, access_token=it.access_token) for it in refreshing] + working
    met: Counter[int] = Counter()

    async def at_some_moment(sending: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        await asyncio.sleep(random.uniform(0, AT_MOST_MS) / 1000)
        answer = await sending()
        met[answer.status_code] += 1
        if answer.status_code == 200 and "refresh_token" in answer.text:
            held.append(Person(ada.client, ada.email).keep(answer))
        return answer

    body = {"email": ada.email, "password": PASSWORD}
    others: list[Callable[[], Awaitable[httpx.Response]]] = [
        *(person.refresh for person in (refreshing if act is change else [ada, *refreshing])),
        *(lambda it=it: it.send("POST", "/api/tasks", json={"title": "x"}) for it in working),
        *(lambda it=it: it.get("/api/auth/sessions") for it in working),
        lambda: ada.client.post("/api/auth/signin", json=body),
        lambda: ada.client.post("/api/auth/signin", json=body),
    ]
    running = [asyncio.create_task(at_some_moment(sending)) for sending in others]
    await asyncio.sleep(random.uniform(0, AT_MOST_MS) / 1000)
    answer = await act(ada)
    await asyncio.gather(*running)
    return answer, held, met


async def count_living(people: list[Person]) -> int:
    """Use every token that was given before; return how many are good."""
    living = 0
    for person in people:
        living += (await person.get("/api/auth/me")).status_code != 401
        living += (await person.send("POST", "/api/tasks", json={"title": "x"})).status_code != 401
        living += bool(person.refresh_token) and (await person.refresh()).status_code != 401
    return living


async def test_a_change_of_the_password_against_everything(http: httpx.AsyncClient) -> None:
    """After the answer no token of before is good, and the new ones are, whatever happened in the same moment.

    Source: FR-054.
    """
    living, lost, met = 0, 0, Counter[int]()
    for _ in range(ROUNDS):
        ada = await Person.sign_up(http)
        answer, held, statuses = await race(change, ada)
        assert answer.status_code == 200, answer.text
        living += await count_living(held)
        new = Person(http, ada.email, NEW).keep(answer)
        lost += (await new.get("/api/auth/me")).status_code != 200
        lost += (await new.refresh()).status_code != 200
        met += statuses
    print(f"{ROUNDS} changes against {met.total()} requests {dict(met)}: {living} old tokens good, {lost} new lost")
    assert (living, lost) == (0, 0)
    assert set(met) <= {200, 201, 401}


async def test_a_change_against_a_refresh_of_its_own_session(http: httpx.AsyncClient) -> None:
    """The session in which the password is changed may be refreshed in the same moment: the new pair is not lost.

    Source: FR-054.
    """
    lost, living = 0, 0
    for _ in range(ROUNDS):
        ada = await Person.sign_up(http)
        old = Person(http, ada.email, access_token=ada.access_token, refresh_token=ada.refresh_token)

        async def refresh(person: Person = old) -> httpx.Response:
            await asyncio.sleep(random.uniform(0, AT_MOST_MS) / 1000)
            return await person.refresh()

        answer, refreshed = await asyncio.gather(change(ada), refresh())
        assert answer.status_code == 200
        held = [old] if refreshed.status_code == 401 else [old, Person(http, ada.email).keep(refreshed)]
        living += await count_living(held)
        new = Person(http, ada.email, NEW).keep(answer)
        lost += (await new.get("/api/auth/me")).status_code != 200
        lost += (await new.refresh()).status_code != 200
    print(f"{ROUNDS} changes against a refresh of the same session: {living} old tokens good, {lost} new lost")
    assert (living, lost) == (0, 0)


async def test_a_change_against_a_sign_out_of_its_own_session(http: httpx.AsyncClient) -> None:
    """Whoever signs out while the password is changed ends the session, or comes too late with a token of before.

    Such a token ends nothing: the pair of the new password goes on, as a whole. Every token of before is dead.
    Source: FR-054.
    """
    living, met, goes_on = 0, Counter[int](), Counter[int]()
    for _ in range(ROUNDS):
        ada = await Person.sign_up(http)

        async def later(act: Act, person: Person = ada) -> httpx.Response:
            await asyncio.sleep(random.uniform(0, AT_MOST_MS) / 1000)
            return await act(person)

        answer, out = await asyncio.gather(later(change), later(sign_out))
        assert out.status_code == 200
        met[answer.status_code] += 1
        living += await count_living([ada])
        if answer.status_code == 200:
            goes_on[await count_living([Person(http, ada.email).keep(answer)])] += 1
    print(f"{ROUNDS} changes against a sign-out of the same session: {dict(met)}, {living} tokens of before good")
    assert living == 0
    assert goes_on.keys() <= {0, 3}, "of three uses of the new pair"


async def test_eight_changes_at_once(http: httpx.AsyncClient) -> None:
    """Of eight changes at once, on any worker, one is made. Source: FR-054."""
    for _ in range(ROUNDS // 4):
        ada = await Person.sign_up(http)
        people = [ada, *[await ada.sign_in() for _ in range(3)]] * 2
        answers = await asyncio.gather(*(change(person) for person in people))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    print(f"{ROUNDS // 4} rounds of 8 changes at once: exactly one 200 each")


async def test_a_reset_against_everything(http: httpx.AsyncClient) -> None:
    """After a reset nobody is signed in, whatever happened in the same moment. Source: FR-056."""
    living, met = 0, Counter[int]()
    for _ in range(ROUNDS):
        ada = await Person.sign_up(http)
        answer, held, statuses = await race(reset, ada)
        assert answer.status_code == 200, answer.text
        living += await count_living(held)
        assert (await Person(http, ada.email, NEW).sign_in()).access_token
        met += statuses
    print(f"{ROUNDS} resets against {met.total()} requests {dict(met)}: {living} old tokens good")
    assert living == 0
    assert set(met) <= {200, 201, 401}


LEFT = """SELECT (SELECT count(*) FROM users WHERE id = %(id)s) + (SELECT count(*) FROM tasks WHERE user_id = %(id)s)
    + (SELECT count(*) FROM sessions WHERE user_id = %(id)s)
    + (SELECT count(*) FROM token_denylist WHERE user_id = %(id)s)"""


async def test_a_deletion_against_everything(http: httpx.AsyncClient, connection: psycopg.Connection) -> None:
    """After a deletion nothing is left and nothing opens, whatever happened in the same moment; the address is free.

    Source: FR-055.
    """
    living, left, met = 0, 0, Counter[int]()
    for _ in range(ROUNDS):
        ada = await Person.sign_up(http)
        answer, held, statuses = await race(delete, ada)
        assert answer.status_code == 200, answer.text
        living += await count_living(held)
        ((rows,),) = connection.execute(LEFT, {"id": ada.user["id"]}).fetchall()
        left += rows
        await Person.sign_up(http, email=ada.email)
        met += statuses
    print(f"{ROUNDS} deletions against {met.total()} requests {dict(met)}: {living} tokens good, {left} rows left")
    assert (living, left) == (0, 0)
    assert set(met) <= {200, 201, 401}


async def test_signing_out_everywhere_else_against_everything(http: httpx.AsyncClient) -> None:
    """After signing out everywhere else no other session of before is good, and this one goes on.

    A sign-in in the same moment may come after it. Source: FR-057.
    """
    living, lost = 0, 0
    for _ in range(ROUNDS):
        ada = await Person.sign_up(http)
        refreshing, working = await tokens_of(ada, devices=2)

        async def refresh(person: Person) -> Any:
            await asyncio.sleep(random.uniform(0, AT_MOST_MS) / 1000)
            answer = await person.refresh()
            return person.keep(answer) if answer.status_code == 200 else person

        _, *held = await asyncio.gather(sign_out_everywhere_else(ada), *(refresh(it) for it in refreshing))
        living += await count_living([*held, *refreshing, *working])
        lost += (await ada.get("/api/auth/me")).status_code != 200
        lost += (await ada.refresh()).status_code != 200
    print(f"{ROUNDS} times signing out everywhere else: {living} tokens of others good, {lost} of this session lost")
    assert (living, lost) == (0, 0)
