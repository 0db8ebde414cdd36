"""Signing in."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest
from passlib.hash import bcrypt, bcrypt_sha256

from tests.conftest import Service
from tests.support import PASSWORD, Person, new_email


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD, **options: Any) -> httpx.Response:
    return await client.post("/api/auth/signin", json={"email": email, "password": password}, **options)


async def test_an_account_signs_in_with_any_case_of_its_email(client: httpx.AsyncClient, ada: Person) -> None:
    """FR-006."""
    answer = await sign_in(client, ada.email.upper())
    assert answer.status_code == 200
    assert answer.json()["user"] == ada.user
    assert answer.json().keys() == {"user", "access_token", "refresh_token", "token_type", "expires_in"}


async def test_whoever_cannot_sign_in_gets_one_answer(
    client: httpx.AsyncClient, ada: Person, bob: Person, connection: psycopg.Connection
) -> None:
    """C1: wrong password, unknown e-mail and inactive account, byte for byte and header for header."""
    connection.execute("UPDATE users SET is_active = false WHERE id = %s", [bob.user["id"]])
    same = {"X-Request-ID": "one"}
    wrong = await sign_in(client, ada.email, "wrong password", headers=same)
    unknown = await sign_in(client, new_email(), headers=same)
    inactive = await sign_in(client, bob.email, bob.password, headers=same)
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert wrong.json()["detail"] == "The e-mail address or the password is wrong."
    assert wrong.content == unknown.content == inactive.content
    assert wrong.headers == unknown.headers == inactive.headers


@pytest.mark.parametrize(
    "password", [r"a\u0000b", r"\ud800", "", "x" * 129, "x" * 5000, "😀" * 5000, "x" * 60_000, "\u0316\u0301" * 15_000]
)
async def test_any_string_is_a_password_and_at_worst_a_wrong_one(client: httpx.AsyncClient, password: str) -> None:
    """C4: 401 and never 422, for known and unknown e-mails alike."""
    person = await Person.sign_up(client)
    for email in (person.email, new_email()):
        answer = await client.post("/api/auth/signin", content=f'{{"email":"{email}","password":"{password}"}}')
        assert answer.status_code == 401, answer.text


@pytest.mark.parametrize(
    "body", ['{"email":"a@b.co"}', '{"email":"a@b.co","password":5}', '{"email":"x","password":""}']
)
async def test_what_is_no_sign_in_at_all_is_422(client: httpx.AsyncClient, body: str) -> None:
    """FR-036."""
    assert (await client.post("/api/auth/signin", content=body)).status_code == 422


@pytest.mark.parametrize("old", ["plain", "weak"])
async def test_old_hashes_are_accepted_and_made_anew(
    service: Service, connection: psycopg.Connection, old: str
) -> None:
    """C32: a plain $2b$ hash, and one of a lower cost."""
    async with service(password_hash_cost=5) as client:
        person = await Person.sign_up(client)
        scheme = bcrypt if old == "plain" else bcrypt_sha256
        connection.execute(
            "UPDATE users SET password_hash = %s WHERE id = %s",
            [scheme.using(rounds=4).hash(PASSWORD), person.user["id"]],
        )
        wrong = await client.post("/api/auth/signin", content=f'{{"email":"{person.email}","password":"\\u0000"}}')
        assert wrong.status_code == 401
        await person.sign_in()
        row = connection.execute("SELECT password_hash FROM users WHERE id = %s", [person.user["id"]]).fetchone()
        assert row is not None
        assert row[0].startswith("$bcrypt-sha256$v=2,t=2b,r=5$")
        await person.sign_in()


async def test_the_decoys_password_opens_nothing(service: Service) -> None:
    """C1: its hash is verified for unknown e-mails, and to be right is not enough."""
    async with service() as client:
        passwords = client._transport.app.state.auth.passwords  # type: ignore[attr-defined]  # httpx.ASGITransport's
        passwords.dummy_hash = await passwords.hash(PASSWORD, client="ada")
        assert (await sign_in(client, new_email())).status_code == 401


async def test_sign_ins_beyond_the_queue_are_told_to_come_again(service: Service) -> None:
    """SC-006, C31: 503 with Retry-After, and those that wait too long as well; the others succeed."""
    async with service(password_hash_cost=10, hash_queue_seconds=0.2) as client:
        person = await Person.sign_up(client)
        answers = await asyncio.gather(*(sign_in(client, person.email) for _ in range(60)))
        statuses = {a.status_code for a in answers}
        assert statuses == {200, 503}
        assert {a.json()["code"] for a in answers if a.status_code == 503} == {"TOO_BUSY"}
        assert (await sign_in(client, person.email)).status_code == 200


async def test_hashing_leaves_the_other_requests_alone(service: Service) -> None:
    """G31: the event loop goes on while passwords are hashed."""
    async with service(password_hash_cost=10) as client:
        person = await Person.sign_up(client)
        hashing = asyncio.gather(*(sign_in(client, person.email) for _ in range(8)))
        alive = 0
        while not hashing.done():
            assert (await client.get("/health/live")).status_code == 200
            alive += 1
            await asyncio.sleep(0.001)
        assert alive > 8
        assert {a.status_code for a in await hashing} == {200}


@pytest.mark.parametrize("path", ["signup", "signin", "refresh", "signout", "token"])
async def test_nothing_of_these_routes_is_ever_cached(client: httpx.AsyncClient, path: str) -> None:
    """F8: errors included."""
    for content in ("{}", "{", ""):
        answer = await client.post(f"/api/auth/{path}", content=content)
        assert answer.status_code >= 400
        assert answer.headers["cache-control"] == "no-store"


async def test_me_shows_the_account_of_the_token(client: httpx.AsyncClient, ada: Person) -> None:
    """FR-040."""
    assert (await ada.get("/api/auth/me")).json() == ada.user
    assert (await client.get("/api/auth/me")).headers["www-authenticate"] == "Bearer"


async def test_events_are_logged_without_secrets(
    client: httpx.AsyncClient, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """H1, H4."""
    caplog.set_level("DEBUG")
    await sign_in(client, ada.email, "c4nary password")
    again = await ada.sign_in()
    events = [r.getMessage() for r in caplog.records if r.name == "app.auth"]
    assert events == ["sign_in_failed", "signed_in"]
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    for secret in ("c4nary", PASSWORD, again.access_token, again.refresh_token):
        assert secret not in logged
