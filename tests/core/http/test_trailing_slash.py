"""One slash behind a path below /api is no difference: some frontends and clients write it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.support.people import PASSWORD, Person
from tests.support.server import Service, app_of

CONTRACTS = [("v1", "path"), ("path-enveloped",)]


def api_routes(app: FastAPI, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        path = re.sub(r"{(\w+)}", lambda found: ids[found[1]], getattr(route, "path", ""))
        if path.startswith("/api/") and path != "/api/auth/signout":  # which ends the session
            yield from ((method, path) for method in [*sorted(getattr(route, "methods", None) or {}), "TRACE", "PUT"])


def told(answer: httpx.Response) -> tuple[int, str | None, Any]:
    """Give what two answers to the same request have in common."""
    code = re.search(r'"code": ?"(\w+)"', answer.text)
    return answer.status_code, answer.headers.get("allow"), code and code[1]


@pytest.mark.parametrize("contracts", CONTRACTS)
async def test_every_route_answers_alike(service: Service, contracts: tuple[str, ...]) -> None:
    """In every shape, with and without a token, a right and a wrong body, and with methods that the path has not."""
    async with service(api_contracts=contracts) as client:
        client.event_hooks["response"] = []
        ada = await Person.sign_up(client)
        nothing = ada.user["id"]  # is no task's and no session's: a deletion is not the same twice
        ids = {"user_id": ada.user["id"], "task_id": nothing, "session_id": nothing, "passkey_id": "x"}
        asked = 0
        for method, path in api_routes(app_of(client), ids):
            for headers, body in (({}, None), (ada.bearer, {"title": ""}), (ada.bearer, {})):
                without = await client.request(method, path, headers=headers, json=body)
                behind = await client.request(method, path + "/", headers=headers, json=body)
                assert told(behind) == told(without), (method, path)
                assert behind.status_code not in (301, 307, 308)
                asked += 1
        assert asked > 100


async def test_a_life_with_slashes(client: httpx.AsyncClient) -> None:
    """Somebody whose frontend writes them signs in, adds, lists, changes and deletes, and is redirected nowhere."""
    ada = await Person.sign_up(client)
    signed_in = await client.post("/api/auth/signin/", json={"email": ada.email, "password": PASSWORD})
    assert signed_in.status_code == 200
    made = await ada.send("POST", "/api/tasks/", json={"title": "x"})
    assert (made.status_code, made.headers["location"]) == (201, f"/api/tasks/{made.json()['id']}")
    one = f"{made.headers['location']}/"
    await ada.add_task()
    page = await ada.get("/api/tasks/?limit=1")
    assert (page.status_code, len(page.json())) == (200, 1)
    assert (await ada.get(page.links["next"]["url"])).json()[0]["id"] == made.json()["id"]
    assert (await ada.send("PATCH", f"{one}toggle/")).json()["completed"] is True
    assert (await ada.send("HEAD", one)).status_code == 200
    assert (await ada.get("/api/tasks/changes/")).status_code == 200
    assert (await ada.send("DELETE", one)).status_code == 204
    wrong = await ada.send("PUT", "/api/tasks/", json={})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    "path",
    [
        *("/api/tasks//", "/api//tasks", "//api/tasks", "/api/tasks///", "/api/tasks/?/", "/api/", "/api//"),
        *("/metrics/", "/health/", "/health/live/", "/docs/", "/redoc/", "/openapi.json/", "/docs/start.js/", "//"),
    ],
)
async def test_elsewhere_a_slash_makes_another_path(service: Service, path: str) -> None:
    """A proxy's exact rule for /metrics cannot be passed by one slash more; two are never one."""
    async with service(metrics_enabled=True) as client:
        ada = await Person.sign_up(client)
        expected = 200 if path == "/api/tasks/?/" else 404
        assert (await ada.get("http://api.test" + path)).status_code == expected
