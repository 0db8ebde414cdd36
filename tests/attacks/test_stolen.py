"""What somebody can do who has stolen one thing, as docs/security.md lists it."""

import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

from app.auth.principal import Principal
from app.auth.tokens import TokenCodec
from app.core.clock import system_clock
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person, is_signed_in
from tests.support.server import Service, running
from tests.support.settings import SECRET, make_settings

KEY = "k" * 22
PAGE = {"Origin": "http://localhost:3000"}
COOKIE = "__Host-refresh"
THIEF = {"User-Agent": "curl/8"}


async def test_an_access_token(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """It works for its quarter of an hour, and not for what asks for the password; signing out ends it at once."""
    ada = await Person.sign_up(clocked)
    thief = Person(clocked, ada.email, access_token=ada.access_token)
    assert (await thief.get("/api/tasks")).status_code == 200
    assert (await thief.refresh(ada.access_token)).status_code == 401
    guess = {"current_password": "wrong guess"}
    for path, body in (("password", {**guess, "new_password": "another password"}), ("me/delete", guess)):
        assert (await thief.send("POST", f"/api/auth/{path}", json=body)).json()["code"] == "WRONG_PASSWORD"
    clock.advance(minutes=14)
    assert (await thief.get("/api/tasks")).status_code == 200
    clock.advance(minutes=2)
    assert (await thief.get("/api/tasks")).status_code == 401
    ada.keep(await ada.refresh())
    thief.access_token = ada.access_token
    assert (await ada.send("POST", "/api/auth/signout")).status_code == 200
    assert (await thief.get("/api/tasks")).status_code == 401


@pytest.mark.parametrize("first", ["the owner", "the thief"])
@pytest.mark.parametrize("where", ["body", "cookie"])
async def test_a_refresh_token(service: Service, where: str, first: str) -> None:
    """Without the key it is good for one exchange: the second one, whoever's it is, ends the session for both."""
    async with service(refresh_reuse_leeway_seconds=10) as client:
        ada = await Person.sign_up(client)
        thief = Person(client, ada.email, refresh_token=ada.refresh_token)

        async def refresh(headers: dict[str, str]) -> httpx.Response:
            if where == "body":
                return await thief.refresh(headers=headers)
            client.cookies.clear()
            headers = {**headers, **PAGE, "Cookie": f"{COOKIE}={ada.refresh_token}"}
            return await client.post("/api/auth/refresh", headers=headers)

        turns = [{"Idempotency-Key": KEY}, THIEF]
        answers = [await refresh(headers) for headers in (turns if first == "the owner" else turns[::-1])]
        assert [answer.status_code for answer in answers] == [200, 401]
        assert answers[1].json()["code"] == "REFRESH_TOKEN_REUSED"
        ada.access_token = answers[0].json()["access_token"]
        assert not await is_signed_in(ada)


async def test_the_secret(service: Service) -> None:
    """It makes whoever has it anybody whose id is known, until it is changed without keeping the previous one."""
    codec = TokenCodec(SECRET, None, access_seconds=900, refresh_seconds=900)
    async with service() as client:
        ada = await Person.sign_up(client)
        user_id, now = UUID(ada.user["id"]), system_clock()
        forged = codec.issue(Principal(user_id, uuid4(), 0, now), refresh_id=uuid4(), number=1)
        thief = Person(client, ada.email, access_token=forged.access_token)
        assert (await thief.get("/api/tasks")).status_code == 200
        reset = codec.issue_reset(user_id, 0, now)
    changed: dict[str, Any] = {"better_auth_secret": "Y" + SECRET[1:], "better_auth_secret_previous": None}
    async with service(**changed) as client:
        thief.client = client
        assert (await thief.get("/api/tasks")).status_code == 401
        body = {"token": reset, "new_password": "another password"}
        assert (await client.post("/api/auth/reset", json=body)).status_code == 401
        assert (await Person(client, ada.email, PASSWORD).sign_in()).user == ada.user


async def test_a_dump(own_database_url: str) -> None:
    """All that is in the tables opens no session: no token, no key, no password; tasks and addresses can be read."""
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task("Readable")
        ada.keep(await ada.refresh(key=KEY))
        dump = whole_content(own_database_url)
        assert task["title"] in dump
        assert ada.email in dump
        for secret in (PASSWORD, KEY, ada.access_token, ada.refresh_token, *ada.refresh_token.split(".")[1:]):
            assert secret not in dump
        tried = set(re.findall(r"[\w.$/+=-]{20,}", dump))
        assert len(tried) > 3
        for value in tried:
            assert (await client.get("/api/auth/me", headers={"Authorization": f"Bearer {value}"})).status_code == 401
            assert (await client.post("/api/auth/refresh", json={"refresh_token": value})).status_code == 401
            body = {"email": ada.email, "password": value}
            assert (await client.post("/api/auth/signin", json=body)).status_code in (401, 422)


def whole_content(url: str) -> str:
    """Return every row of every table as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))).fetchall()
            for (name,) in tables
        ]
    return str(rows)
