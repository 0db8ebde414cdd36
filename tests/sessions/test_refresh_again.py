"""A refresh that can be asked for again: who has its key gets the same pair, everybody else ends the session."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from app.sessions import rotation_repository
from tests.support.clock import FrozenClock
from tests.support.people import Person, is_signed_in, pair

KEY = "0123456789abcdefghijKL"
OTHER = "another-key-of-22-char"


async def test_a_lost_answer_can_be_asked_for_days_later(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """A phone whose answer was lost gets the same pair when it comes back. Source: FR-051."""
    ada = await Person.sign_up(clocked)
    lost = await ada.refresh(key=KEY)
    for minutes, left in ((0, 900), (14, 60), (2, 0), (6 * 24 * 60, 0)):
        clock.advance(minutes=minutes)
        again = await ada.refresh(key=KEY)
        assert pair(again) == pair(lost)
        assert again.json()["expires_in"] == left
    ada.keep(again)
    assert (await ada.refresh(key=OTHER)).status_code == 200


async def test_many_at_once_with_one_key_get_one_pair(ada: Person) -> None:
    """Tabs that know nothing of each other refresh at once, and all go on with one pair. Source: FR-051."""
    answers = await asyncio.gather(*(ada.refresh(key=KEY) for _ in range(10)))
    assert len({pair(answer) for answer in answers}) == 1
    assert await is_signed_in(ada.keep(answers[0]))


async def test_a_late_duplicate_is_refused_and_ends_nothing(ada: Person, connection: psycopg.Connection) -> None:
    """A duplicate that arrives after the new pair was used signs nobody out. Source: FR-051."""
    first = ada.refresh_token
    ada.keep(await ada.refresh(key=KEY))
    ada.keep(await ada.refresh(key=OTHER))
    late = await ada.refresh(first, key=KEY)
    assert (late.status_code, late.json()["code"]) == (401, "INVALID_TOKEN")
    assert await is_signed_in(ada)
    assert (await ada.refresh()).status_code == 200
    query = "SELECT DISTINCT reason FROM token_denylist WHERE user_id = %s"
    assert connection.execute(query, [ada.user["id"]]).fetchall() == [("active",)]


async def test_asked_again_just_as_the_new_pair_is_used(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tab that comes while another goes on is late, and is not told to wait. Source: FR-051."""
    first = ada.refresh_token
    ada.keep(await ada.refresh(key=KEY))
    count_again = rotation_repository.count_again

    async def count_too_late(*arguments: Any, **values: Any) -> bool:
        ada.keep(await asyncio.create_task(ada.refresh(key=OTHER)))  # of its own, as its request's id is
        return await count_again(*arguments, **values)

    monkeypatch.setattr(rotation_repository, "count_again", count_too_late)
    late = await ada.refresh(first, key=KEY)
    assert (late.status_code, late.json()["code"]) == (401, "INVALID_TOKEN")
    assert await is_signed_in(ada)


@pytest.mark.parametrize(
    ("used_with", "presented_with"), [(KEY, None), (KEY, OTHER), (KEY, KEY.swapcase()), (None, KEY), (None, None)]
)
async def test_without_the_key_it_is_reuse(ada: Person, used_with: str | None, presented_with: str | None) -> None:
    """A thief without the key ends the session, whoever comes first. Source: FR-051."""
    successor = await ada.refresh(key=used_with)
    assert (await ada.refresh(key=presented_with)).status_code == 401
    assert not await is_signed_in(ada)
    assert (await ada.refresh(pair(successor)[1], key=used_with)).status_code == 401
    assert (await ada.refresh(key=used_with)).status_code == 401


async def test_who_refreshed_a_moment_later_by_the_clock_is_no_exception(
    clocked: httpx.AsyncClient, clock: FrozenClock
) -> None:
    """A thief whose request is a moment ahead of the owner's, by clocks that differ, is found too."""
    ada = await Person.sign_up(clocked)
    successor = await ada.refresh()
    clock.advance(seconds=-1)
    assert (await ada.refresh(key=KEY)).status_code == 401
    assert not await is_signed_in(ada.keep(successor))


async def test_the_key_revives_nothing(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """Signing out is final and a token's life is a week, also for who has the key. Source: FR-012."""
    ada = await Person.sign_up(clocked)
    left = await ada.sign_in()
    await ada.refresh(key=KEY)
    await clocked.post("/api/auth/signout", json={"refresh_token": ada.refresh_token})
    assert (await ada.refresh(key=KEY)).status_code == 401
    successor = await left.refresh(key=KEY)
    clock.advance(days=7)
    assert (await left.refresh(key=KEY)).status_code == 401
    clock.advance(seconds=-2)
    assert pair(await left.refresh(key=KEY)) == pair(successor)


@pytest.mark.parametrize(
    "keys",
    [
        ["x" * 21],
        ["x" * 256],
        [""],
        ["with a space, long enough"],
        ["with-an-é-and-long-enough"],
        [KEY, KEY],
        [KEY, OTHER],
    ],
)
async def test_a_bad_key_uses_nothing_up(client: httpx.AsyncClient, ada: Person, keys: list[str]) -> None:
    """A key that could be guessed, or is sent twice, is an error that names it, and the token is still good.

    Source: FR-051.
    """
    headers = [(b"Idempotency-Key", key.encode("latin-1")) for key in keys]
    body = {"refresh_token": ada.refresh_token}
    answer = await client.post("/api/auth/refresh", json=body, headers=headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]
    assert answer.json()["detail"] == "Idempotency-Key must be sent once, with 22 to 255 visible ASCII characters"
    form = {"grant_type": "refresh_token", **body}
    answer = await client.post("/api/auth/token", data=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await ada.refresh()).status_code == 200


@pytest.mark.parametrize("key", [KEY, "~" * 255, "!" * 22])
async def test_the_oauth_endpoint_takes_the_key(client: httpx.AsyncClient, ada: Person, key: str) -> None:
    """OAuth clients may ask again too, and either endpoint knows what the other was asked. Source: FR-051."""
    form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
    answers = [await client.post("/api/auth/token", data=form, headers={"Idempotency-Key": key}) for _ in range(2)]
    answers.append(await ada.refresh(key=key))
    assert len({pair(answer) for answer in answers}) == 1


async def test_the_key_is_not_stored(ada: Person, connection: psycopg.Connection) -> None:
    """Whoever reads the database cannot ask for anybody's tokens."""
    await ada.refresh(key=KEY)
    query = "SELECT * FROM token_denylist WHERE user_id = %s"
    row: Any = connection.execute(query, [ada.user["id"]]).fetchone()
    stored = [value for value in row if isinstance(value, bytes)]
    assert sorted(len(value) for value in stored) == [8, 8, 32]
    assert KEY not in repr(row)
