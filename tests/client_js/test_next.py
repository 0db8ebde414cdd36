"""A real Next.js app, whose components cannot set cookies (next-auth#7522, #11853, next.js#54266)."""

import hmac
import json
import os
import shutil
import subprocess
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.clock import stopwatch
from tests.client_js.conftest import HERE, Project
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, free_port

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

RENDERS = 20
SECRET = "the page server's own secret, 32 characters or more"


@pytest.fixture(scope="module")
def page(project: Project, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app of `next/`, built and started as for production."""
    folder = tmp_path_factory.mktemp("next") / "app"
    shutil.copytree(HERE / "next", folder)
    app = Project(folder)
    app.run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    installed = "node_modules/auth-tasks-client"
    shutil.copytree(project.folder / installed, folder / installed)
    app.run("npx", "next", "build", seconds=600)
    port = free_port()
    environment = {**os.environ, "API": server.url, "SESSION_SECRET": SECRET, "NEXT_TELEMETRY_DISABLED": "1"}
    command = ["node", "node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str, log: Path) -> None:
    deadline = stopwatch() + 60
    while stopwatch() < deadline:
        try:
            httpx.get(f"{url}/account")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def cookie_of(answer: httpx.Response) -> str:
    """Return the value of the session's cookie, which httpx would send over https alone."""
    [line] = [line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-session=")]
    assert "HttpOnly" in line
    assert "Secure" in line
    return line.partition("=")[2].partition(";")[0]


def read(part: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(urlsafe_b64decode(part.partition(".")[0] + "=="))
    return item


def written(item: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(item).encode()).decode().rstrip("=")


def expired(cookie: str) -> str:
    """Return the cookie with an access token that has expired."""
    item = read(cookie)
    head, claims, signature = item["access_token"].split(".")
    old = written({**read(claims), "exp": 1})
    value = written({**item, "access_token": f"{head}.{old}.{signature}"})
    mac = hmac.digest(SECRET.encode(), f"__Host-session={value}".encode(), "sha256")
    return f"{value}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


def test_renders_at_once_share_one_successor(page: str, server: Server) -> None:
    """Twenty renders with an expired access token, whose cookie nobody can set, and the proxy step: still signed in."""
    email = new_email()
    signed_up = httpx.post(f"{page}/account", json={"email": email, "password": PASSWORD}, timeout=60)
    assert signed_up.status_code == 204
    first = expired(cookie_of(signed_up))

    def render(cookie: str, path: str = "/") -> httpx.Response:
        return httpx.get(page + path, headers={"Cookie": f"__Host-session={cookie}"}, timeout=60)

    with ThreadPoolExecutor(RENDERS) as pool:
        answers = list(pool.map(render, [first] * RENDERS))
    assert [answer.status_code for answer in answers] == [200] * RENDERS
    assert all(f"{email}: Water the plants" in answer.text for answer in answers)
    assert not any("set-cookie" in answer.headers for answer in answers)

    with ThreadPoolExecutor(RENDERS) as pool:
        answers = list(pool.map(render, [first] * RENDERS, ["/with-proxy"] * RENDERS))
    assert [answer.status_code for answer in answers] == [200] * RENDERS
    successors = {read(cookie_of(answer))["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert successors != {read(first)["refresh_token"]}
    second = cookie_of(answers[0])
    assert render(second).status_code == 200
    assert cookie_of(render(expired(second), "/with-proxy")) != second
    out = httpx.delete(f"{page}/account", headers={"Cookie": f"__Host-session={second}"}, timeout=60)
    assert cookie_of(out) == ""
    assert render(second).status_code == 500
    assert "refresh_reuse_detected" not in server.log.read_text()
