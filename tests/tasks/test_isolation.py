"""Nobody sees, changes or notices somebody else's task."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.main import create_app
from tests.support.people import Person
from tests.support.settings import make_settings

VERBS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PUT", "", {"title": "Mine now"}),
    ("PATCH", "", {"completed": True}),
    ("PUT", "", {"title": ""}),
    ("PATCH", "/toggle", None),
    ("DELETE", "", None),
]


@pytest.mark.parametrize(("method", "suffix", "body"), VERBS)
@pytest.mark.parametrize("headers", [{}, {"If-Match": '"1"'}, {"If-None-Match": '"1"'}, {"If-Match": '"9"'}])
async def test_a_foreign_task_answers_like_a_missing_one(
    ada: Person,
    bob: Person,
    connection: psycopg.Connection,
    method: str,
    suffix: str,
    body: Any,
    headers: dict[str, str],
) -> None:
    """Nobody can change somebody else's task, or tell it from one that does not exist.

    Source: FR-019, FR-023.
    """
    task = await ada.add_task("Ada's secret")
    query = "SELECT t::text FROM tasks t WHERE id = %s"
    before = connection.execute(query, [task["id"]]).fetchone()
    same = {"X-Request-ID": "one", **headers}
    foreign = await bob.send(method, f"/api/tasks/{task['id']}{suffix}", json=body, headers=same)
    missing = await bob.send(method, f"/api/tasks/{uuid4()}{suffix}", json=body, headers=same)
    assert foreign.status_code == (422 if body == {"title": ""} else 404)
    assert foreign.content == missing.content
    assert foreign.headers == missing.headers
    assert connection.execute(query, [task["id"]]).fetchone() == before


async def test_lists_hold_ones_own_tasks_only(ada: Person, bob: Person) -> None:
    """A list holds one's own tasks, whatever filter or other user's cursor is used. Source: FR-017."""
    for number in range(4):
        await ada.add_task(f"Ada {number}")
    await bob.add_task("Bob's")
    for query in ("", "?q=Ada", "?sort=title", "?completed=false", "?limit=1"):
        answer = await bob.get(f"/api/tasks{query}")
        assert {t["user_id"] for t in answer.json()} <= {bob.user["id"]}
        assert answer.headers.get("x-total-count", "1") == "1"
    link = (await ada.get("/api/tasks?limit=1")).headers["link"]
    assert {t["user_id"] for t in (await bob.get(link[1:].partition(">")[0])).json()} <= {bob.user["id"]}


async def test_the_user_comes_from_the_token_and_nowhere_else(ada: Person, bob: Person) -> None:
    """Nobody becomes somebody else by a header, a query or a cookie."""
    await ada.add_task("Ada's")
    claims = {"X-User-ID": ada.user["id"], "Cookie": f"access_token={ada.access_token}; user_id={ada.user['id']}"}
    query = f"?user_id={ada.user['id']}&access_token={ada.access_token}"
    assert (await bob.get(f"/api/tasks{query}", headers=claims)).json() == []
    assert (await bob.client.get(f"/api/tasks{query}", headers=claims)).status_code == 401


@pytest.mark.parametrize(
    "change", ["DELETE FROM users WHERE id = %s", "UPDATE user_state SET is_active = false WHERE user_id = %s"]
)
async def test_a_user_who_is_gone_is_refused_on_every_verb(
    ada: Person, connection: psycopg.Connection, change: str
) -> None:
    """A deleted or deactivated user is out at once with every token, and tasks go with their owner."""
    task = await ada.add_task()
    await ada.refresh()
    connection.execute(change, [ada.user["id"]])
    for method, suffix, body in [*VERBS, ("POST", "", {"title": "x"})]:
        url = "/api/tasks" if method == "POST" else f"/api/tasks/{task['id']}{suffix}"
        assert (await ada.send(method, url, json=body)).status_code == 401
    if change.startswith("DELETE"):
        query = "SELECT (SELECT count(*) FROM tasks WHERE user_id = %(u)s) + "
        query += "(SELECT count(*) FROM token_denylist WHERE user_id = %(u)s)"
        assert connection.execute(query, {"u": ada.user["id"]}).fetchone() == (0,)


def routes_of_tasks() -> Iterator[tuple[str, str]]:
    app = create_app(make_settings("postgresql://localhost/none"))
    for route in app.routes:
        path = getattr(route, "path", "")
        if path.startswith("/api/tasks"):
            yield from ((method, path) for method in sorted(getattr(route, "methods", None) or ()))


def test_the_walk_below_meets_every_operation() -> None:
    """The test below forgets no operation on tasks: there are seven, one of them with two verbs."""
    assert len(list(routes_of_tasks())) == 8


@pytest.mark.parametrize(("method", "path"), list(routes_of_tasks()))
@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], "Bearer"),
        ([("Authorization", "")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer ")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer a.b.c")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Basic YTpi")], 'Bearer error="invalid_token"'),
        ([("Authorization", "{token}")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer\t{token}")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer{token}")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer {token} x")], 'Bearer error="invalid_token"'),
        ([("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")], 'Bearer error="invalid_token"'),
    ],
)
async def test_no_operation_opens_without_a_token(
    client: httpx.AsyncClient, ada: Person, method: str, path: str, headers: list[tuple[str, str]], challenge: str
) -> None:
    """Every operation on tasks asks for a bearer token, and takes it in one form.

    Source: FR-013, FR-030, FR-037.
    """
    sent = [(name, value.format(token=ada.access_token)) for name, value in headers]
    answer = await client.request(method, path.replace("{task_id}", str(uuid4())), headers=sent)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
async def test_the_scheme_may_be_spelled_freely(client: httpx.AsyncClient, ada: Person, scheme: str) -> None:
    """Clients may write Bearer in any case (RFC 9110 11.1)."""
    headers = {"Authorization": f"{scheme} {ada.access_token}"}
    assert (await client.get("/api/tasks", headers=headers)).status_code == 200


async def test_requests_at_once_are_not_mixed_up(ada: Person, bob: Person) -> None:
    """Everybody gets their own tasks, however many ask at once."""
    for person in (ada, bob):
        for number in range(3):
            await person.add_task(f"{person.email} {number}")

    async def look(person: Person) -> bool:
        return {t["user_id"] for t in (await person.get("/api/tasks")).json()} == {person.user["id"]}

    for _ in range(5):
        assert all(await asyncio.gather(*(look(person) for _ in range(20) for person in (ada, bob))))
