"""Rotation: each refresh token is good for one use, and reuse ends its sign-in."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest
from jose import jwt

from app.auth import denylist as denylist_repository
from app.core.database.pool import DatabaseUnavailable
from tests.conftest import Service
from tests.support import SECRET, FrozenClock, Person, make_settings, running


async def is_signed_in(person: Person) -> bool:
    answer = await person.get("/api/auth/me")
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def test_a_refresh_gives_a_new_pair_of_the_same_sign_in(client: httpx.AsyncClient, ada: Person) -> None:
    """FR-009 to FR-011; B1, B18."""
    answer = await ada.refresh()
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    before, after = (
        jwt.get_unverified_claims(ada.refresh_token),
        jwt.get_unverified_claims(answer.json()["refresh_token"]),
    )
    assert before["jti"] != after["jti"]
    assert (before["sid"], before["sub"]) == (after["sid"], after["sub"])
    assert after["exp"] - after["iat"] == 7 * 86400
    assert jwt.get_unverified_claims(answer.json()["access_token"])["exp"] - after["iat"] == 15 * 60
    assert await is_signed_in(ada.keep(answer))
    assert (await ada.refresh()).status_code == 200


async def test_reuse_ends_the_sign_in_and_no_other(
    client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection
) -> None:
    """B2, B9, B12: it survives its own 401; every token of the sign-in is dead from that moment."""
    other = await ada.sign_in()
    first = ada.refresh_token
    ada.keep(await ada.refresh())
    assert await is_signed_in(ada)
    answer = await ada.refresh(first)
    assert answer.status_code == 401
    assert answer.json()["code"] == "INVALID_TOKEN"
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not await is_signed_in(ada)
    assert (await ada.refresh()).status_code == 401
    assert await is_signed_in(other)
    assert (await other.refresh()).status_code == 200
    reasons = connection.execute(
        "SELECT reason, count(*) FROM token_denylist WHERE user_id = %s GROUP BY 1", [ada.user["id"]]
    ).fetchall()
    assert dict(reasons) == {"used": 2, "reused": 1}


async def test_any_ancestor_presented_again_is_reuse(client: httpx.AsyncClient, ada: Person) -> None:
    """B3."""
    tokens = [ada.refresh_token]
    for _ in range(3):
        tokens.append(ada.keep(await ada.refresh()).refresh_token)
    for token in (tokens[0], *reversed(tokens)):
        assert (await ada.refresh(token)).status_code == 401


async def test_of_many_at_once_one_wins_and_the_sign_in_is_over(
    client: httpx.AsyncClient, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """B4, B5, H5: one event for one incident."""
    answers = await asyncio.gather(*(ada.refresh() for _ in range(10)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 9
    winner = next(a for a in answers if a.status_code == 200)
    assert (await ada.refresh(winner.json()["refresh_token"])).status_code == 401
    assert sum(r.getMessage() == "refresh_reuse_detected" for r in caplog.records) == 1


async def test_within_the_leeway_the_same_successor_is_given_again(service: Service, clock: FrozenClock) -> None:
    """B23, B24: byte for byte, while the successor is unused."""
    async with service(clock=clock, refresh_reuse_leeway_seconds=10) as client:
        ada = await Person.sign_up(client)
        clock.advance(seconds=1)
        first = await ada.refresh()
        clock.advance(seconds=9.5)
        answers = await asyncio.gather(*(ada.refresh() for _ in range(5)))
        pairs = [{**a.json(), "expires_in": 0} for a in (first, *answers)]
        assert all(pair == pairs[0] for pair in pairs)
        parent = ada.refresh_token
        ada.keep(first)
        assert await is_signed_in(ada)
        clock.advance(seconds=0.1)
        ada.keep(await ada.refresh())
        assert (await ada.refresh(parent)).status_code == 401, "the successor was used: a grandparent is reuse"
        assert (await ada.refresh()).status_code == 401


async def test_after_the_leeway_it_is_reuse(service: Service, clock: FrozenClock) -> None:
    """B23."""
    async with service(clock=clock, refresh_reuse_leeway_seconds=10) as client:
        ada = await Person.sign_up(client)
        successor = await ada.refresh()
        clock.advance(seconds=10.5)
        assert (await ada.refresh()).status_code == 401
        assert (await ada.refresh(successor.json()["refresh_token"])).status_code == 401


async def test_the_leeway_does_not_revive_what_was_signed_out(service: Service, clock: FrozenClock) -> None:
    """B11."""
    async with service(clock=clock, refresh_reuse_leeway_seconds=60) as client:
        ada = await Person.sign_up(client)
        successor = (await ada.refresh()).json()["refresh_token"]
        await client.post("/api/auth/signout", json={"refresh_token": successor})
        assert (await ada.refresh()).status_code == 401
        assert (await ada.refresh(successor)).status_code == 401


async def test_an_expired_token_is_refused_without_consequence(
    clocked: httpx.AsyncClient, clock: FrozenClock, connection: psycopg.Connection
) -> None:
    """B20: at the very second, and no row is written."""
    ada = await Person.sign_up(clocked)
    issued_at = jwt.get_unverified_claims(ada.refresh_token)["iat"]
    clock.moment = clock.moment.fromtimestamp(issued_at + 7 * 86400, clock.moment.tzinfo)
    assert (await ada.refresh()).status_code == 401
    query = "SELECT count(*) FROM token_denylist WHERE user_id = %s"
    assert connection.execute(query, [ada.user["id"]]).fetchone() == (0,)
    clock.advance(seconds=-1)
    assert (await ada.refresh()).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM users WHERE id = %s",
        "UPDATE users SET is_active = false WHERE id = %s",
        "UPDATE users SET token_version = token_version + 1 WHERE id = %s",
    ],
)
async def test_a_user_who_is_gone_keeps_no_token(
    client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection, change: str
) -> None:
    """B21, D12."""
    connection.execute(change, [ada.user["id"]])
    assert (await ada.refresh()).status_code == 401
    assert not await is_signed_in(ada)
    assert (await client.post("/api/auth/signout", headers=ada.bearer)).status_code == 200


async def test_an_access_token_does_not_refresh_and_a_refresh_token_does_not_open(
    client: httpx.AsyncClient, ada: Person
) -> None:
    """A13, A14: and nothing is revoked by the mistake."""
    assert (await ada.refresh(ada.access_token)).status_code == 401
    answer = await client.get("/api/tasks", headers={"Authorization": f"Bearer {ada.refresh_token}"})
    assert answer.status_code == 401
    assert await is_signed_in(ada)
    assert (await ada.refresh()).status_code == 200


@pytest.mark.parametrize(
    "body", ["{}", '{"refresh_token":null}', '{"refresh_token":1}', '{"refresh_token":["a"]}', "[]"]
)
async def test_a_body_without_a_token_is_422(client: httpx.AsyncClient, body: str) -> None:
    """B29."""
    assert (await client.post("/api/auth/refresh", content=body)).status_code == 422


@pytest.mark.parametrize("token", ["", "x", r"\u0000", r"\ud800", "a.b.c", "x" * 60_000])
async def test_a_string_that_is_no_token_is_401(client: httpx.AsyncClient, token: str) -> None:
    """B29, A31."""
    answer = await client.post("/api/auth/refresh", content=f'{{"refresh_token":"{token}"}}')
    assert answer.status_code in (401, 422)
    assert answer.status_code == 401 or token == r"\ud800"


async def test_every_rotation_deletes_a_few_expired_rows(own_database_url: str) -> None:
    """B26: whoever put them there, until none is left."""
    count = "SELECT count(*) FROM token_denylist WHERE expires_at <= now()"
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        async with running(make_settings(own_database_url)) as client:
            ada = await Person.sign_up(client)
            ada.keep(await ada.refresh())
            connection.execute(
                "INSERT INTO token_denylist SELECT gen_random_uuid(), gen_random_uuid(), id, 'used', now(), "
                "now() - interval '1 hour' FROM users, generate_series(1, 9)"
            )
            left = []
            for _ in range(3):
                ada.keep(await ada.refresh())
                left.append(connection.execute(count).fetchone())
    assert left == [(4,), (0,), (0,)]


async def test_a_rotation_is_answered_though_pruning_fails(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is used: whoever has it must get its successor."""

    async def fail(*args: Any, **options: Any) -> int:
        raise DatabaseUnavailable

    insert_used_token = denylist_repository.insert_used_token

    async def with_expired_rows(*args: Any, **options: Any) -> denylist_repository.Rotation:
        return (await insert_used_token(*args, **options))._replace(expired=True)

    monkeypatch.setattr(denylist_repository, "insert_used_token", with_expired_rows)
    monkeypatch.setattr(denylist_repository, "delete_expired_tokens", fail)
    assert (await ada.refresh()).status_code == 200


async def test_no_token_is_stored(client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection) -> None:
    """B28."""
    token = ada.refresh_token
    await ada.refresh()
    rows = connection.execute("SELECT d::text FROM token_denylist d WHERE user_id = %s", [ada.user["id"]]).fetchall()
    assert len(rows) == 1
    assert all(part not in rows[0][0] for part in token.split("."))


async def test_a_changed_secret_signs_nobody_out(service: Service) -> None:
    """H13: the previous secret still verifies; without it the token is a stranger's."""
    new = "another-secret-with-many-different-characters-0123456789"
    async with service() as client:
        ada = await Person.sign_up(client)
    async with service(better_auth_secret=new, better_auth_secret_previous=None) as client:
        ada.client = client
        assert not await is_signed_in(ada)
    async with service(better_auth_secret=new, better_auth_secret_previous=SECRET) as client:
        ada.client = client
        assert await is_signed_in(ada)
        ada.keep(await ada.refresh())
    async with service(better_auth_secret=new) as client:
        ada.client = client
        assert await is_signed_in(ada)
