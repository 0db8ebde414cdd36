"""Many at once, over real HTTP on two workers: accounts, limits, isolation."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.people import PASSWORD, Person, new_email
from tests.support.rounds import rounds
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.core]

ROUNDS = rounds(100)


async def test_one_email_makes_one_account_in_many_rounds_of_20(http: httpx.AsyncClient) -> None:
    """An address has one account, though many sign up with it at once in many spellings."""
    for _ in range(ROUNDS):
        email = new_email()
        spellings = [email, email.upper(), f" {email}", email.title()] * 5
        bodies = [{"email": spelling, "password": PASSWORD} for spelling in spellings]
        answers = await asyncio.gather(*(http.post("/api/auth/signup", json=body) for body in bodies))
        assert sorted(a.status_code for a in answers) == [201] + [409] * 19
    print(f"{ROUNDS} rounds of 20 sign-ups of one e-mail: exactly one 201 each")


async def test_exactly_n_of_5n_attempts_pass_on_two_workers(
    database_url: str, tmp_path: Path, connection: psycopg.Connection
) -> None:
    """A limit is exact over all workers, whatever clients write into X-Forwarded-For."""
    connection.execute("TRUNCATE rate_limit_counters")
    limits: dict[str, Any] = {
        "RATE_LIMITS": "on",
        "RATE_LIMIT_SIGNIN_ACCOUNT": "20/15minutes",
        "RATE_LIMIT_SIGNIN_ADDRESS": "60/hour",
    }
    with serving(tmp_path, DATABASE_URL=database_url, WORKERS="2", **limits) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:

            async def attempt(email: str, number: int) -> int:
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                body = {"email": email, "password": "wrong"}
                return (await client.post("/api/auth/signin", json=body, headers=headers)).status_code

            account = new_email()
            by_account = Counter(await asyncio.gather(*(attempt(account, n) for n in range(100))))
            assert by_account == {401: 20, 429: 80}
            by_address = Counter(await asyncio.gather(*(attempt(new_email(), n) for n in range(200))))
            assert by_address == {401: 40, 429: 160}
    print(f"of 5n simultaneous attempts: by account {dict(by_account)}, by address {dict(by_address)} after 20")


async def test_thousands_of_interleaved_requests_show_no_foreign_row(http: httpx.AsyncClient) -> None:
    """Users on the same connections never see each other's tasks, and see their own writes at once."""
    people = [await Person.sign_up(http) for _ in range(2)]
    foreign, missed, sent = 0, 0, 0

    async def live(person: Person, number: int) -> None:
        nonlocal foreign, missed, sent
        for turn in range(ROUNDS):
            task = await person.add_task(f"{person.email} {number} {turn}")
            tasks = (await person.get("/api/tasks?limit=100")).json()
            one = await person.get(f"/api/tasks/{task['id']}")
            missed += one.status_code != 200
            foreign += sum(t["user_id"] != person.user["id"] for t in [*tasks, one.json()])
            await person.send("PATCH", f"/api/tasks/{task['id']}/toggle")
            await person.send("DELETE", f"/api/tasks/{task['id']}")
            sent += 5

    await asyncio.gather(*(live(person, number) for number in range(10) for person in people))
    assert (sent, foreign, missed) == (100 * ROUNDS, 0, 0)
    print(f"{sent} interleaved requests: {foreign} foreign rows, {missed} own writes missed")


async def test_many_foreign_ids_answer_like_missing_ones_on_every_verb(http: httpx.AsyncClient) -> None:
    """Somebody else's task cannot be told from one that does not exist, not even by a header."""
    ada, bob = await Person.sign_up(http), await Person.sign_up(http)
    verbs = [("GET", "", None), ("PUT", "", {"title": "x"}), ("PATCH", "", {"completed": True})]
    verbs += [("PATCH", "/toggle", None), ("DELETE", "", None), ("PUT", "", {"title": ""})]
    compared = 0
    for _ in range(ROUNDS):
        task = await ada.add_task()
        for method, suffix, body in verbs:
            answers = [
                await bob.send(method, f"/api/tasks/{i}{suffix}", json=body, headers={"X-Request-ID": "same"})
                for i in (task["id"], uuid4())
            ]
            foreign, missing = [(a.status_code, a.content, sorted(a.headers.items())) for a in answers]
            assert foreign[:2] == missing[:2]
            of_the_connection = {"date", "connection"}
            assert [h for h in foreign[2] if h[0] not in of_the_connection] == [
                h for h in missing[2] if h[0] not in of_the_connection
            ]
            compared += 1
        assert (await ada.get(f"/api/tasks/{task['id']}")).json() == task
    print(f"{compared} answers for foreign ids: byte-identical to missing ones")
