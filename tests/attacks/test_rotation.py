"""Races for one refresh token, over real HTTP on two workers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.core.config import Settings
from app.core.database.pool import Database
from app.sessions.denylist import delete_expired_tokens
from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.core]

ROUNDS = rounds(500)
THEFTS = rounds(200)
DELETIONS = rounds(100)


OWNER, THIEF = {"User-Agent": "Firefox/140.0"}, {"User-Agent": "curl/8"}


@pytest.fixture(scope="session")
def lenient_workers(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lenient")
    settings = {"WORKERS": "2", "LOG_LEVEL": "WARNING", "REFRESH_REUSE_LEEWAY_SECONDS": "10"}
    with serving(folder, wait=True, DATABASE_URL=database_url, **settings) as server:
        yield server


@pytest.fixture(params=["two_workers", "lenient_workers"], ids=["no leeway", "leeway of 10 s"])
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """A client of two workers that are strict, and of two with the leeway that is the default."""
    url = request.getfixturevalue(request.param).url
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60, headers=OWNER) as client:
        yield client


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
        agents = [{"User-Agent": f"thief {number}"} for number in range(50)]
        answers = await asyncio.gather(
            *(thief.refresh(key=key, headers=agent) for key, agent in zip(chosen, agents, strict=True))
        )
        outcomes[tuple(sorted(a.status_code for a in answers))] += 1
        winner = next((a for a in answers if a.status_code == 200), None)
        assert winner is not None
        survivors += await alive(thief) or await alive(thief.keep(winner))
        survivors += (await thief.refresh(headers=THIEF)).status_code != 401
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
        assert (await person.refresh(stolen, headers=THIEF)).status_code == 401
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
            turns = first.refresh(stolen, key=mine), second.refresh(stolen, key=theirs, headers=THIEF)
            answers = list(await asyncio.gather(*turns))
        else:
            answers = [
                await first.refresh(stolen, key=mine),
                await second.refresh(stolen, key=theirs, headers=THIEF),
            ]
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


async def test_with_leeway_many_at_once_get_one_successor(lenient_workers: Server) -> None:
    """With a leeway all who refresh at once get the same bytes, from either worker."""
    async with httpx.AsyncClient(base_url=lenient_workers.url, timeout=60) as client:
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


async def test_fifty_beside_a_new_password_leave_only_its_pair_many_times(http: httpx.AsyncClient) -> None:
    """However many race for a token while the password changes, the new pair is good, and nothing else is.

    Unless they were first: then their reuse has ended the session, and the password stays. Source: FR-051, FR-054.
    """
    lost, living, met = 0, 0, Counter[int]()
    for number in range(max(1, ROUNDS // 5)):
        ada = await Person.sign_up(http)
        token = ada.refresh_token

        async def change(person: Person = ada, wait: float = number % 10 / 1000) -> httpx.Response:
            await asyncio.sleep(wait)
            body = {"current_password": person.password, "new_password": "another battery staple 5"}
            return await person.send("POST", "/api/auth/password", json=body)

        racing = (ada.refresh(token, headers={"User-Agent": f"thief {one}"}) for one in range(50))
        changed, *answers = await asyncio.gather(change(), *racing)
        met[changed.status_code] += 1
        assert {answer.status_code for answer in answers} <= {200, 401}
        for answer in answers:
            if answer.status_code == 200:
                living += await alive(Person(http, ada.email).keep(answer))
        if changed.status_code == 200:
            ada.keep(changed)
            lost += not await alive(ada)
            lost += (await ada.refresh()).status_code != 200
        else:
            assert changed.status_code == 401
            living += await alive(ada)
    assert (lost, living) == (0, 0)
    print(f"50 refreshes beside a change of the password: {dict(met)}, 0 new pairs lost, 0 old ones good")


async def test_pruning_under_load_disturbs_nobody(
    http: httpx.AsyncClient, connection: psycopg.Connection, settings: Settings
) -> None:
    """Nobody's refresh fails while expired rows are deleted."""
    people = [await Person.sign_up(http) for _ in range(20)]
    ids = [person.user["id"] for person in people]
    connection.execute(
        "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
        "SELECT gen_random_uuid(), gen_random_uuid(), users, 'used', now(), now() - interval '1 hour' "
        "FROM unnest(%s::uuid[]) AS users, generate_series(1, 50)",
        [ids],
    )

    async def live(person: Person) -> None:
        for _ in range(40):
            answer = await person.refresh()
            assert answer.status_code == 200
            person.keep(answer)

    async def prune() -> None:
        database = Database(settings.dsn, pool_min=1, pool_max=1)
        await database.open()
        assert sum([deleted async for deleted in delete_expired_tokens(database, batch=3)]) >= 1000
        await database.close()

    await asyncio.gather(prune(), *(live(person) for person in people))
    query = "SELECT count(*) FROM token_denylist WHERE expires_at < now() AND user_id = ANY (%s)"
    assert connection.execute(query, [ids]).fetchone() == (0,)
