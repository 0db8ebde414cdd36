"""The recipes of docs/cookbook.md, run as they stand there."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.client_js.conftest import PACKAGE, Project
from tests.support.pages import LONGEST_WAIT_MS, serving_folder
from tests.support.people import PASSWORD, new_email
from tests.support.recipes import commands_of, run, sections, write_files
from tests.support.server import Server, free_port, serving
from tests.support.settings import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
expect.set_options(timeout=LONGEST_WAIT_MS)

RECIPES = sections("docs/cookbook.md")
FAKES = {
    "react-native-get-random-values": "crypto.getRandomValues = secureRandom;\n",
    "@react-native-async-storage/async-storage": """const items = new Map();
const later = () => new Promise((done) => setTimeout(done));
export default {
  getItem: async (name) => (await later(), items.get(name) ?? null),
  setItem: async (name, value) => (await later(), void items.set(name, value)),
};
""",
}


def installed(project: Project, folder: Path) -> Path:
    """Put the package where a project in this folder finds it."""
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "auth-tasks-client").symlink_to(project.folder / "node_modules" / "auth-tasks-client")
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.mark.parametrize("scenario", ["lost answers", "a session's end"])
def test_plain_fetch(project: Project, server: Server, tmp_path: Path, scenario: str) -> None:
    """A page without the package stays signed in whatever is lost, refreshes once for all, and does nothing twice."""
    write_files(RECIPES["Plain fetch"], installed(project, tmp_path))
    project.node("plain.mjs", scenario, server, str(tmp_path / "my-page" / "api.js"))


def test_react_native(project: Project, server: Server, tmp_path: Path) -> None:
    """An app without locks, cookies and IndexedDB stays signed in, and sends once what was typed without a network."""
    installed(project, tmp_path)
    for name, code in FAKES.items():
        folder = tmp_path / "node_modules" / name
        folder.mkdir(parents=True)
        (folder / "index.js").write_text(code)
        (folder / "package.json").write_text('{"type": "module", "main": "index.js"}')
    write_files(RECIPES["React Native and Expo"], tmp_path)
    project.node("native.mjs", "an app", server, str(tmp_path))


def test_a_script(project: Project, server: Server, tmp_path: Path) -> None:
    """A script reads the tasks with a token of its own."""
    write_files(RECIPES["A script"], installed(project, tmp_path))
    account = {"email": new_email(), "password": PASSWORD}
    with httpx.Client(base_url=server.url) as ada:
        tokens = ada.post("/api/auth/signup", json=account).json()
        ada.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        ada.post("/api/tasks", json={"title": "Water the plants"})
    shell = Project(tmp_path)
    token = shell.run("node", "make-token.mjs", server.url, account["email"], PASSWORD).strip()
    said = shell.run("env", f"TOKEN={token}", "node", "backup.mjs", server.url)
    assert json.loads(said)["title"] == "Water the plants"


def test_a_service_worker(context: BrowserContext, database_url: str, tmp_path: Path) -> None:
    """A page opens without a network from one release, keeps no answer, and what waits is sent with no page open."""
    service = free_port()
    recipe = RECIPES["A service worker"].replace("8000", str(service))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for command in commands_of(recipe):
        run(command, tmp_path)
    write_files(recipe, tmp_path)
    folder = tmp_path / "my-page"
    account = {"email": new_email(), "password": PASSWORD}
    page = context.new_page()
    with serving_folder(folder) as port:
        origin = f"http://localhost:{port}"
        settings: dict[str, Any] = {"DATABASE_URL": database_url, "FRONTEND_URL": origin, "PORT": str(service)}
        page.goto(origin)
        page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        with serving(tmp_path, **settings):
            page.evaluate(f"async (account) => {{ {IMPORT} await client.auth.signUp(account); }}", account)
            page.reload()
            page.evaluate(f"async () => {{ {IMPORT} await (await openList()).sync(); }}")
    page.reload()  # there is no server at all
    page.evaluate(f"async () => {{ {IMPORT} await (await openList()).create({{ title: 'In a tunnel' }}); }}")
    kept = page.evaluate(KEPT)
    assert f"{origin}/store.js" in kept
    assert all(name == f"{origin}/" or (folder / name.removeprefix(f"{origin}/")).is_file() for name in kept)
    other = context.new_page()
    other.goto(f"{origin}/store.js")  # a file of the page, which runs nothing
    page.close()
    with serving(tmp_path, **settings) as api:
        send_in_the_background(other, origin)
        with httpx.Client(base_url=api.url) as ada:
            token = ada.post("/api/auth/signin", json=account).json()["access_token"]
            ada.headers["Authorization"] = f"Bearer {token}"
            while not (tasks := ada.get("/api/tasks").json()):
                other.wait_for_timeout(50)
    assert [task["title"] for task in tasks] == ["In a tunnel"]


IMPORT = "const { client, openList } = await import('/page.js');"
KEPT = """async () => {
    const names = await Promise.all((await caches.keys()).map(async (name) => (await caches.open(name)).keys()));
    return names.flat().map(({ url }) => url);
}"""


def send_in_the_background(page: Page, origin: str) -> None:
    """Let the browser tell the worker of the page's host that the network is back, as it does when no page is open."""
    told = page.context.new_cdp_session(page)
    found: list[str] = []
    told.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda it: found.extend(one["registrationId"] for one in it["registrations"]),
    )
    told.send("ServiceWorker.enable")
    while not found:
        page.wait_for_timeout(20)
    event = {"origin": origin, "registrationId": found[0], "tag": "tasks", "lastChance": False}
    told.send("ServiceWorker.dispatchSyncEvent", event)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of the project these recipes need, with the client as npm builds it."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(PACKAGE, folder / "clients" / "javascript", ignore=shutil.ignore_patterns("node_modules", "dist"))
    run("npm --prefix clients/javascript install", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "app").symlink_to(ROOT / "app")
    return folder


@contextmanager
def serving_the_app(command: str, folder: Path, address: str) -> Iterator[None]:
    """Run a command of a recipe until the block ends."""
    with (folder / "app.log").open("wb") as log:
        environment = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: answers(address), 120)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=60).is_success
    except httpx.TransportError:
        return False


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("recipe", "options", "done"),
    [
        ("Vite and React", "-- --strictPort --port {}", lambda task: task.get_by_role("checkbox").check()),
        ("Next.js", "--port {}", lambda task: task.get_by_role("button", name="Done").click()),
    ],
)
def test_an_app(
    context: BrowserContext, database_url: str, clone: Path, recipe: str, options: str, done: Callable[[Locator], None]
) -> None:
    """Whoever has an app with Vite and React, or Next.js, signs up, makes a task, ticks it off and is still there."""
    service, port = free_port(), free_port()
    text = RECIPES[recipe].replace("8000", str(service))
    for command in commands_of(text):
        run(command, clone)
    for name in re.findall(r"(?m)^```\w+ (\S+)$", text):
        (clone / name).unlink(missing_ok=True)  # what a generator has made
    write_files(text, clone)
    [command] = re.findall(r"`(np[mx] --prefix [^`]* dev[^`]*)` serves it", text)
    address = f"http://localhost:{port}"
    page = context.new_page()
    settings: dict[str, Any] = {"DATABASE_URL": database_url, "FRONTEND_URL": address, "PORT": str(service)}
    with serving(clone, **settings), serving_the_app(f"{command} {options.format(port)}", clone, address):
        page.goto(address)
        page.get_by_label("E-mail").fill(new_email())
        page.get_by_label("Password").fill("short")
        page.get_by_role("button", name="Sign up").click()
        expect(page.get_by_role("alert").filter(has_text="8")).to_be_visible()
        email = new_email()
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign up").click()
        page.get_by_label("New task").fill("Water the plants")
        page.get_by_role("button", name="Add").click()
        done(page.locator("li, form").filter(has_text="Water the plants"))
        with httpx.Client(base_url=f"http://127.0.0.1:{service}") as ada:
            token = ada.post("/api/auth/signin", json={"email": email, "password": PASSWORD}).json()["access_token"]
            ada.headers["Authorization"] = f"Bearer {token}"
            wait_until(lambda: [task["completed"] for task in ada.get("/api/tasks").json()] == [True])
        page.reload()
        expect(page.get_by_text("Water the plants")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
