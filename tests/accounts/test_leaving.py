"""Leaving: an account of any size goes, is closed at once, and what was interrupted is finished."""

import asyncio

import httpx
import psycopg
import pytest

from app.cli import commands
from tests.accounts.conftest import Run
from tests.support.people import PASSWORD, Person

MANY = """INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), %s, 'one of many'
    FROM generate_series(1, 5000)"""
STUCK = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END';
    CREATE TRIGGER refuse BEFORE DELETE ON {} EXECUTE FUNCTION refuse()"""


async def leave(person: Person) -> httpx.Response:
    return await person.send("POST", "/api/auth/me/delete", json={"current_password": PASSWORD})


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        ((found,),) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()
    return int(found)


async def test_an_account_of_any_size_is_deleted(own_client: httpx.AsyncClient, own_database_url: str) -> None:
    """Whoever has more tasks than one statement deletes in time can leave, too. Source: FR-055."""
    ada, bob = await Person.sign_up(own_client), await Person.sign_up(own_client)
    await bob.add_task()
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute(MANY, [ada.user["id"]])
        connection.execute("ALTER TABLE tasks DROP CONSTRAINT fk_tasks_user_id_users")  # nothing goes in one statement
    assert (await leave(ada)).status_code == 200
    assert [rows(own_database_url, table) for table in ("users", "user_state", "tasks", "sessions")] == [1, 1, 1, 1]
    await Person.sign_up(own_client, email=ada.email)


@pytest.mark.parametrize("finished_by", ["prune", "users delete"])
@pytest.mark.parametrize("table", ["tasks", "sessions", "users"])
async def test_what_was_interrupted_is_finished(
    own_client: httpx.AsyncClient, own_database_url: str, run: Run, table: str, finished_by: str
) -> None:
    """A deletion that is cut short leaves the account closed for good; `prune` or `users delete` does the rest.

    Source: FR-050, FR-055.
    """
    ada, bob = await Person.sign_up(own_client), await Person.sign_up(own_client)
    await ada.add_task()
    task = await bob.add_task()
    other = await ada.sign_in()
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute(STUCK.format(table).encode())
        answer = await leave(ada)
        assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
        for person in (ada, other):
            assert (await person.get("/api/tasks")).status_code == 401
            assert (await person.refresh()).status_code == 401
        body = {"email": ada.email, "password": ada.password}
        assert (await own_client.post("/api/auth/signin", json=body)).status_code == 401
        for command in ("activate", "deactivate"):
            with pytest.raises(SystemExit, match="is being deleted"):
                await asyncio.to_thread(run, command, ada.email)
        connection.execute(f"DROP TRIGGER refuse ON {table}".encode())
    if finished_by == "prune":
        await asyncio.to_thread(commands.main, ["prune"])
    else:
        await asyncio.to_thread(run, "delete", ada.email)
    assert rows(own_database_url, "users") == rows(own_database_url, "user_state") == 1
    assert [kept["id"] for kept in (await bob.get("/api/tasks")).json()] == [task["id"]]
    await Person.sign_up(own_client, email=ada.email)


async def test_nothing_is_written_for_somebody_who_leaves(own_client: httpx.AsyncClient, own_database_url: str) -> None:
    """What is written while somebody leaves goes, too: nothing of them is left, and it is no error of the server."""
    for _ in range(10):
        ada = await Person.sign_up(own_client)
        writes = [ada.send("POST", "/api/tasks", json={"title": "x"}) for _ in range(10)]
        gone, *answers = await asyncio.gather(leave(ada), *writes)
        assert gone.status_code == 200
        assert {answer.status_code for answer in answers} <= {201, 401}
    assert [rows(own_database_url, table) for table in ("users", "tasks", "user_state", "sessions")] == [0] * 4
