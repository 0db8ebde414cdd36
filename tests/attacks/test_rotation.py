"""Races for one refresh token, over real HTTP on two workers."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.core]

ROUNDS = rounds(500)
THEFTS = rounds(200)
DELETIONS = rounds(100)


async def alive(person: Person) -> bool:
    return (await person.get("/api/auth/me")).status_code == 200


@pytest.mark.parametrize("keys", ["no keys", "different keys"])
async def test_of_fifty_at_once_one_wins_and_the_sign_in_ends_many_times(http: httpx.AsyncClient, keys: str) -> None:
    """However many race for one refresh token, one gets a pair, and the session is over.

    Source: FR-051.
    """
    ada = await Person.sign_up(http)
    outcomes: Counter[tuple[int, ...]] = Counter()
    survivors = 0
    for _ in range(ROUNDS):
        thief = await ada.sign_in()
        chosen = [uuid4().hex if keys == "different keys" else None for _ in range(50)]
        answers = await asyncio.gather(*(thief.refresh(key=key) for key in chosen))
        outcomes[tuple(sorted(a.status_code for a in answers))] += 1
        winner = next((a for a in answers if a.status_code == 200), None)
        assert winner is not None
        survivors += await alive(thief) or await alive(thief.keep(winner))
        survivors += (await thief.refresh()).status_code != 401
    assert outcomes == {(200,) + (401,) * 49: ROUNDS}
    assert survivors == 0
    print(f"{ROUNDS} rounds of 50 refreshes, {keys}: 1 winner each, 0 survivors, 0 errors")


async def test_fifty_at_once_with_one_key_get_one_pair_many_times(http: httpx.AsyncClient) -> None:
    """However many tabs share a key, all get one pair, and nobody is signed out; a thief's use still ends it.

    Source: FR-051.
    """
    ada = await Person.sign_up(http)
    pairs: Counter[int] = Counter()
    survivors = 0
    for _ in range(ROUNDS):
        person, key = await ada.sign_in(), uuid4().hex
        stolen = person.refresh_token
        answers = await asyncio.gather(*(person.refresh(key=key) for _ in range(50)))
        pairs[len({(answer.status_code, answer.json()["refresh_token"]) for answer in answers})] += 1
        assert await alive(person.keep(answers[0]))
        assert (await person.refresh(stolen)).status_code == 401
        survivors += await alive(person) or (await person.refresh(key=key)).status_code == 200
    assert pairs == {1: ROUNDS}
    assert survivors == 0
    print(f"{ROUNDS} rounds of 50 refreshes with one key: 1 pair each; {ROUNDS} thefts of the used token: 0 survivors")


@pytest.mark.parametrize("keys", ["no keys", "the victim's key"])
@pytest.mark.parametrize("order", ["thief first", "victim first", "at once"])
async def test_theft_is_detected_in_every_order_many_times(http: httpx.AsyncClient, order: str, keys: str) -> None:
    """A stolen token is worth nothing once both have used it, and another session is untouched.

    Source: FR-051.
    """
    key = uuid4().hex if keys == "the victim's key" else None
    ada = await Person.sign_up(http)
    other = await ada.sign_in()
    detected = 0
    for _ in range(THEFTS):
        stolen = (await ada.sign_in()).refresh_token
        first, second = Person(http, ada.email), Person(http, ada.email)
        mine, theirs = (None, key) if order == "thief first" else (key, None)
        if order == "at once":
            answers = list(await asyncio.gather(first.refresh(stolen, key=mine), second.refresh(stolen, key=theirs)))
        else:
            answers = [await first.refresh(stolen, key=mine), await second.refresh(stolen, key=theirs)]
        assert sorted(a.status_code for a in answers) == [200, 401]
        winner = first.keep(next(a for a in answers if a.status_code == 200))
        detected += not await alive(winner) and (await winner.refresh()).status_code == 401
        assert (await first.refresh(stolen, key=key)).status_code == 401
    assert detected == THEFTS
    assert await alive(other)
    print(f"{order}, {keys}: reuse detected in {detected} of {THEFTS}")


async def test_nothing_survives_a_sign_out_that_races_a_refresh_many_times(http: httpx.AsyncClient) -> None:
    """Signing out is final, though a refresh races it, with a key or without. Source: FR-051."""
    ada = await Person.sign_up(http)
    survivors, won = 0, 0
    for number in range(THEFTS):
        person, key = await ada.sign_in(), uuid4().hex if number % 2 else None
        stale = person.refresh_token
        out = http.post("/api/auth/signout", json={"refresh_token": stale})
        signed_out, refreshed = await asyncio.gather(out, person.refresh(key=key))
        assert signed_out.status_code == 200
        assert refreshed.status_code in (200, 401)
        if refreshed.status_code == 200:
            won += 1
            person.keep(refreshed)
        survivors += await alive(person) or (await person.refresh(stale, key=key)).status_code == 200
        survivors += (await person.refresh(key=key)).status_code == 200
    assert survivors == 0
    print(f"{THEFTS} races of sign-out against refresh ({won} refreshed first): 0 survivors")


async def test_a_user_deleted_while_refreshing_is_no_error_many_times(
    http: httpx.AsyncClient, connection: psycopg.Connection
) -> None:
    """Deleting an account in the middle of its refresh is no server error."""
    seen: Counter[int] = Counter()
    for _ in range(DELETIONS):
        person = await Person.sign_up(http)
        gone = asyncio.to_thread(connection.execute, "DELETE FROM users WHERE id = %s", [person.user["id"]])
        answer, _ = await asyncio.gather(person.refresh(), gone)
        seen[answer.status_code] += 1
        assert (await person.refresh()).status_code == 401
    assert set(seen) <= {200, 401}
    print(f"{DELETIONS} deletions against refreshes: {dict(seen)}")


async def test_with_leeway_many_at_once_get_one_successor(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, two_workers: Server
) -> None:
    """With a leeway all who refresh at once get the same bytes, from either worker."""
    folder = tmp_path_factory.mktemp("leeway")
    settings: dict[str, Any] = {"DATABASE_URL": database_url, "WORKERS": "2", "REFRESH_REUSE_LEEWAY_SECONDS": "30"}
    with serving(folder, **settings) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            ada = await Person.sign_up(client)
            for _ in range(50):
                parent = ada.refresh_token
                answers = await asyncio.gather(*(ada.refresh() for _ in range(20)))
                assert {a.status_code for a in answers} == {200}
                assert len({(a.json()["access_token"], a.json()["refresh_token"]) for a in answers}) == 1
                ada.keep(answers[0])
            await ada.refresh()
            assert (await ada.refresh(parent)).status_code == 401, "a grandparent is reuse"
            assert (await ada.refresh()).status_code == 401
    print("50 rounds of 20 refreshes within the leeway: 1 successor each")


async def test_pruning_under_load_disturbs_nobody(http: httpx.AsyncClient, connection: psycopg.Connection) -> None:
    """Nobody's refresh fails while expired rows are deleted."""
    people = [await Person.sign_up(http) for _ in range(20)]
    connection.execute(
        "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
        "SELECT gen_random_uuid(), gen_random_uuid(), users, 'used', now(), now() - interval '1 hour' "
        "FROM unnest(%s::uuid[]) AS users, generate_series(1, 50)",
        [[person.user["id"] for person in people]],
    )

    async def live(person: Person) -> None:
        for _ in range(40):
            answer = await person.refresh()
            assert answer.status_code == 200
            person.keep(answer)

    await asyncio.gather(*(live(person) for person in people))
    query = "SELECT count(*) FROM token_denylist WHERE expires_at < now() - interval '30 minutes'"
    left = connection.execute(query).fetchone()
    assert left is not None
    assert left[0] < 300  # of 1,000: a rotation in eight prunes, by chance
