"""Rotation: each refresh token is good for one use, and using one twice ends its session."""

import asyncio

import httpx
import psycopg
import pytest
from jose import jwt

from tests.support.clock import FrozenClock
from tests.support.people import Person, is_signed_in
from tests.support.server import Service
from tests.support.settings import SECRET

pytestmark = pytest.mark.core


async def test_a_refresh_gives_a_new_pair_of_the_same_sign_in(client: httpx.AsyncClient, ada: Person) -> None:
    """A client stays signed in by refreshing: each time a new pair of the same session.

    Source: FR-009, FR-010, FR-011.
    """
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
    """A token that is used twice was stolen: every token of its session is invalid from then on, other sessions go on.

    The denial is committed although the response is an error.
    """
    other = await ada.sign_in()
    first = ada.refresh_token
    ada.keep(await ada.refresh())
    assert await is_signed_in(ada)
    answer = await ada.refresh(first)
    assert answer.status_code == 401
    assert answer.json()["code"] == "REFRESH_TOKEN_REUSED"
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert not await is_signed_in(ada)
    assert (await ada.refresh()).json()["code"] == "INVALID_TOKEN"
    assert await is_signed_in(other)
    assert (await other.refresh()).status_code == 200
    reasons = connection.execute(
        "SELECT reason, count(*) FROM token_denylist WHERE user_id = %s GROUP BY 1", [ada.user["id"]]
    ).fetchall()
    assert dict(reasons) == {"active": 1, "reused": 1}


async def test_any_ancestor_presented_again_is_reuse(client: httpx.AsyncClient, ada: Person) -> None:
    """However long ago a token was used, using it again ends the session."""
    tokens = [ada.refresh_token]
    for _ in range(3):
        tokens.append(ada.keep(await ada.refresh()).refresh_token)
    for token in (tokens[0], *reversed(tokens)):
        assert (await ada.refresh(token)).status_code == 401


async def test_of_many_at_once_one_wins_and_the_sign_in_is_over(
    client: httpx.AsyncClient, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that many refresh at once makes one new pair, and one event in the log."""
    answers = await asyncio.gather(*(ada.refresh() for _ in range(10)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 9
    winner = next(a for a in answers if a.status_code == 200)
    assert (await ada.refresh(winner.json()["refresh_token"])).status_code == 401
    assert sum(r.getMessage() == "refresh_reuse_detected" for r in caplog.records) == 1
    assert sum(a.json().get("code") == "REFRESH_TOKEN_REUSED" for a in answers) == 1


async def test_tokens_say_when_somebody_last_signed_in(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """However often a session is refreshed, its tokens say when a password was given; a new one is a new time."""
    ada = await Person.sign_up(clocked)
    began = int(clock().timestamp())
    for number in (1, 2, 3):
        said = jwt.get_unverified_claims(ada.refresh_token)
        assert (said["seq"], said["auth_time"], said["aud"]) == (number, began, ["refresh"])
        clock.advance(hours=1)
        ada.keep(await ada.refresh())
    body = {"current_password": ada.password, "new_password": "another battery staple 5"}
    ada.keep(await ada.send("POST", "/api/auth/password", json=body))
    said = jwt.get_unverified_claims(ada.refresh_token)
    assert (said["seq"], said["auth_time"]) == (5, int(clock().timestamp()))


async def test_an_expired_token_is_refused_without_consequence(
    clocked: httpx.AsyncClient, clock: FrozenClock, connection: psycopg.Connection
) -> None:
    """Whoever comes back after a week signs in again: an expired token is no sign of theft, and writes no row."""
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
        "UPDATE user_state SET is_active = false WHERE user_id = %s",
        "UPDATE user_state SET token_version = token_version + 1 WHERE user_id = %s",
    ],
)
async def test_a_user_who_is_gone_keeps_no_token(
    client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection, change: str
) -> None:
    """A deleted or deactivated account is shut at once, whatever tokens it has left."""
    connection.execute(change, [ada.user["id"]])
    assert (await ada.refresh()).status_code == 401
    assert not await is_signed_in(ada)
    assert (await client.post("/api/auth/signout", headers=ada.bearer)).status_code == 200


async def test_an_access_token_does_not_refresh_and_a_refresh_token_does_not_open(
    client: httpx.AsyncClient, ada: Person
) -> None:
    """Neither token does the other's work, and mixing them up ends no session."""
    assert (await ada.refresh(ada.access_token)).status_code == 401
    answer = await client.get("/api/tasks", headers={"Authorization": f"Bearer {ada.refresh_token}"})
    assert answer.status_code == 401
    assert await is_signed_in(ada)
    assert (await ada.refresh()).status_code == 200


@pytest.mark.parametrize(
    "body", ["{}", '{"refresh_token":null}', '{"refresh_token":1}', '{"refresh_token":["a"]}', "[]"]
)
async def test_a_body_without_a_token_is_422(client: httpx.AsyncClient, body: str) -> None:
    """A client that forgets the token is told so."""
    assert (await client.post("/api/auth/refresh", content=body)).status_code == 422


@pytest.mark.parametrize("token", ["", "x", r"\u0000", r"\ud800", "a.b.c", "x" * 60_000])
async def test_a_string_that_is_no_token_is_401(client: httpx.AsyncClient, token: str) -> None:
    """Any text in the place of a token is the client's error, never the server's."""
    answer = await client.post("/api/auth/refresh", content=f'{{"refresh_token":"{token}"}}')
    assert answer.status_code in (401, 422)
    assert answer.status_code == 401 or token == r"\ud800"


async def test_no_token_is_stored(client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection) -> None:
    """Whoever reads the database finds no token in it."""
    token = ada.refresh_token
    await ada.refresh()
    rows = connection.execute("SELECT d::text FROM token_denylist d WHERE user_id = %s", [ada.user["id"]]).fetchall()
    assert len(rows) == 1
    assert all(part not in rows[0][0] for part in token.split("."))


async def test_a_changed_secret_signs_nobody_out(service: Service) -> None:
    """An operator can change the secret without signing anybody out."""
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
