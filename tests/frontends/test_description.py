"""The OpenAPI document in the hands of the tools that people use it with. Source: NFR-019."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, free_port, serving
from tests.support.settings import ROOT
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm to test with: apt-get install npm"),
]

DOCUMENT = ROOT / "docs" / "openapi.json"
SOURCES = Path(__file__).parent / "description"


def installed(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of a folder with its packages."""
    folder = tmp_path_factory.mktemp("description") / name
    shutil.copytree(SOURCES / name, folder)
    run(folder, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    return folder


@pytest.fixture(scope="module")
def linters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed("lint", tmp_path_factory)


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed("drive", tmp_path_factory)


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, DATABASE_URL=database_url) as started:
        yield started


def run(folder: Path, *command: str) -> str:
    surroundings = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "contracts", ["", *(pytest.param(others, marks=pytest.mark.nightly) for others in ("v1,path", "path-enveloped"))]
)
def test_linters_find_no_error(linters: Path, contracts: str) -> None:
    """Who checks the document with Spectral or Redocly, as companies do before they use an API, finds no error."""
    document = linters / f"{contracts or 'plain'}.json"
    program = "from app.main import create_app; from tests.support.settings import make_settings; import json, sys\n"
    program += "settings = make_settings('postgresql://localhost/none', api_contracts=sys.argv[1])\n"
    program += "print(json.dumps(create_app(settings).openapi()))"
    document.write_text(run(ROOT, sys.executable, "-c", program, contracts))
    run(linters, "npx", "spectral", "lint", "--fail-severity=error", document.name)
    run(linters, "npx", "redocly", "lint", "--extends=recommended", document.name)


@contextmanager
def proxied(folder: Path, upstream: str) -> Iterator[str]:
    """Put Prism, which holds requests and answers to the document, in front of the service."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = ["npx", "prism", "proxy", "--port", str(port), str(DOCUMENT), upstream]
    with (folder / "prism.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: answers(url), seconds=60)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.mark.nightly
def test_prism_finds_no_violation_in_a_life(drivers: Path, server: Server) -> None:
    """Who puts Prism in front, to find out whether the service does what it says, finds that it does."""
    with proxied(drivers, server.url) as url, httpx.Client(base_url=url, timeout=30) as client:

        def ask(method: str, path: str, status: int, **options: Any) -> Any:
            answer = client.request(method, path, **options)
            violations = json.loads(answer.headers.get("sl-violations", "[]"))
            ours = [found for found in violations if found["location"][0] == "response"]
            assert (answer.status_code, ours) == (status, []), (method, path, answer.text, violations)
            return answer.json() if answer.content else None

        account = {"email": new_email(), "password": PASSWORD}
        ask("POST", "/api/auth/signup", 201, json={**account, "name": "Ada"})
        ask("POST", "/api/auth/signup", 409, json=account)
        ask("POST", "/api/auth/signin", 401, json={**account, "password": "wrong"})
        tokens = ask("POST", "/api/auth/signin", 200, json=account)
        tokens = ask("POST", "/api/auth/refresh", 200, json={"refresh_token": tokens["refresh_token"]})
        form = {"grant_type": "password", "username": account["email"], "password": PASSWORD}
        ask("POST", "/api/auth/token", 200, data=form)
        ask("GET", "/api/tasks", 401)
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        task = ask("POST", "/api/tasks", 201, json={"title": "Water the plants"})
        ask("POST", "/api/tasks", 422, json={"title": ""})
        one = f"/api/tasks/{task['id']}"
        ask("PUT", one, 200, json={**task, "completed": True})
        ask("PATCH", one, 412, json={"title": "x"}, headers={"If-Match": '"1"'})
        ask("PATCH", one, 412, json={"title": "x"}, headers={"If-Match": '"x"'})
        ask("PATCH", f"{one}/toggle", 200)
        ask("PATCH", f"{one}/toggle", 200, json={"completed": True})
        ask("GET", one, 200)
        for query in ("", "?limit=1&sort=title&order=asc", "?q=plants&completed=true"):
            ask("GET", f"/api/tasks{query}", 200)
        ask("GET", "/api/tasks/changes", 200)
        ask("DELETE", one, 204)
        ask("GET", one, 404)
        for path in ("/api/auth/me", "/api/auth/sessions", "/health/ready", "/"):
            ask("GET", path, 200)
        ask("PATCH", "/api/auth/me", 200, json={"name": "Ada Lovelace"})
        ask("POST", "/api/auth/signout", 200, json={})
        ask("GET", "/api/auth/me", 401)


@pytest.mark.nightly
def test_a_postman_collection_gets_a_token_and_lists_tasks(drivers: Path, server: Server) -> None:
    """Who imports the document into Postman sends what it has made: an account, a token, a task, the list."""
    made = [
        "npx",
        "openapi2postmanv2",
        "-s",
        str(DOCUMENT),
        "-o",
        "collection.json",
        "-O",
        "parametersResolution=Example",
    ]
    run(drivers, *made)
    collection = json.loads((drivers / "collection.json").read_text())
    found = {(r["method"], "/".join(r["url"]["path"])): r for r in requests(collection["item"])}
    steps = [
        ("POST", "api/auth/signup", 201, ""),
        ("POST", "api/auth/token", 200, 'pm.collectionVariables.set("token", pm.response.json().access_token);'),
        ("POST", "api/tasks", 201, ""),
        ("GET", "api/tasks", 200, 'pm.expect(pm.response.json()[0].title).to.eql("Water the plants");'),
    ]
    items = []
    for method, path, status, then in steps:
        request = found[method, path]
        if "auth" in request:  # what a person does who has a token: choose it
            request["auth"] = {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]}
        for parameter in request["url"].get("query", []):
            parameter["disabled"] = True  # what a person leaves out
        request["header"] = [
            header for header in request.get("header", []) if header["key"] in ("Content-Type", "Accept")
        ]
        script = f'pm.test("it is so", () => {{ pm.response.to.have.status({status}); {then} }});'
        event = {"listen": "test", "script": {"type": "text/javascript", "exec": [script]}}
        items.append({"name": path, "request": request, "event": [event]})
    collection |= {"item": items, "variable": [{"key": "baseUrl", "value": server.url}]}
    (drivers / "collection.json").write_text(json.dumps(collection))
    run(drivers, "npx", "newman", "run", "collection.json", "--color", "off")


def requests(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        if "item" in item:
            yield from requests(item["item"])
        else:
            yield item["request"]
