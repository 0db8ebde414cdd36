"""Below a path that a proxy strips: every URL that leaves the service begins with it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.machines.balancer import needs_nginx, nginx_before
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Server, Service, app_of, free_port, serving
from tests.support.settings import SECRET, environment_of, make_settings

BELOW = "/to-do/v2"
PATHS = re.compile(r"/(?:api|docs|redoc|openapi\.json|health|metrics)(?![\w>-])[\w./?=&%{}~-]*")
BEFORE = re.compile(r"[\w./:~-]*$")
BROWSER = {"Accept": "text/html"}


def paths_in(answer: httpx.Response) -> Iterator[str]:
    """Give every path of the service that an answer names, in its headers or its body, with what stands before it."""
    headers = [value for name, value in answer.headers.items() if name != "set-cookie"]  # whose path is not a URL's
    texts = [*headers, *strings_in(answer)]
    for text in texts:
        for found in PATHS.finditer(text):
            before = BEFORE.search(text[: found.start()])
            assert before
            yield before[0] + found[0]


def strings_in(answer: httpx.Response) -> Iterator[str]:
    if answer.request.url.path.startswith(("/docs/assets/", "/metrics")) or not answer.content:  # which names routes
        return
    if "json" not in answer.headers.get("content-type", ""):
        yield answer.text
        return
    document = answer.json()
    if answer.request.url.path == "/openapi.json" and answer.is_success:  # paths begin behind a server there
        schemes = document["components"]["securitySchemes"]
        document = {"servers": document["servers"], "securitySchemes": schemes}
    yield from values_in(document)


def values_in(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list | dict):
        for member in content.values() if isinstance(content, dict) else content:
            yield from values_in(member)


def calls(app: FastAPI, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Give each method and path of each route, and some that there are not."""
    for route in app.routes:
        path = re.sub(r"{(\w+)}", lambda found: ids[found[1]], getattr(route, "path", ""))
        for method in sorted(getattr(route, "methods", None) or {"GET"}):
            yield method, path
        yield "POST", path + "/nope"
        yield "TRACE", path


async def test_no_url_leaves_without_it(service: Service) -> None:
    """Links, redirects, pages, the document and errors lead to where the proxy is, in every shape, from every route."""
    contracts = ("v1", "path")
    async with service(root_path=BELOW, api_contracts=contracts, metrics_enabled=True) as client:
        client.event_hooks["response"] = []
        ada = await Person.sign_up(client)
        tasks = [await ada.add_task() for _ in range(3)]
        ids = {"user_id": ada.user["id"], "task_id": tasks[0]["id"], "session_id": tasks[0]["id"]}
        ids |= {"passkey_id": "x", "path": "x"}
        named: list[str] = []
        for method, path in calls(app_of(client), ids):
            if (method, path) == ("DELETE", "/api/auth/me"):
                continue
            for headers in ({}, ada.bearer, {**ada.bearer, **BROWSER}):
                answer = await client.request(method, path, params={"limit": "1"}, headers=headers)
                named += paths_in(answer)
                if method not in ("GET", "HEAD"):
                    body = {"title": "x", "email": new_email(), "password": PASSWORD}
                    named += paths_in(await client.request(method, path, json=body, headers=headers))
        assert [path for path in named if not path.startswith(BELOW + "/")] == []
        assert [path for path in named if path.count(BELOW) > 1] == []
        found = {path.removeprefix(BELOW).partition("?")[0] for path in named}
        assert {"/docs", "/docs/start.js", "/openapi.json", "/api/tasks", "/api/auth/token", "/health"} <= found
        assert f"/api/v1/{ada.user['id']}/tasks" in found, "in the details of an error of v1"


async def test_each_place_has_it_once(service: Service) -> None:
    """What a client follows, one by one."""
    async with service(root_path=BELOW) as client:
        ada = await Person.sign_up(client)
        made = await ada.send("POST", "/api/tasks", json={"title": "x"})
        assert made.headers["location"] == f"{BELOW}/api/tasks/{made.json()['id']}"
        await ada.add_task()
        page = await ada.get("/api/tasks?limit=1")
        assert page.headers["link"].startswith(f"<{BELOW}/api/tasks?limit=1&cursor=")
        assert (await client.get("/", headers=BROWSER)).headers["location"] == f"{BELOW}/docs"
        assert (await client.get("/")).json()["links"]["tasks"] == f"{BELOW}/api/tasks"
        document = (await client.get("/openapi.json")).json()
        assert document["servers"] == [{"url": BELOW}]
        flow = document["components"]["securitySchemes"]["EmailAndPassword"]["flows"]["password"]
        assert (flow["tokenUrl"], flow["refreshUrl"]) == (f"{BELOW}/api/auth/token",) * 2
        assert "/api/tasks" in document["paths"]


async def test_without_it_nothing_stands_before_a_path(client: httpx.AsyncClient) -> None:
    """Most services are at the root of a host."""
    document = (await client.get("/openapi.json")).json()
    assert document["servers"] == [{"url": "/"}]
    assert (await client.get("/", headers=BROWSER)).headers["location"] == "/docs"


@pytest.mark.parametrize(
    ("written", "kept"),
    [("", ""), ("/", ""), ("svc", "/svc"), (" /svc/ ", "/svc"), ("/a/b.c_~-", "/a/b.c_~-"), ("/api", "/api")],
)
def test_it_may_be_written_with_slashes_or_without(written: str, kept: str) -> None:
    """An operator copies it from the proxy's configuration."""
    assert make_settings("postgresql://x@x/x", root_path=written).root_path == kept


@pytest.mark.parametrize("written", ["https://x/svc", "/a b", "/a?b", "/../x", "/a#b", '/"><script>', "/{root}", "/é"])
def test_what_is_no_path_stops_the_start(written: str) -> None:
    """It stands in pages and headers: only what needs no escape there."""
    with pytest.raises(ValueError, match="must be the path that a proxy strips"):
        make_settings("postgresql://x@x/x", root_path=written)


async def test_it_may_be_called_as_a_path_of_the_service(service: Service) -> None:
    """The proxy has taken it away: what is left is looked for as it stands."""
    async with service(root_path="/api") as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task()
        assert (await ada.get(f"/api/tasks/{task['id']}")).status_code == 200
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/tasks")).status_code == 404


@pytest.mark.parametrize("root_path", ["", BELOW])
@pytest.mark.slow
def test_uvicorn_may_be_told_too(database_url: str, tmp_path: Path, root_path: str) -> None:
    """`uvicorn --root-path` puts it before every path it hands on: nothing is doubled, nothing is lost."""
    port = free_port()
    settings = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET, "ROOT_PATH": root_path}
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port), "--root-path", BELOW]
    with (tmp_path / "log").open("wb") as log:
        environment = environment_of(ENVIRONMENT="test", PASSWORD_HASH_COST="4", API_CONTRACTS="v1", **settings)
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    server = Server(process, f"http://127.0.0.1:{port}", tmp_path / "log")
    try:
        server.wait_until()
        with httpx.Client(base_url=server.url) as client:
            assert client.get("/").json()["links"]["health"] == f"{root_path}/health"
            body = {"email": new_email(), "password": PASSWORD}
            signed_in = client.post("/api/auth/signup", json=body).json()
            client.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
            made = [client.post("/api/tasks", json={"title": "x"}) for _ in range(2)]
            assert made[0].headers["location"] == f"{root_path}/api/tasks/{made[0].json()['id']}"
            listed = client.get("/api/tasks?limit=1")
            assert listed.headers["link"].startswith(f"<{root_path}/api/tasks?")
            assert client.get("/docs/assets/swagger/swagger-ui.css").status_code == 200
            assert json.dumps(client.get("/openapi.json").json()["servers"]).count(BELOW) == bool(root_path)
            error = client.post(f"/api/v1/{signed_in['user']['id']}/tasks", json={}).json()
            assert error["details"]["path"] == f"{root_path}/api/v1/{signed_in['user']['id']}/tasks"
    finally:
        process.terminate()
        process.wait(20)


@needs_nginx
def test_behind_a_real_proxy_every_link_leads_on(database_url: str, tmp_path: Path) -> None:
    """nginx strips the path, and a client that follows what it is given stays below it."""
    with (
        serving(tmp_path, DATABASE_URL=database_url, ROOT_PATH=BELOW) as server,
        nginx_before(tmp_path, [server.url], below=BELOW) as url,
        httpx.Client(base_url=url.removesuffix(BELOW), follow_redirects=True) as client,
    ):
        front = client.get(f"{BELOW}/", headers=BROWSER)
        assert (front.status_code, front.url.path) == (200, f"{BELOW}/docs")
        links = client.get(f"{BELOW}/").json()["links"]
        body = {"email": new_email(), "password": PASSWORD}
        signed_in = client.post(links["sign_up"], json=body).json()
        client.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
        made = [client.post(links["tasks"], json={"title": str(number)}) for number in range(3)]
        assert [client.get(answer.headers["location"]).json() for answer in made] == [a.json() for a in made]
        answer, titles = client.get(links["tasks"], params={"limit": "1"}), []
        while True:
            titles += [task["title"] for task in answer.json()]
            if "next" not in answer.links:
                break
            answer = client.get(answer.links["next"]["url"])
        assert titles == ["2", "1", "0"]
        for name in ("docs", "redoc", "openapi", "health"):
            assert client.get(links[name]).status_code == 200
        for part in re.findall(r'(?:src|href)="([^"]+)"', front.text):
            assert client.get(part).status_code == 200
