"""Arguments by plan: what is answered is what FastAPI itself would answer, byte for byte."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core.http.arguments import Plan, plan_arguments
from app.core.http.routing import ApiRoute
from app.main import create_app
from tests.support.people import NOBODY, PASSWORD, Person
from tests.support.server import running
from tests.support.settings import make_settings

SHAPES = ("v1,path,aliases", "path-enveloped,aliases")
NOT_PLANNED = {"/", "/api/auth/token", "/api/auth/revoke", "/health", "/health/live", "/health/ready"}

TASK = b'{"title": "Milk", "priority": "high"}'
PASSWORDS = b'{"current_password": "%s", "new_password": "another battery staple 5"}' % PASSWORD.encode()
BODIES = (
    *(None, b"", b"null", b"[]", b"{}", b"1", b"{", b"\xff", b'{"title": 5}', b'{"title": "x", "nonsense": 1}'),
    *(
        b'{"title": ""}',
        b'{"completed": "yes"}',
        b'{"status": "done", "completed": true}',
        b'{"completed": true}',
        TASK,
    ),
    *(b'{"email": "x", "password": "y"}', b'{"refresh_token": "x"}', b'{"name": 5}', b'{"name": "Ada"}', PASSWORDS),
)
QUERIES = (
    "",
    "limit=x",
    "limit=1&limit=2",
    "status=done",
    "status=pending&q=&sort=title",
    "since=x",
    "since=" + "x" * 2000,
)
HEADERS: tuple[list[tuple[str, str]], ...] = (
    [("Idempotency-Key", "not a key")],
    [("Idempotency-Key", "a-key-of-22-characters"), ("Idempotency-Key", "and-another-one-of-them")],
    [("If-Match", '"1"'), ("If-Match", "*")],
    [("If-None-Match", "nonsense")],
    [("Content-Type", "text/plain")],
)
VOLATILE = (
    (rb"eyJ[\w.-]+", b"TOKEN"),
    (rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"ID"),
    (rb"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", b"TIME"),
    (rb"[0-9a-f]{32}@", b"NAME@"),
    (rb'"next":"[^"]+"', b"CURSOR"),
)


def planned() -> list[Any]:
    """Return the shape, the method and the path of each planned route; those of other shapes run with the slow ones."""
    found: dict[tuple[str, str], Any] = {}
    for shapes in SHAPES:
        for route in create_app(make_settings("postgresql://nobody@localhost/none", API_CONTRACTS=shapes)).routes:
            if isinstance(route, ApiRoute) and plan_arguments(route):
                is_of_shape = "{user_id}" in route.path
                for method in route.methods or ():
                    where = (shapes if is_of_shape else "", method + route.path)
                    marks = [pytest.mark.slow] if is_of_shape else []
                    found[where] = pytest.param(shapes, method, route.path, marks=marks)
    return [found[where] for where in sorted(found)]


async def answers(person: Person, method: str, path: str) -> list[Any]:
    """Send a route all kinds of input, one after the other, and return what comes back, without ids and times."""
    task = await person.add_task()
    own = path.replace("{user_id}", person.user["id"])
    paths = [
        own.replace("{task_id}", task["id"]),
        re.sub(r"{\w+}", str(NOBODY), own),
        re.sub(r"{\w+}", "nonsense", path),
    ]
    requests: list[dict[str, Any]] = [{"url": url, "content": body} for url in paths[:1] for body in BODIES]
    requests += [{"url": f"{paths[0]}?{query}"} for query in QUERIES]
    requests += [{"url": url, "content": TASK, "headers": headers} for url in paths for headers in ([], *HEADERS)]
    return [told(await person.client.request(method, **with_bearer(request, person))) for request in requests]


def with_bearer(request: dict[str, Any], person: Person) -> dict[str, Any]:
    own = [("Authorization", f"Bearer {person.access_token}"), ("X-Request-ID", "mine")]
    return {**request, "headers": [*own, *request.get("headers", [])]}


def told(answer: httpx.Response) -> Any:
    content = answer.content
    for pattern, name in VOLATILE:
        content = re.sub(pattern, name, content)
    headers = {
        name: value for name, value in answer.headers.items() if name not in ("content-length", "etag", "location")
    }
    return answer.request.url.path.count("/"), answer.status_code, content, sorted(headers)


@pytest.fixture(scope="module")
async def shaped(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that mounts the shapes that the parameter names."""
    async with running(make_settings(database_url, API_CONTRACTS=request.param)) as client:
        client.event_hooks["response"] = []
        yield client


@pytest.mark.parametrize(("shaped", "method", "path"), planned(), indirect=["shaped"])
async def test_every_answer_is_fastapis_own(
    shaped: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """Good and bad input of every kind gets the same answer, byte for byte, whether the plan is asked or FastAPI."""
    by_plan = await answers(await Person.sign_up(shaped), method, path)
    monkeypatch.setattr(Plan, "arguments", leave_it)
    by_fastapi = await answers(await Person.sign_up(shaped), method, path)
    assert by_plan == by_fastapi


async def leave_it(*_: object) -> None:
    """Ask for no plan: FastAPI looks at every request."""


@pytest.mark.parametrize("shapes", SHAPES)
def test_every_route_but_a_few_is_planned(shapes: str) -> None:
    """A route that is added, or an upgrade of FastAPI, does not fall back to the slow way unseen."""
    routes = create_app(make_settings("postgresql://nobody@localhost/none", API_CONTRACTS=shapes)).routes
    left = {route.path for route in routes if isinstance(route, ApiRoute) and not plan_arguments(route)}
    assert left - {"/api/auth/login"} == NOT_PLANNED


async def test_a_good_request_is_planned(
    client: httpx.AsyncClient, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI's own handler is asked for mistakes alone."""
    seen: list[object] = []
    arguments = Plan.arguments

    async def watch(plan: Plan, request: Any) -> Any:
        found = await arguments(plan, request)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(Plan, "arguments", watch)
    task = await ada.add_task()
    await ada.send("PATCH", f"/api/tasks/{task['id']}", json={"title": "x"}, headers={"If-Match": '"1"'})
    await ada.get("/api/tasks?limit=1")
    await ada.refresh(key="a-key-of-22-characters")
    assert seen == [True] * 4
    await ada.send("PATCH", f"/api/tasks/{UUID(int=1)}", json={"title": ""})
    await ada.get("/api/tasks?limit=nonsense")
    assert seen[4:] == [False] * 2
