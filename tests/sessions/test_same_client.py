"""Refreshing several times at once: who does it from the same client is taken for one, and nobody else is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.clock import FrozenClock
from tests.support.people import Person, is_signed_in, pair
from tests.support.server import Service, app_of, client_of
from tests.support.settings import SECRET

KEY, OTHER = "0123456789abcdefghijKL", "another-key-of-22-char"
AGENT = {"User-Agent": "Firefox/140.0"}
NEXT_SECRET = "another-secret-with-many-different-characters-0123456789"


@pytest.fixture
async def lenient(service: Service, clock: FrozenClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with the leeway that is the default."""
    async with service(clock=clock, refresh_reuse_leeway_seconds=10) as client:
        client.headers.update(AGENT)
        yield client


def elsewhere(person: Person, address: str = "198.51.100.9") -> Person:
    """The same tokens at another address."""
    client = client_of(app_of(person.client), address, headers=AGENT)
    return Person(client, person.email, access_token=person.access_token, refresh_token=person.refresh_token)


async def test_the_same_successor_is_given_again(lenient: httpx.AsyncClient, clock: FrozenClock) -> None:
    """Tabs and libraries that refresh at once all go on with one pair, as long as nobody has used it."""
    ada = await Person.sign_up(lenient)
    clock.advance(seconds=1)
    first = await ada.refresh()
    clock.advance(seconds=9.5)
    answers = await asyncio.gather(*(ada.refresh() for _ in range(5)))
    assert {pair(answer) for answer in answers} == {pair(first)}
    parent = ada.refresh_token
    ada.keep(first)
    assert await is_signed_in(ada)
    clock.advance(seconds=0.1)
    ada.keep(await ada.refresh())
    assert (await ada.refresh(parent)).json()["code"] == "REFRESH_TOKEN_REUSED", "its successor was used"
    assert (await ada.refresh()).status_code == 401


async def test_after_the_leeway_it_is_reuse(lenient: httpx.AsyncClient, clock: FrozenClock) -> None:
    """The leeway ends when the setting says: then using a token again ends the session."""
    ada = await Person.sign_up(lenient)
    successor = await ada.refresh()
    clock.advance(seconds=10.5)
    assert (await ada.refresh()).status_code == 401
    assert (await ada.refresh(successor.json()["refresh_token"])).status_code == 401


async def test_the_leeway_does_not_revive_what_was_signed_out(lenient: httpx.AsyncClient) -> None:
    """Signing out is final, also within the leeway."""
    ada = await Person.sign_up(lenient)
    successor = (await ada.refresh()).json()["refresh_token"]
    await lenient.post("/api/auth/signout", json={"refresh_token": successor})
    assert (await ada.refresh()).status_code == 401
    assert (await ada.refresh(successor)).status_code == 401


@pytest.mark.parametrize("first", ["the owner", "the thief"])
@pytest.mark.parametrize("differs", ["address", "program"])
async def test_a_thief_is_found_at_once(lenient: httpx.AsyncClient, first: str, differs: str) -> None:
    """A thief at another address, or with another program, has no leeway, whoever comes first."""
    ada = await Person.sign_up(lenient)
    thief = elsewhere(ada) if differs == "address" else Person(lenient, ada.email, refresh_token=ada.refresh_token)
    agent = AGENT if differs == "address" else {"User-Agent": "curl/8"}
    turns = [ada.refresh(), thief.refresh(headers=agent)]
    answers = [await turn for turn in (turns if first == "the owner" else turns[::-1])]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[1].json()["code"] == "REFRESH_TOKEN_REUSED"
    assert not await is_signed_in(ada.keep(answers[0]))


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [("2001:db8:0:12ff::1", "2001:db8:0:1234::2", True), ("2001:db8:0:1::1", "2001:db8:0:100::1", False)],
)
async def test_an_address_counts_as_the_limits_count_it(
    lenient: httpx.AsyncClient, one: str, two: str, same: bool
) -> None:
    """A home's devices may change their IPv6 address within its prefix, as privacy extensions do."""
    ada = await Person.sign_up(lenient)
    first = await elsewhere(ada, one).refresh()
    answer = await elsewhere(ada, two).refresh()
    assert (answer.status_code == 200) is same
    assert not same or pair(answer) == pair(first)


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "Via"])
async def test_behind_a_proxy_that_is_not_trusted_nobody_has_a_leeway(lenient: httpx.AsyncClient, name: str) -> None:
    """Where all clients seem to be at one address, a thief behind the same proxy is found all the same."""
    ada = await Person.sign_up(lenient)
    proxied = {name: "for=192.0.2.1" if name == "Forwarded" else "192.0.2.1"}
    owner, thief = await ada.refresh(headers=proxied), await ada.refresh(headers=proxied)
    assert (owner.status_code, thief.json()["code"]) == (200, "REFRESH_TOKEN_REUSED")
    eve = await Person.sign_up(lenient)
    assert (await eve.refresh()).status_code == 200
    assert (await eve.refresh(headers=proxied)).json()["code"] == "REFRESH_TOKEN_REUSED"


async def test_behind_a_trusted_proxy_the_client_is_who_it_says(service: Service) -> None:
    """Behind a proxy that is named in TRUSTED_PROXIES the leeway is the client's own."""
    async with service(refresh_reuse_leeway_seconds=10, trusted_proxies="203.0.113.0/24") as client:
        ada = await Person.sign_up(client)
        one, two = ({"X-Forwarded-For": f"192.0.2.{number}", "Via": "1.1 proxy"} for number in (1, 2))
        assert pair(await ada.refresh(headers=one)) == pair(await ada.refresh(headers=one))
        assert (await ada.refresh(headers=two)).json()["code"] == "REFRESH_TOKEN_REUSED"


async def test_the_leeway_needs_no_key(lenient: httpx.AsyncClient, clock: FrozenClock) -> None:
    """A leeway holds for whoever comes with another key or none; with the key it is for ever."""
    ada = await Person.sign_up(lenient)
    first = await ada.refresh(key=KEY)
    assert pair(await ada.refresh(key=OTHER)) == pair(await ada.refresh()) == pair(first)
    clock.advance(seconds=11)
    assert pair(await elsewhere(ada).refresh(key=KEY)) == pair(first)
    assert (await ada.refresh(key=OTHER)).status_code == 401
    assert not await is_signed_in(ada)


async def test_the_client_is_known_again_after_a_change_of_the_secret(service: Service, clock: FrozenClock) -> None:
    """Changing the secret signs out nobody who refreshes in that moment, nor one whose duplicate comes late."""
    settings: dict[str, Any] = {"clock": clock, "refresh_reuse_leeway_seconds": 10}
    async with service(**settings) as client:
        ada, eve = await Person.sign_up(client), await Person.sign_up(client)
        await ada.refresh()
        first = eve.refresh_token
        eve.keep(await eve.refresh(key=KEY))
        eve.keep(await eve.refresh(key=OTHER))
    async with service(better_auth_secret=NEXT_SECRET, better_auth_secret_previous=SECRET, **settings) as client:
        ada.client = eve.client = client
        assert (await ada.refresh()).status_code == 200
        assert (await eve.refresh(first, key=KEY)).json()["code"] == "INVALID_TOKEN"
        assert await is_signed_in(eve)


async def refresh_often(person: Person, times: int) -> list[tuple[str, str]]:
    """Refresh with a key each time; return the used tokens and their keys."""
    used = []
    for number in range(times):
        key = f"{number:022}"
        used.append((person.refresh_token, key))
        person.keep(await person.refresh(key=key))
    return used


@pytest.mark.parametrize("age", [2, 8])
async def test_a_late_duplicate_of_the_last_eight_ends_nothing(ada: Person, age: int) -> None:
    """A duplicate of the owner's that was delayed on the way signs nobody out."""
    token, key = (await refresh_often(ada, 8))[-age]
    assert (await ada.refresh(token, key=key)).json()["code"] == "INVALID_TOKEN"
    assert await is_signed_in(ada)


async def test_a_duplicate_before_the_last_eight_is_reuse(ada: Person) -> None:
    """What is told of a session has a bound: a token that was used long before is taken for a stolen one."""
    token, key = (await refresh_often(ada, 9))[0]
    assert (await ada.refresh(token, key=key)).json()["code"] == "REFRESH_TOKEN_REUSED"


@pytest.mark.parametrize("minutes", [4, 6])
async def test_whoever_copied_token_and_key_is_found(
    clocked: httpx.AsyncClient, clock: FrozenClock, minutes: float
) -> None:
    """Who has copied token and key and runs ahead is found by the owner's next refresh, after five minutes.

    At another address, or with another program, at once.
    """
    for here in (True, False):
        ada = await Person.sign_up(clocked)
        token = ada.refresh_token
        thief = Person(clocked, ada.email).keep(await ada.refresh(key=KEY))
        clock.advance(seconds=10)
        thief.keep(await thief.refresh(key=OTHER))
        clock.advance(minutes=minutes)
        answer = await (ada if here else elsewhere(ada)).refresh(token, key=KEY)
        found = not here or minutes > 5
        assert answer.json()["code"] == ("REFRESH_TOKEN_REUSED" if found else "INVALID_TOKEN")
        assert await is_signed_in(thief) is not found


async def test_a_late_duplicate_needs_a_client_that_is_known(ada: Person) -> None:
    """Behind a proxy that is not trusted nobody is anybody's same client: a late duplicate is reuse."""
    proxied = {"Via": "1.1 proxy"}
    for first, later in ((proxied, {}), ({}, proxied), (proxied, proxied)):
        person = await ada.sign_in()
        token = person.refresh_token
        person.keep(await person.refresh(key=KEY, headers=first))
        person.keep(await person.refresh(key=OTHER))
        assert (await person.refresh(token, key=KEY, headers=later)).json()["code"] == "REFRESH_TOKEN_REUSED"


async def test_a_pair_that_is_given_again_is_told(ada: Person, caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees that a pair was given again, and to whom."""
    caplog.set_level("INFO")
    for _ in range(3):
        await ada.refresh(key=KEY)
    (first, _) = [record for record in caplog.records if record.getMessage() == "refresh_repeated"]
    assert str(vars(first)["user_id"]) == ada.user["id"]


async def test_a_pair_that_is_given_again_is_counted(service: Service) -> None:
    """Pairs that are given again count as exchanges do, and a full window ends nothing."""
    async with service(rate_limits="on", rate_limit_refresh_session="3/minute") as client:
        ada = await Person.sign_up(client)
        first = pair(await ada.refresh(key=KEY))
        assert [pair(await ada.refresh(key=KEY)) for _ in range(2)] == [first] * 2
        full = await ada.refresh(key=KEY)
        assert (full.status_code, full.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert 1 <= int(full.headers["retry-after"]) <= 60
        assert (await ada.refresh(first[1])).status_code == 429
        ada.access_token = first[0]
        assert await is_signed_in(ada)
        assert (await ada.refresh(key=OTHER)).json()["code"] == "REFRESH_TOKEN_REUSED", (
            "found though the window is full"
        )


async def test_a_window_ends(service: Service, clock: FrozenClock) -> None:
    """A client that refreshed too often goes on when the window is over, with the same token."""
    async with service(clock=clock, rate_limits="on", rate_limit_refresh_session="2/minute") as client:
        ada = await Person.sign_up(client)
        for _ in range(3):
            for _ in range(2):
                ada.keep(await ada.refresh())
                clock.advance(seconds=5)
            full = await ada.refresh()
            assert (full.status_code, full.headers["retry-after"]) == (429, "50")
            assert await is_signed_in(ada)
            clock.advance(seconds=50)
