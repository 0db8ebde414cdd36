"""Signing in: who gets in, and how little the others learn."""

import asyncio
import logging
from typing import Any

import httpx
import psycopg
import pytest
from passlib.hash import bcrypt, bcrypt_sha256

from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service, app_of


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD, **options: Any) -> httpx.Response:
    return await client.post("/api/auth/signin", json={"email": email, "password": password}, **options)


async def test_an_account_signs_in_with_any_case_of_its_email(client: httpx.AsyncClient, ada: Person) -> None:
    """People need not remember how they capitalised their e-mail address. Source: FR-006."""
    answer = await sign_in(client, ada.email.upper())
    assert answer.status_code == 200
    assert answer.json()["user"] == ada.user
    assert answer.json().keys() == {"user", "access_token", "refresh_token", "token_type", "expires_in"}


async def test_whoever_cannot_sign_in_gets_one_answer(
    client: httpx.AsyncClient,
    ada: Person,
    bob: Person,
    connection: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No byte and no header of the answer tells whether an account exists or is deactivated, and each is a failure."""
    caplog.set_level("INFO")
    connection.execute("UPDATE user_state SET is_active = false WHERE user_id = %s", [bob.user["id"]])
    same = {"X-Request-ID": "one"}
    wrong = await sign_in(client, ada.email, "wrong password", headers=same)
    unknown = await sign_in(client, new_email(), headers=same)
    inactive = await sign_in(client, bob.email, bob.password, headers=same)
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert wrong.json()["detail"] == "The e-mail address or the password is wrong."
    assert wrong.content == unknown.content == inactive.content
    assert wrong.headers == unknown.headers == inactive.headers
    assert caplog.messages.count("sign_in_failed") == 3


@pytest.mark.parametrize(
    "password", [r"a\u0000b", r"\ud800", "", "x" * 129, "x" * 5000, "😀" * 5000, "x" * 60_000, "\u0316\u0301" * 15_000]
)
async def test_any_string_is_a_password_and_at_worst_a_wrong_one(client: httpx.AsyncClient, password: str) -> None:
    """A typed password is right or wrong, never invalid, and so for unknown e-mail addresses."""
    person = await Person.sign_up(client)
    for email in (person.email, new_email()):
        answer = await client.post("/api/auth/signin", content=f'{{"email":"{email}","password":"{password}"}}')
        assert answer.status_code == 401, answer.text


@pytest.mark.parametrize(
    "body", ['{"email":"a@b.co"}', '{"email":"a@b.co","password":5}', '{"email":"x","password":""}']
)
async def test_what_is_no_sign_in_at_all_is_422(client: httpx.AsyncClient, body: str) -> None:
    """A client that leaves a field out, or sends another type, is told so. Source: FR-036."""
    assert (await client.post("/api/auth/signin", content=body)).status_code == 422


@pytest.mark.parametrize("old", ["plain", "weak"])
async def test_old_hashes_are_accepted_and_made_anew(
    service: Service, connection: psycopg.Connection, old: str
) -> None:
    """Accounts with a plain bcrypt hash or a lower cost sign in, and get a hash of today's cost."""
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


async def test_the_decoys_password_opens_nothing(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The hash that is verified for unknown e-mail addresses opens nothing, not even to its own password."""
    async with service() as client:
        logging.getLogger().addHandler(caplog.handler)  # starting has taken the log over
        passwords = app_of(client).state.auth.passwords
        passwords.dummy_hash = await passwords.hash(PASSWORD, client="ada")
        assert (await sign_in(client, new_email())).status_code == 401
        assert caplog.messages.count("sign_in_failed") == 1


async def test_sign_ins_beyond_the_queue_are_told_to_come_again(service: Service) -> None:
    """In a flood of sign-ins some are told to come again, and the others succeed. Source: SC-006."""
    async with service(password_hash_cost=10, hash_queue_seconds=0.2) as client:
        person = await Person.sign_up(client)
        answers = await asyncio.gather(*(sign_in(client, person.email) for _ in range(60)))
        statuses = {a.status_code for a in answers}
        assert statuses == {200, 503}
        assert "TOO_BUSY" in {a.json()["code"] for a in answers if a.status_code == 503}
        assert (await sign_in(client, person.email)).status_code == 200


@pytest.mark.slow
async def test_hashing_leaves_the_other_requests_alone(service: Service) -> None:
    """Other requests are answered while passwords are hashed."""
    async with service(password_hash_cost=11) as client:
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
    """No cache on the way keeps a token, nor an error about one."""
    for content in ("{}", "{", ""):
        answer = await client.post(f"/api/auth/{path}", content=content)
        assert answer.status_code >= 400
        assert answer.headers["cache-control"] == "no-store"


async def test_me_shows_the_account_of_the_token(client: httpx.AsyncClient, ada: Person) -> None:
    """A client can ask whose token it has. Source: FR-040."""
    assert (await ada.get("/api/auth/me")).json() == ada.user
    assert (await client.get("/api/auth/me")).headers["www-authenticate"] == "Bearer"


async def test_events_are_logged_without_secrets(
    client: httpx.AsyncClient, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator reads in the log that somebody signed in or failed to, and never a secret."""
    caplog.set_level("DEBUG")
    await sign_in(client, ada.email, "c4nary password")
    again = await ada.sign_in()
    events = [r.getMessage() for r in caplog.records if r.name == "audit"]
    assert events == ["sign_in_failed", "signed_in"]
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    for secret in ("c4nary", PASSWORD, again.access_token, again.refresh_token):
        assert secret not in logged


async def test_a_rehash_that_fails_does_not_fail_the_sign_in(
    client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """People whose hash is old sign in all the same where accounts cannot be written."""
    older = bcrypt.using(rounds=4, ident="2b").hash(PASSWORD)
    connection.execute("UPDATE users SET password_hash = %s WHERE id = %s", [older, ada.user["id"]])
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as other:
        other.execute("SELECT 1 FROM users WHERE id = %s FOR SHARE", [ada.user["id"]])
        assert (await sign_in(client, ada.email)).status_code == 200
    assert "database_unavailable" in caplog.messages
