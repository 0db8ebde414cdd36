"""Races for one refresh token, over real HTTP on two workers."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import psycopg
import pytest

from tests.support import Person, Server, serving

pytestmark = pytest.mark.slow


async def alive(person: Person) -> bool:
    return (await person.get("/api/auth/me")).status_code == 200


async def test_of_fifty_at_once_one_wins_and_the_sign_in_ends_500_times(http: httpx.AsyncClient) -> None:
    """B4, B5: exactly one winner each time, the sign-in dead afterwards, no errors."""
    ada = await Person.sign_up(http)
    outcomes: Counter[tuple[int, ...]] = Counter()
    survivors = 0
    for _ in range(500):
        thief = await ada.sign_in()
        answers = await asyncio.gather(*(thief.refresh() for _ in range(50)))
        outcomes[tuple(sorted(a.status_code for a in answers))] += 1
        winner = next((a for a in answers if a.status_code == 200), None)
        assert winner is not None
        survivors += await alive(thief) or await alive(thief.keep(winner))
        survivors += (await thief.refresh()).status_code != 401
    assert outcomes == {(200,) + (401,) * 49: 500}
    assert survivors == 0
    print("500 rounds of 50 refreshes: 1 winner each, 0 survivors, 0 errors")


@pytest.mark.parametrize("order", ["thief first", "victim first", "at once"])
async def test_theft_is_detected_in_every_order_200_times(http: httpx.AsyncClient, order: str) -> None:
    """B6, B7, B8: whoever comes second ends it for both; another sign-in is untouched."""
    ada = await Person.sign_up(http)
    other = await ada.sign_in()
    detected = 0
    for _ in range(200):
        stolen = (await ada.sign_in()).refresh_token
        first, second = Person(http, ada.email), Person(http, ada.email)
        if order == "at once":
            answers = list(await asyncio.gather(first.refresh(stolen), second.refresh(stolen)))
        else:
            answers = [await first.refresh(stolen), await second.refresh(stolen)]
        assert sorted(a.status_code for a in answers) == [200, 401]
        winner = first.keep(next(a for a in answers if a.status_code == 200))
        detected += not await alive(winner) and (await winner.refresh()).status_code == 401
    assert detected == 200
    assert await alive(other)
    print(f"{order}: reuse detected in {detected} of 200")


async def test_nothing_survives_a_sign_out_that_races_a_refresh_200_times(http: httpx.AsyncClient) -> None:
    """B13."""
    ada = await Person.sign_up(http)
    survivors, won = 0, 0
    for _ in range(200):
        person = await ada.sign_in()
        out = http.post("/api/auth/signout", json={"refresh_token": person.refresh_token})
        signed_out, refreshed = await asyncio.gather(out, person.refresh())
        assert signed_out.status_code == 200
        assert refreshed.status_code in (200, 401)
        if refreshed.status_code == 200:
            won += 1
            person.keep(refreshed)
        survivors += await alive(person) or (await person.refresh()).status_code == 200
    assert survivors == 0
    print(f"200 races of sign-out against refresh ({won} refreshed first): 0 survivors")


async def test_a_user_deleted_while_refreshing_is_no_error_100_times(
    http: httpx.AsyncClient, connection: psycopg.Connection
) -> None:
    """B22: the foreign key never fails."""
    seen: Counter[int] = Counter()
    for _ in range(100):
        person = await Person.sign_up(http)
        gone = asyncio.to_thread(connection.execute, "DELETE FROM users WHERE id = %s", [person.user["id"]])
        answer, _ = await asyncio.gather(person.refresh(), gone)
        seen[answer.status_code] += 1
        assert (await person.refresh()).status_code == 401
    assert set(seen) <= {200, 401}
    print(f"100 deletions against refreshes: {dict(seen)}")


async def test_with_leeway_many_at_once_get_one_successor(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, two_workers: Server
) -> None:
    """B23, B24: byte for byte over two workers; the chain does not fork."""
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
    """B27."""
    connection.execute(
        "INSERT INTO token_denylist SELECT gen_random_uuid(), gen_random_uuid(), id, 'used', now(), "
        "now() - interval '1 hour' FROM (SELECT id FROM users LIMIT 1) u, generate_series(1, 2000)"
    )
    people = [await Person.sign_up(http) for _ in range(20)]

    async def live(person: Person) -> None:
        for _ in range(20):
            answer = await person.refresh()
            assert answer.status_code == 200
            person.keep(answer)

    await asyncio.gather(*(live(person) for person in people))
    query = "SELECT count(*) FROM token_denylist WHERE expires_at < now() - interval '30 minutes'"
    assert connection.execute(query).fetchone() == (0,)
