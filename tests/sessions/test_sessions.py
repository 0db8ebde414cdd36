"""The list of one's sessions, and ending them one by one."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.core.database.pool import Database
from app.sessions.repository import delete_old_sessions
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person, is_signed_in, new_email
from tests.support.server import Service, app_of, running
from tests.support.settings import make_settings

SESSIONS = "/api/auth/sessions"


async def listed(person: Person) -> list[dict[str, Any]]:
    answer = await person.get(SESSIONS)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def devices(person: Person) -> list[str | None]:
    return [session["device"] for session in await listed(person)]


async def end(person: Person, session_id: object) -> httpx.Response:
    return await person.send("DELETE", f"{SESSIONS}/{session_id}")


async def sign_in(person: Person, **body: Any) -> Person:
    """Sign in with a device's name, or by its User-Agent."""
    headers = body.pop("headers", {})
    sent = {"email": person.email, "password": person.password, **body}
    answer = await person.client.post("/api/auth/signin", json=sent, headers=headers)
    assert answer.status_code == 200, answer.text
    return Person(person.client, person.email, person.password).keep(answer)


async def test_one_sees_ones_sessions_newest_first(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """People see where they are signed in: device, beginning, last use, and which one asks. Source: FR-052."""
    ada = await Person.sign_up(clocked, device="laptop")
    began = clock.moment
    clock.advance(hours=1)
    telephone = await sign_in(ada, device="telephone")
    clock.advance(minutes=10)
    ada.keep(await ada.refresh())
    newest, oldest = await listed(ada)
    assert oldest == {
        "id": ada.session_id,
        "device": "laptop",
        "created_at": began.isoformat().replace("+00:00", "Z"),
        "last_used_at": clock.moment.isoformat().replace("+00:00", "Z"),
        "current": True,
        "kind": "person",
        "scopes": None,
        "expires_at": None,
    }
    assert (newest["id"], newest["device"], newest["current"]) == (telephone.session_id, "telephone", False)
    assert newest["last_used_at"] == newest["created_at"]
    assert [session["current"] for session in await listed(telephone)] == [True, False]


@pytest.mark.parametrize(
    ("body", "user_agent", "device"),
    [
        ({"device": " Ada's 📱 "}, "curl/8", " Ada's 📱 "),
        ({"device": "x" * 100}, "curl/8", "x" * 100),
        ({}, "Firefox/140.0", "Firefox/140.0"),
        ({"device": None}, "a\tb\x85c" + "d" * 200, "abc" + "d" * 97),
        ({"device": " "}, "curl/8", "curl/8"),
        ({"device": "\u3164\u2800"}, "curl/8", "curl/8"),
        ({}, "", None),
    ],
)
async def test_a_session_is_named_by_its_device_or_its_user_agent(
    ada: Person, body: dict[str, Any], user_agent: str, device: str | None
) -> None:
    """People recognise a session by the name that its client gave, or by the client. Source: FR-052."""
    agent = {"User-Agent": user_agent.encode("latin-1")}
    other = await sign_in(ada, **body, headers=agent)
    assert (await listed(other))[0]["device"] == device


@pytest.mark.parametrize("device", ["x" * 101, 5, "a\0b", ["x"]])
async def test_a_device_that_cannot_be_stored_is_the_clients_error(ada: Person, device: object) -> None:
    """A client with a name that is too long, or no text, is told so. Source: FR-052, FR-029."""
    for path in ("signin", "signup"):
        body = {"email": ada.email, "password": ada.password, "device": device}
        answer = await ada.client.post(f"/api/auth/{path}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "device")


async def test_clients_of_the_other_ways_in_are_listed_too(service: Service) -> None:
    """A session is listed however it began: by the OAuth form or by the login of a contract. Source: FR-052."""
    async with service(api_contracts="path") as client:
        ada = await Person.sign_up(client, device="first")
        form = {"grant_type": "password", "username": ada.email, "password": ada.password}
        assert (await client.post("/api/auth/token", data={**form, "device": "second"})).status_code == 200
        agent = {"User-Agent": "third"}
        assert (await client.post("/api/auth/token", data=form, headers=agent)).status_code == 200
        body = {"email": ada.email, "password": ada.password}
        assert (await client.post("/api/auth/login", json=body, headers={"User-Agent": "fourth"})).status_code == 200
        assert set(await devices(ada)) == {"first", "second", "third", "fourth"}
        refused = await client.post("/api/auth/token", data={**form, "device": "x" * 101})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


async def test_what_has_ended_is_not_listed(
    ada: Person, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People see no session that is over: signed out, ended by a reuse, or with all others. Source: FR-052."""
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 2**128)
    signed_out, reused = await sign_in(ada, device="signed out"), await sign_in(ada, device="reused")
    await signed_out.send("POST", "/api/auth/signout")
    await reused.refresh()
    assert (await reused.refresh()).status_code == 401
    assert len(await listed(ada)) == 1
    await ada.sign_in()
    await ada.send("POST", "/api/auth/signout", json={"everywhere": True})
    assert len(await listed(await ada.sign_in())) == 1
    rows = "SELECT count(*) FROM sessions WHERE user_id = %s"
    assert connection.execute(rows, [ada.user["id"]]).fetchone() == (5,)


async def test_a_session_is_listed_as_long_as_it_can_be_refreshed(
    clocked: httpx.AsyncClient, clock: FrozenClock, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is used once in six days stays in the list for weeks, and goes seven days after its last use.

    The row of a refresh tells of it: it stays until the tokens that it gave have expired, plus a day. Source: FR-052.
    """
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 2**128)  # the database's clock cannot be moved
    ada = await Person.sign_up(clocked, device="rarely used")
    for _ in range(4):
        clock.advance(days=6)
        ada.keep(await ada.refresh())
        assert await devices(ada) == ["rarely used"]
    rows = "SELECT min(expires_at - denied_at) FROM token_denylist WHERE user_id = %s"
    assert connection.execute(rows, [ada.user["id"]]).fetchone() == (timedelta(days=8),)
    clock.advance(days=6.9)
    assert "rarely used" in await devices(await sign_in(ada, device="new"))
    clock.advance(days=0.2)
    again = await sign_in(ada, device="newer")
    assert await devices(again) == ["newer", "new"]
    assert (await ada.refresh()).status_code == 401
    assert (await end(again, ada.session_id)).status_code == 404


async def test_a_session_that_is_ended_is_signed_out_at_once(ada: Person) -> None:
    """Whoever sees a strange device throws it out: its tokens are dead with the answer, and no others are.

    Source: FR-052.
    """
    strange, other = await ada.sign_in(), await ada.sign_in()
    answer = await end(ada, strange.session_id)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await strange.get("/api/tasks")).status_code == 401
    assert (await strange.refresh()).status_code == 401
    assert {session["id"] for session in await listed(ada)} == {ada.session_id, other.session_id}
    assert (await other.refresh()).status_code == 200


async def test_ending_the_session_that_asks_is_signing_out(ada: Person) -> None:
    """A client may end its own session in the list, too. Source: FR-052."""
    other = await ada.sign_in()
    assert (await end(ada, ada.session_id)).status_code == 204
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await end(ada, other.session_id)).status_code == 401
    assert len(await listed(other)) == 1


async def test_nobody_ends_or_finds_a_session_that_is_not_theirs(ada: Person, bob: Person) -> None:
    """Somebody else's session, an ended one, one that never was and no id at all are answered alike."""
    ended = await ada.sign_in()
    assert (await end(ada, ended.session_id)).status_code == 204
    same = {"X-Request-ID": "one"}
    answers = [
        await ada.send("DELETE", f"{SESSIONS}/{which}", headers=same)
        for which in (bob.session_id, ended.session_id, uuid4(), "5", "0" * 40)
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert answers[0].json()["code"] == "SESSION_NOT_FOUND"
    assert (await bob.get("/api/tasks")).status_code == 200
    assert [session["id"] for session in await listed(bob)] == [bob.session_id]


async def test_without_a_session_there_is_nothing_to_see_or_end(client: httpx.AsyncClient, ada: Person) -> None:
    """Whoever is signed out learns nothing of the sessions, not even which there are. Source: FR-030."""
    other = await ada.sign_in()
    await ada.send("POST", "/api/auth/signout")
    for which in (other.session_id, uuid4()):
        assert (await end(ada, which)).json()["code"] == "INVALID_TOKEN"
    assert (await ada.get(SESSIONS)).status_code == 401
    assert (await client.get(SESSIONS)).status_code == 401
    assert (await client.delete(f"{SESSIONS}/{other.session_id}")).json()["code"] == "NOT_AUTHENTICATED"
    assert (await other.get("/api/tasks")).status_code == 200


@pytest.mark.parametrize("meanwhile", ["password_version = password_version + 1", "is_active = false"])
async def test_an_account_that_changes_while_the_password_is_verified_opens_no_session(
    ada: Person, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A sign-in that overlaps with a new password, or with the closing of the account, is refused as a wrong one."""
    hasher = app_of(ada.client).state.auth.passwords
    verify = hasher.verify

    async def verify_late(*values: Any, **options: Any) -> Any:
        verified = await verify(*values, **options)
        connection.execute(f"UPDATE user_state SET {meanwhile} WHERE user_id = %s".encode(), [ada.user["id"]])
        return verified

    monkeypatch.setattr(hasher, "verify", verify_late)
    answer = await ada.client.post("/api/auth/signin", json={"email": ada.email, "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")
    rows = "SELECT count(*) FROM sessions WHERE user_id = %s"
    assert connection.execute(rows, [ada.user["id"]]).fetchone() == (1,)


async def test_no_session_begins_that_cannot_be_written_down(own_database_url: str) -> None:
    """There is no session that its owner could not see and end: if it cannot be written, signing in is a 503."""
    body = {"email": new_email(), "password": PASSWORD}
    async with running(make_settings(own_database_url)) as client:
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            admin.execute("ALTER TABLE sessions RENAME TO elsewhere")
            for path in ("signup", "signin"):
                answer = await client.post(f"/api/auth/{path}", json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
            admin.execute("ALTER TABLE elsewhere RENAME TO sessions")
        assert (await client.post("/api/auth/signin", json=body)).status_code == 200


OLD_SESSIONS = """INSERT INTO sessions (id, user_id, device, token_version, created_at)
    SELECT gen_random_uuid(), %(user)s, n::text, 0, now() - n * interval '1 day' FROM generate_series(6, 12) n"""
USES = """INSERT INTO token_denylist (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at)
    SELECT id, id, user_id, 'active', 9, now() - %(age)s, now() + interval '1 day' FROM sessions
    WHERE user_id = %(user)s AND device = %(device)s"""


async def with_old_sessions(client: httpx.AsyncClient, connection: psycopg.Connection) -> Person:
    """Have sessions of six to twelve days; that of 10 was used a week ago, that of 11 not for longer."""
    ada = await Person.sign_up(client, device="now")
    connection.execute(OLD_SESSIONS, {"user": ada.user["id"]})
    for device, days in (("10", 7.5), ("11", 8.5)):
        connection.execute(USES, {"user": ada.user["id"], "device": device, "age": timedelta(days=days)})
    return ada


def written(connection: psycopg.Connection, person: Person) -> set[str]:
    query = "SELECT device FROM sessions WHERE user_id = %s"
    return {device for (device,) in connection.execute(query, [person.user["id"]])}


KEPT = {"now", "6", "7", "10"}


async def test_old_sessions_go_with_later_sign_ins(
    client: httpx.AsyncClient, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of sessions stays small by itself: one sign-in in eight deletes its user's old ones, and no others."""
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 2**128)
    ada, bob = [await with_old_sessions(client, connection) for _ in range(2)]
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 1)
    await sign_in(ada, device="now")
    assert written(connection, ada) == KEPT
    assert len(written(connection, bob)) == 8


async def test_pruning_deletes_everybodys_old_sessions(own_database_url: str) -> None:
    """An operator can delete old sessions by hand, of all users, in batches."""
    settings = make_settings(own_database_url)
    database = Database(settings.dsn, pool_min=1, pool_max=1)
    await database.open()
    async with running(settings) as client:
        with psycopg.connect(own_database_url, autocommit=True) as connection:
            people = [await with_old_sessions(client, connection) for _ in range(3)]
            counts = [count async for count in delete_old_sessions(database, kept=timedelta(days=8), batch=2)]
            assert counts == [8, 4]
            assert [written(connection, person) for person in people] == [KEPT] * 3
    await database.close()


@pytest.mark.parametrize("path", ["signin", "login", "token"])
async def test_signing_in_ends_the_session_that_it_replaces(service: Service, path: str) -> None:
    """A device that signs in again leaves no session behind that nobody looks at; a wrong password ends nothing.

    Source: ASVS 5.0 7.2.4.
    """
    async with service(api_contracts="path") as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        used = ada.refresh_token
        ada.keep(await ada.refresh())
        other = await ada.sign_in()

        async def sign_in(refresh_token: str, password: str = PASSWORD) -> httpx.Response:
            sent = {"email": ada.email, "username": ada.email, "password": password, "refresh_token": refresh_token}
            options: dict[str, Any] = {"data": sent} if path == "token" else {"json": sent}
            return await client.post(f"/api/auth/{path}", **options)

        assert (await sign_in(used, "wrong password")).status_code == (400 if path == "token" else 401)
        assert (await sign_in(bob.refresh_token)).status_code == 200
        assert await is_signed_in(ada)
        assert await is_signed_in(bob), "somebody else's session is none of theirs"
        again = Person(client, ada.email).keep(await sign_in(used))
        assert not await is_signed_in(ada)
        assert (await ada.refresh()).status_code == 401
        assert await is_signed_in(again)
        assert await is_signed_in(other)
