"""One's own account: its name, its password, and leaving."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from jose import jwt

from app.auth.active_session import Credentials
from app.auth.user_database import UserDatabase
from app.core.database.pool import DatabaseUnavailable
from app.core.rate_limits.limiter import limit_key
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person
from tests.support.server import Service, app_of, running
from tests.support.settings import make_settings

NEW = "another battery staple 5"
WRONG = {"field": "current_password", "message": "is wrong", "code": "wrong_password"}


async def change(person: Person, new: str = NEW, *, current: str = PASSWORD) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return await person.send("POST", "/api/auth/password", json=body)


async def delete(person: Person, *, current: str = PASSWORD) -> httpx.Response:
    return await person.send("POST", "/api/auth/me/delete", json={"current_password": current})


async def can_sign_in(person: Person, password: str) -> bool:
    body = {"email": person.email, "password": password}
    return (await person.client.post("/api/auth/signin", json=body)).status_code == 200


async def is_signed_in(person: Person) -> bool:
    """Whether both tokens are good; uses the refresh token up."""
    asked, refreshed = await person.get("/api/auth/me"), await person.refresh()
    assert asked.status_code == refreshed.status_code
    if refreshed.status_code == 200:
        person.keep(refreshed)
    return asked.status_code == 200


def sid(person: Person) -> str:
    found: str = jwt.get_unverified_claims(person.access_token)["sid"]
    return found


@pytest.mark.parametrize(("sent", "kept"), [("Ada L.", "Ada L."), (None, None), (" ", None), ("x" * 100, "x" * 100)])
async def test_a_name_can_be_changed_and_taken_back(ada: Person, bob: Person, sent: str | None, kept: str) -> None:
    """People change the name that they are shown by; everything else of the account stays. Source: FR-053."""
    answer = await ada.send("PATCH", "/api/auth/me", json={"name": sent, "email": "eve@example.test", "id": "5"})
    assert (answer.status_code, answer.json()) == (200, {**ada.user, "name": kept})
    assert (await ada.get("/api/auth/me")).json() == answer.json()
    assert (await bob.get("/api/auth/me")).json()["name"] == "Bob"


@pytest.mark.parametrize("body", [{}, {"name": 5}, {"name": "x" * 101}, {"name": "a\0b"}, []])
async def test_a_name_that_cannot_be_stored_is_the_clients_error(ada: Person, body: object) -> None:
    """A name that is missing, too long or no text changes nothing. Source: FR-053, FR-029."""
    assert (await ada.send("PATCH", "/api/auth/me", json=body)).status_code == 422
    assert (await ada.get("/api/auth/me")).json()["name"] == "Ada"


async def test_whoever_is_signed_out_renames_nobody(ada: Person) -> None:
    """A token of a session that is over changes no name. Source: FR-053, FR-030."""
    other = await ada.sign_in()
    await ada.send("POST", "/api/auth/signout")
    assert (await ada.send("PATCH", "/api/auth/me", json={"name": "Eve"})).status_code == 401
    assert (await other.get("/api/auth/me")).json()["name"] == "Ada"


async def test_a_rename_meets_a_new_password(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that overlaps with a new password is refused, and changes nothing. Source: FR-053."""
    other, read = await ada.sign_in(), UserDatabase.get_credentials

    async def meanwhile(db: UserDatabase) -> Credentials:
        credentials = await read(db)
        monkeypatch.undo()
        assert (await asyncio.create_task(change(other))).status_code == 200
        return credentials

    monkeypatch.setattr(UserDatabase, "get_credentials", meanwhile)
    assert (await ada.send("PATCH", "/api/auth/me", json={"name": "Eve"})).status_code == 401
    again = await Person(ada.client, ada.email, NEW).sign_in()
    assert (await again.get("/api/auth/me")).json()["name"] == "Ada"


async def test_a_changed_password_ends_every_other_session(ada: Person) -> None:
    """Whoever changes a password that leaked is alone in the account with the answer, and stays signed in.

    Source: FR-054.
    """
    thief, before = await ada.sign_in(), Person(ada.client, ada.email, access_token=ada.access_token)
    before.refresh_token = ada.refresh_token
    answer = await change(ada)
    assert (answer.status_code, set(answer.json())) == (
        200,
        {"access_token", "refresh_token", "token_type", "expires_in"},
    )
    for dead in (thief, before):
        assert not await is_signed_in(dead)
    assert sid(ada.keep(answer)) == sid(before)
    assert await is_signed_in(ada), "using the tokens of before ends nothing"
    assert not await can_sign_in(ada, PASSWORD)
    assert await can_sign_in(ada, NEW)


async def test_the_session_in_which_the_password_changed_stays_in_the_list(ada: Person) -> None:
    """After a change of the password the list has this session, used just now, and no other.

    Source: FR-052, FR-054.
    """
    await ada.sign_in()
    (before,) = [it for it in (await ada.get("/api/auth/sessions")).json() if it["current"]]
    ada.keep(await change(ada))
    (after,) = (await ada.get("/api/auth/sessions")).json()
    assert after == before | {"last_used_at": after["last_used_at"]}
    assert after["last_used_at"] > before["last_used_at"]


@pytest.mark.parametrize("send", [change, delete])
async def test_a_wrong_password_is_no_401(ada: Person, send: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A mistyped password changes nothing and is no 401, after which a client would refresh and send it again."""
    caplog.set_level("INFO")
    for wrong in ("wrong password", "", "\ud800", "x" * 5000):
        content = f'{{"current_password": "{wrong}", "new_password": "{NEW}"}}'.encode("utf-8", "surrogatepass")
        if wrong == "\ud800":
            content = content.replace(wrong.encode("utf-8", "surrogatepass"), rb"\ud800")
        path = "/api/auth/password" if send is change else "/api/auth/me/delete"
        answer = await ada.send("POST", path, content=content)
        assert (answer.status_code, answer.json()["code"], answer.json()["errors"]) == (422, "WRONG_PASSWORD", [WRONG])
        assert answer.json()["detail"] == "The current password is wrong."
    assert [r.getMessage() for r in caplog.records if r.name == "audit"].count("own_password_wrong") == 4
    assert await is_signed_in(ada)
    assert await can_sign_in(ada, PASSWORD)


@pytest.mark.parametrize("body", [{}, {"current_password": PASSWORD}, {"current_password": 5, "new_password": NEW}])
async def test_what_is_missing_is_named(ada: Person, body: dict[str, object]) -> None:
    """A body without both passwords is 422 with the name of what is missing, and changes nothing. Source: FR-029."""
    answer = await ada.send("POST", "/api/auth/password", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")
    if len(body) < 2:
        assert answer.json()["errors"][-1] == {"field": "new_password", "message": "is required", "code": "missing"}
    assert await can_sign_in(ada, PASSWORD)


@pytest.mark.parametrize("new", ["seven77", "x" * 129, "a\0bcdefgh"])
async def test_a_new_password_is_held_to_the_rules_of_signing_up(ada: Person, new: str) -> None:
    """A password that could not be chosen at sign-up cannot be chosen later. Source: FR-003."""
    answer = await change(ada, new)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "new_password")
    assert await can_sign_in(ada, PASSWORD)


async def test_common_passwords_are_refused_where_the_operator_asks_for_it(service: Service) -> None:
    """A new password is no common one, and not the address, where that is refused at sign-up."""
    async with service(common_passwords="refuse") as client:
        ada = await Person.sign_up(client)
        for new in ("Password123", ada.email):
            answer = await change(ada, new)
            assert answer.json()["errors"][0] == {
                "field": "new_password",
                "message": "is one of the most common ones, choose another",
                "code": "common_password",
            }
        assert (await change(ada)).status_code == 200


async def test_of_several_changes_at_once_one_wins(client: httpx.AsyncClient, connection: psycopg.Connection) -> None:
    """Of eight changes at once one is made, and the others are told that their tokens are out of date.

    The password is that of the one. Source: FR-054.
    """
    for _ in range(5):
        ada = await Person.sign_up(client)
        people = [ada, *[await ada.sign_in() for _ in range(3)]] * 2
        answers = await asyncio.gather(*(change(one, f"{NEW} {n}") for n, one in enumerate(people)))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
        (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
        assert await can_sign_in(ada, f"{NEW} {winner}")
        assert await is_signed_in(people[winner].keep(answers[winner]))


async def test_a_change_in_the_moment_of_signing_out_changes_nothing(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs out while the password is changed is signed out, and the password is what it was.

    Source: FR-054.
    """
    hasher = app_of(ada.client).state.auth.passwords
    hash_password = hasher.hash

    async def meanwhile(password: str, **options: Any) -> str:
        out = asyncio.create_task(ada.send("POST", "/api/auth/signout"))  # a task, for a request id of its own
        assert (await out).status_code == 200
        made: str = await hash_password(password, **options)
        return made

    monkeypatch.setattr(hasher, "hash", meanwhile)
    answer = await change(ada)
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    monkeypatch.undo()
    assert not await is_signed_in(ada)
    assert await can_sign_in(ada, PASSWORD)


@pytest.mark.parametrize("send", [change, delete])
async def test_a_session_that_is_over_neither_changes_nor_deletes(ada: Person, send: Any) -> None:
    """A token of a session that is over does nothing, not even with the right password. Source: FR-030."""
    other = await ada.sign_in()
    await ada.send("POST", "/api/auth/signout")
    answer = await send(ada)
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    assert (await send(Person(ada.client, ada.email))).json()["code"] == "NOT_AUTHENTICATED"
    assert await is_signed_in(other)


@pytest.mark.parametrize("table", ["sessions", "token_denylist"])
async def test_a_change_is_made_as_a_whole_or_not_at_all(own_database_url: str, table: str) -> None:
    """If the database fails in the middle of a change, the old password and the session are as they were."""
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            admin.execute(
                f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END'; "
                f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW "
                "EXECUTE FUNCTION refuse()".encode()
            )
            answer = await change(ada)
            assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
            admin.execute(f"DROP TRIGGER refuse ON {table}".encode())
        assert await is_signed_in(ada)
        assert await can_sign_in(ada, PASSWORD)
        assert await is_signed_in(ada.keep(await change(ada)))


async def test_the_pair_of_a_new_password_follows_all_others(ada: Person) -> None:
    """The tokens that a session had before its password changed are worth nothing, and using one ends nothing.

    Source: FR-051, FR-054.
    """
    before = [ada.refresh_token]
    for _ in range(3):
        before.append(ada.keep(await ada.refresh()).refresh_token)
    before.append((await ada.refresh()).json()["refresh_token"])
    assert (await change(ada)).status_code == 200
    again = Person(ada.client, ada.email, NEW)
    again = await again.sign_in()
    for token in before:
        answer = await ada.refresh(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    assert await is_signed_in(again)


TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


def rows_that_name(connection: psycopg.Connection, *names: str) -> list[str]:
    """Search every column of every table that the catalog has for these texts."""
    found = []
    for (table,) in connection.execute(TABLES).fetchall():
        rows = connection.execute(f'SELECT row_to_json(it)::text FROM "{table}" AS it'.encode()).fetchall()
        found += [f"{table}: {row}" for (row,) in rows if any(name in row for name in names)]
    return found


async def test_a_deleted_account_leaves_no_row_that_names_it(own_database_url: str, clock: FrozenClock) -> None:
    """Whoever leaves is gone from every table, tokens and counters too, and the address is free. Source: FR-055.

    The tables are asked of the catalog, so that one that is added is searched too.
    """
    settings = make_settings(own_database_url, rate_limits="on")
    async with running(settings, clock=clock) as client:
        bob = await Person.sign_up(client, name="Bob")
        kept = await bob.add_task()
        ada = await Person.sign_up(client, name="Augusta Ada King", device="Ada's telephone")
        other = await ada.sign_in()
        await ada.add_task("Ada's task")
        used = jwt.get_unverified_claims(ada.refresh_token)["jti"]
        ada.keep(await ada.refresh())
        await client.post("/api/auth/signin", json={"email": ada.email, "password": "wrong"})
        await delete(ada, current="wrong")
        user_id = ada.user["id"]
        counters = [
            limit_key(name, key).hex() for name, key in (("own-password", user_id), ("signin-account", ada.email))
        ]
        names = [user_id, ada.email, "Ada King", "Ada's", sid(ada), sid(other), used, *counters]
        with psycopg.connect(own_database_url, autocommit=True) as connection:
            before = rows_that_name(connection, *names)
            assert {row.partition(":")[0] for row in before} == {
                *("users", "user_state", "tasks", "sessions", "token_denylist", "rate_limit_counters")
            }
            answer = await delete(ada)
            assert (answer.status_code, list(answer.json())) == (200, ["detail"])
            assert rows_that_name(connection, *names) == []
        for person in (ada, other):
            assert not await is_signed_in(person)
        assert not await can_sign_in(ada, PASSWORD)
        assert (await bob.get("/api/tasks")).json() == [kept]
        again = await Person.sign_up(client, email=ada.email)
        assert (await again.get("/api/tasks")).json() == []
        assert again.user["id"] != user_id


@pytest.mark.parametrize("send", [change, delete])
async def test_of_two_at_once_the_first_new_password_wins(
    ada: Person, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change or a deletion with a password that is changed in that moment does nothing. Source: FR-054, FR-055."""
    hasher, other = app_of(ada.client).state.auth.passwords, await ada.sign_in()
    verify = hasher.verify

    async def meanwhile(password: str, *rest: Any, **options: Any) -> Any:
        verified = await verify(password, *rest, **options)
        monkeypatch.undo()
        other.keep(await asyncio.create_task(change(other)))
        return verified

    monkeypatch.setattr(hasher, "verify", meanwhile)
    assert (await send(ada)).status_code == 401
    assert await is_signed_in(other)
    assert await can_sign_in(ada, NEW)


async def test_guesses_of_the_current_password_are_limited_apart_from_sign_ins(
    service: Service, clock: FrozenClock, connection: psycopg.Connection
) -> None:
    """A stolen session cannot guess the password, and a stranger who fails to sign in does not stop its owner.

    Changing and deleting have one count, of the user and not of the session; a success clears it.
    """
    connection.execute("TRUNCATE rate_limit_counters")
    async with service(clock=clock, rate_limits="on", rate_limit_signin_account="3/15minutes") as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        other = await ada.sign_in()
        for _ in range(4):
            await can_sign_in(ada, "wrong")
        assert not await can_sign_in(ada, PASSWORD)
        for _ in range(2):
            wrong = [await change(ada, current="wrong"), await delete(other, current="wrong")]
            assert [answer.status_code for answer in wrong] == [422, 422]
            ada.keep(await change(ada, PASSWORD))
            other = ada
        guesses = [await send(ada, current="wrong") for send in (change, delete, change)]
        assert [answer.status_code for answer in guesses] == [422] * 3
        locked = await asyncio.gather(change(ada), delete(ada), change(ada, current="wrong"))
        assert [(answer.status_code, answer.json()["code"]) for answer in locked] == [(429, "TOO_MANY_REQUESTS")] * 3
        assert int(locked[0].headers["retry-after"]) == 900
        assert (await change(bob)).status_code == 200
        clock.advance(minutes=14, seconds=59)
        assert (await change(ada)).status_code == 429
        clock.advance(seconds=1)
        ada.keep(await ada.refresh())
        assert (await change(ada)).status_code == 200


async def test_guesses_at_once_are_counted_before_their_hashes(
    service: Service, connection: psycopg.Connection
) -> None:
    """Guessing in parallel gains nothing."""
    connection.execute("TRUNCATE rate_limit_counters")
    async with service(rate_limits="on", rate_limit_signin_account="7/minute") as client:
        ada = await Person.sign_up(client)
        answers = await asyncio.gather(*(change(ada, current=f"guess {n}") for n in range(35)))
        assert sorted(answer.status_code for answer in answers) == [422] * 7 + [429] * 28


@pytest.mark.parametrize("path", ["password", "me/delete", "reset"])
async def test_both_hashes_wait_their_turn(service: Service, path: str) -> None:
    """A flood of changes is turned away like one of sign-ins, in bounded time."""
    async with service(password_hash_cost=10, hash_queue_seconds=0.05) as client:
        ada = await Person.sign_up(client)
        made = app_of(client).state.auth
        body = {"current_password": "wrong", "new_password": NEW}
        body["token"] = made.tokens.issue_reset(UUID(ada.user["id"]), 5, made.clock())
        sends = [ada.send("POST", f"/api/auth/{path}", json=body) for _ in range(40)]
        statuses = {answer.status_code for answer in await asyncio.gather(*sends)}
        assert 503 in statuses


async def test_what_happens_to_accounts_is_an_event(own_database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees changes, deletions and ended sessions in the log and the figures. Source: FR-054."""
    caplog.set_level("INFO")
    async with running(make_settings(own_database_url, metrics_enabled=True)) as client:
        logging.getLogger().addHandler(caplog.handler)  # starting has taken the log over
        ada = await Person.sign_up(client)
        first, _ = await ada.sign_in(), await ada.sign_in()
        await ada.send("DELETE", f"/api/auth/sessions/{sid(first)}")
        for _ in range(2):  # the second time there is nobody to sign out
            await ada.send("POST", "/api/auth/signout", json={"others": True})
        ada.keep(await change(ada))
        await delete(ada, current=NEW)
        figures = (await client.get("/metrics")).text
    events = [record.getMessage() for record in caplog.records if record.name == "audit"]
    assert events == [
        *("signed_up", "signed_in", "signed_in", "session_ended", "session_ended", "password_changed"),
        "account_deleted",
    ]
    counted = {"session_ended": 2, "password_changed": 1, "account_deleted": 1, "password_reset": 0}
    for event, count in counted.items():
        assert f'auth_events_total{{event="{event}"}} {count}.0' in figures


async def test_a_deletion_is_done_though_a_counter_cannot_be_cleared(
    service: Service, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has deleted the account is told so, whatever fails after that. Source: FR-055."""
    async with service() as client:
        ada = await Person.sign_up(client)

        async def fail(self: object, name: str, key: str) -> None:
            if name == "signin-account":
                raise DatabaseUnavailable

        monkeypatch.setattr("app.core.rate_limits.limiter.NoRateLimiter.clear", fail)
        assert (await delete(ada)).status_code == 200
        assert (await ada.get("/api/auth/me")).status_code == 401
