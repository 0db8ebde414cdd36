"""`python -m app users`, as an operator uses it."""

import asyncio

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.accounts import admin as users
from app.accounts.repository import END_EVERY_SESSION
from tests.accounts.conftest import Run
from tests.support.people import Person

SLOW_UPDATE = """
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END';
    CREATE TRIGGER slowly BEFORE UPDATE ON user_state EXECUTE FUNCTION slowly()"""


async def test_a_deactivated_account_is_shut_and_opens_again_without_its_old_sign_ins(
    own_client: httpx.AsyncClient, run: Run
) -> None:
    """A deactivated account is shut at once; activated again, it has its tasks and none of its old sessions.

    Source: FR-050.
    """
    ada = await Person.sign_up(own_client)
    task = await ada.add_task()
    await asyncio.to_thread(run, "deactivate", f" {ada.email.upper()}")
    body = {"email": ada.email, "password": ada.password}
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await ada.refresh()).status_code == 401
    assert (await own_client.post("/api/auth/signin", json=body)).status_code == 401
    await asyncio.to_thread(run, "activate", ada.email)
    assert (await ada.get("/api/tasks")).status_code == 401
    again = await ada.sign_in()
    assert (await again.get("/api/tasks")).json() == [task]


async def test_an_operator_signs_somebody_out_and_nobody_else(own_client: httpx.AsyncClient, run: Run) -> None:
    """After a lost phone an operator ends one user's sessions and nobody else's. Source: FR-050."""
    ada, bob = await Person.sign_up(own_client), await Person.sign_up(own_client)
    await asyncio.to_thread(run, "signout", ada.email)
    assert (await ada.refresh()).status_code == 401
    assert (await bob.get("/api/tasks")).status_code == 200
    assert (await (await ada.sign_in()).get("/api/tasks")).status_code == 200


async def test_an_operator_signs_everybody_out(own_client: httpx.AsyncClient, run: Run, own_database_url: str) -> None:
    """After a failover that lost a signing out everywhere, an operator makes every earlier token invalid.

    Source: FR-050.
    """
    ada, bob = await Person.sign_up(own_client), await Person.sign_up(own_client)
    lost = await ada.sign_in()
    await ada.send("POST", "/api/auth/signout", json={"everywhere": True})
    again = await ada.sign_in()
    name = own_database_url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(make_conninfo(own_database_url), autocommit=True) as connection:
        connection.execute("UPDATE user_state SET token_version = 0")
        connection.execute(SLOW_UPDATE)
        connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '1s'".encode())
    assert (await lost.get("/api/tasks")).status_code == 200
    await asyncio.to_thread(run, "signout", "--all")
    for person in (ada, lost, again, bob):
        assert (await person.get("/api/tasks")).status_code == 401
        assert (await person.refresh()).status_code == 401
    assert (await (await ada.sign_in()).get("/api/tasks")).status_code == 200


async def test_everybody_is_signed_out_twice_in_one_second(
    own_client: httpx.AsyncClient, own_database_url: str
) -> None:
    """Signing everybody out again, in the same second or by a server whose clock is behind, brings no old token back.

    Source: FR-050.
    """
    await Person.sign_up(own_client)
    keep = b"CREATE TEMP TABLE first ON COMMIT DROP AS SELECT token_version FROM user_state"
    with psycopg.connect(make_conninfo(own_database_url)) as connection:
        # One message to the server, so that its statement_timestamp() is the same for both.
        connection.execute(b"; ".join((END_EVERY_SESSION, keep, END_EVERY_SESSION)))
        found = connection.execute(
            "SELECT user_state.token_version - first.token_version FROM user_state, first"
        ).fetchall()
    assert found == [(1,)]


async def test_a_deleted_account_is_gone_with_its_tasks(own_client: httpx.AsyncClient, run: Run) -> None:
    """A deleted account leaves no task behind, and its e-mail address is free again. Source: FR-050."""
    ada, bob = await Person.sign_up(own_client), await Person.sign_up(own_client)
    await ada.add_task()
    kept = await bob.add_task()
    await asyncio.to_thread(run, "delete", ada.email)
    assert (await ada.get("/api/tasks")).status_code == 401
    again = await Person.sign_up(own_client, email=ada.email)
    assert (await again.get("/api/tasks")).json() == []
    assert (await bob.get("/api/tasks")).json() == [kept]


async def test_every_account_is_listed_once_in_order(
    own_client: httpx.AsyncClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator sees every account once, however many there are. Source: FR-050."""
    monkeypatch.setattr(users, "BATCH", 2)
    emails = [f"{letter}@example.test" for letter in "cabed"]
    for email in emails:
        await Person.sign_up(own_client, email=email, name="Ada L" if email[0] == "a" else None)
    await asyncio.to_thread(run, "deactivate", "b@example.test")
    lines = (await asyncio.to_thread(run, "list")).splitlines()
    assert [line.split()[3] for line in lines] == sorted(emails)
    assert [line.split()[1] for line in lines] == ["active", "inactive", "active", "active", "active"]
    assert "(Ada L)" in lines[0]


async def test_a_listed_name_is_one_line_that_reads_from_left_to_right(
    own_client: httpx.AsyncClient, run: Run, own_database_url: str
) -> None:
    """A name that a stranger chose cannot act on an operator's terminal. Source: FR-050."""
    ada = await Person.sign_up(own_client, name="Ada")
    with psycopg.connect(make_conninfo(own_database_url), autocommit=True) as connection:
        connection.execute("UPDATE users SET name = %s", ("Adá\u202e\n2026-01-01  active\x1b[2J\x9b1m\u2028",))
    (line,) = (await asyncio.to_thread(run, "list")).split("\n")[:-1]
    assert line.isprintable()
    assert line.endswith(rf"{ada.email}  (Adá\u202e\n2026-01-01  active\x1b[2J\x9b1m\u2028)")


async def test_an_operator_sees_somebodys_sessions(own_client: httpx.AsyncClient, run: Run) -> None:
    """Whoever is asked which devices are signed in can tell; a device's name cannot act on the terminal.

    Source: FR-050, FR-052.
    """
    ada = await Person.sign_up(own_client, device="laptop\x1b[2J\nforged")
    await Person.sign_up(own_client, device="of somebody else")
    other = await ada.sign_in()
    await (await ada.sign_in()).send("POST", "/api/auth/signout")
    await own_client.post("/api/auth/signin", json={"email": ada.email, "password": ada.password, "device": "phone"})
    phone, _, laptop = (await asyncio.to_thread(run, "sessions", ada.email)).splitlines()
    assert phone.endswith("  phone")
    assert laptop.endswith(r"  laptop\x1b[2J\nforged")
    await other.send("POST", "/api/auth/signout", json={"everywhere": True})
    assert await asyncio.to_thread(run, "sessions", ada.email) == ""


def test_what_is_not_there_or_not_said_is_told(run: Run) -> None:
    """A mistake on the command line gets a sentence, and an exit code that scripts can tell: 1 or 2. Source: FR-050."""
    with pytest.raises(SystemExit, match="There is no account"):
        run("delete", "nobody@example.test")
    calls = (["delete"], ["list", "a@b.co"], ["promote", "a@b.co"], ["signout"], ["signout", "--all", "a@b.co"])
    for wrong in (*calls, ["delete", "--all"]):
        with pytest.raises(SystemExit) as refused:
            run(*wrong)
        assert refused.value.code == 2
