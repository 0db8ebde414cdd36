"""The service as a whole: what it says of itself, and how it is started and stopped."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import httpx
import pytest

from app.cli import commands
from app.core.clock import stopwatch
from tests.support.clones import clone
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service, serving
from tests.support.settings import MEASURED, ROOT, SECRET
from tests.support.waiting import wait_until


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=kept, capture_output=True, text=True, timeout=60, check=False
    )


async def test_the_front_page_says_where_to_go(client: httpx.AsyncClient) -> None:
    """Whoever opens the address finds the documentation and the health check from there. Source: FR-047."""
    about = (await client.get("/")).json()
    assert about.keys() == {"name", "version", "status", "links"}
    for link in ("docs", "redoc", "openapi", "health"):
        assert (await client.get(about["links"][link])).status_code == 200
    assert (await client.get("/health")).json() == {"status": "ok"}


async def test_a_browser_is_shown_the_documentation(client: httpx.AsyncClient, service: Service) -> None:
    """Who types the address into a browser meets Swagger UI; programs get what they always got."""
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = await client.get("/", headers=browser)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    for accept in ("*/*", "application/json"):
        assert (await client.get("/", headers={"Accept": accept})).json()["status"] == "ok"
    async with service(docs_enabled=False) as without_docs:
        assert (await without_docs.get("/", headers=browser)).json()["status"] == "ok"


class TestDocs:
    """Swagger UI and ReDoc, from this server alone. Source: SC-009."""

    @pytest.mark.parametrize("path", ["/docs", "/redoc"])
    async def test_the_pages_name_no_other_host(self, client: httpx.AsyncClient, path: str) -> None:
        """The pages work in a closed network: no script comes from another host."""
        page = await client.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "http" not in page.text.replace("<!doctype html>", "")
        assert "'unsafe-inline'" not in page.headers["content-security-policy"].partition("style-src")[0]
        for part in page.text.split('"'):
            if part.startswith("/docs/"):
                asset = await client.get(part)
                assert asset.status_code == 200, part
        assert (await client.get("/redoc/logo-mini.svg")).status_code == 200

    @pytest.mark.parametrize(
        ("wanted", "status"),
        [
            ("bytes=5-1", 400),
            ("nonsense", 400),
            ("bytes=", 400),
            ("bytes=x-y", 400),
            ("items=0-1", 400),
            ("bytes=99999999-", 416),
            ("bytes=0-9", 206),
        ],
    )
    async def test_a_range_that_cannot_be_read_is_an_error_like_all(
        self, client: httpx.AsyncClient, wanted: str, status: int
    ) -> None:
        """A download that goes on at the wrong place reads why, in JSON. Source: RFC 9110 14.2."""
        for path in ("/docs/assets/swagger/swagger-ui.css", "/redoc/logo-mini.svg"):
            answer = await client.get(path, headers={"Range": wanted})
            assert answer.status_code == status
            if status == 416:
                assert re.fullmatch(r"bytes \*/\d+", answer.headers["content-range"])
            if status != 206:
                assert answer.json()["code"] == ("BAD_RANGE" if status == 400 else "RANGE_NOT_SATISFIABLE")

    async def test_they_can_be_switched_off(self, service: Service) -> None:
        """An operator can take the documentation off the net."""
        async with service(docs_enabled=False) as client:
            for path in ("/docs", "/redoc", "/openapi.json", "/docs/start.js", "/docs/assets/swagger/swagger-ui.css"):
                assert (await client.get(path)).status_code == 404
            assert "docs" not in (await client.get("/")).json()["links"]


class TestStart:
    """Nothing happens at import; whoever starts it wrongly is told what to do."""

    def test_importing_needs_no_settings(self, tmp_path: Path) -> None:
        """Tools can import the application before anything is set."""
        done = run("-W", "error", "-W", "ignore::DeprecationWarning", "-c", "import app.main", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_bare_uvicorn_without_a_database_says_what_to_set(self, tmp_path: Path) -> None:
        """Whoever starts `uvicorn app.main:app` reads which setting is missing, and no traceback."""
        done = run("-m", "uvicorn", "app.main:app", cwd=tmp_path, BETTER_AUTH_SECRET=SECRET)
        assert done.returncode != 0
        assert "DATABASE_URL is not set" in done.stderr
        assert "Traceback" not in done.stderr

    def test_bad_settings_stop_it_in_one_sentence_each(self, tmp_path: Path) -> None:
        """An operator reads one sentence for each wrong setting, and no value of one."""
        done = run("-m", "app", "serve", cwd=tmp_path, PORT="x", DATABASE_URL="mysql://u:hunter2@h/d")
        assert done.returncode == 1
        assert {"BETTER_AUTH_SECRET", "PORT", "DATABASE_URL"} <= set(done.stderr.split())
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr

    def test_an_attribute_that_is_not_there_is_not_there(self) -> None:
        """A misspelled name in `app.main` fails as it does in any module."""
        import app.main

        with pytest.raises(AttributeError):
            assert app.main.nothing

    def test_a_database_that_is_away_is_named_by_migrate(self, tmp_path: Path) -> None:
        """An operator reads that the database cannot be reached, and a script gets exit code 1."""
        away = "postgresql://nobody@127.0.0.1:1/none"
        done = run("-m", "app", "migrate", cwd=tmp_path, BETTER_AUTH_SECRET=SECRET, DATABASE_URL=away)
        assert (done.returncode, "cannot be reached" in done.stderr) == (1, True)


def test_commands_that_need_no_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """A secret and the OpenAPI document can be had before anything is set."""
    commands.main(["secret"])
    assert len(capsys.readouterr().out.strip()) == 64
    commands.main(["openapi"])
    document = json.loads(capsys.readouterr().out)
    assert document["info"]["title"] == "Auth + Tasks API"


def test_every_command_is_there() -> None:
    """Each line of the help can be run: what it names is found."""
    for run, text in (*commands.COMMANDS.values(), *commands.USER_ACTIONS.values()):
        assert callable(run if callable(run) else resolve_name(run)), text


def test_pruning_and_migrating_by_hand(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator can delete expired rows by hand, and reads how many went."""
    import psycopg

    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO users (id, email, password_hash) "
            "SELECT gen_random_uuid(), n || '@b.co', 'x' FROM generate_series(1, 20) n"
        )
        admin.execute(
            "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
            "SELECT gen_random_uuid(), gen_random_uuid(), id, 'used', now(), now() + n * interval '1 hour' "
            "FROM users, generate_series(0, 1) n"
        )
        admin.execute(
            "INSERT INTO rate_limit_counters (key, count, expires_at) "
            "SELECT sha256(n::text::bytea), 1, now() + (n - 500) * interval '1 hour' FROM generate_series(1, 600) n"
        )
        admin.execute(
            "INSERT INTO task_tombstones (id, user_id, version, changed, deleted_at) "
            "SELECT gen_random_uuid(), id, 1, '3', now() - n * interval '32 days' FROM users, generate_series(0, 1) n"
        )
        monkeypatch.setattr("app.cli.database.PRUNE_BATCH", 8)
        monkeypatch.setenv("DATABASE_URL", own_database_url)
        monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
        commands.main(["migrate"])
        commands.main(["prune"])
        said = capsys.readouterr().err
        assert "The database is up to date." in said
        assert "Deleted 20 expired denylist rows.\n" in said
        assert "Deleted 20 expired tombstones.\n" in said
        assert "Deleted 500 expired counters.\n" in said
        for table, left in (("token_denylist", 20), ("task_tombstones", 20), ("rate_limit_counters", 100)):
            assert admin.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (left,)


def test_the_whole_life_of_a_server_with_its_own_database(folder: Path) -> None:
    """`make run` works in any folder; SIGTERM and Ctrl-C stop everything, and the data stays."""
    home = folder / "my tasks"
    home.mkdir(mode=0o711)
    home.chmod(0o711)
    email = new_email()
    account = {"email": email, "password": PASSWORD}
    for number, how in enumerate((signal.SIGTERM, signal.SIGINT)):
        data = {"EMBEDDED_DATA_DIR": str(home / "data" / "postgres"), "WORKERS": str(number + 1)}
        with serving(home, wait=True, **data, **MEASURED) as server:
            with httpx.Client(base_url=server.url) as client:
                opened = client.post("/api/auth/signin" if number else "/api/auth/signup", json=account)
                assert opened.is_success, opened.text
                bearer = {"Authorization": f"Bearer {opened.json()['access_token']}"}
                assert client.post("/api/tasks", json={"title": "stay"}, headers=bearer).status_code == 201
                assert len(client.get("/api/tasks", headers=bearer).json()) == number + 1
            wait_until(lambda: "/docs" in server.log.read_text())
            server.process.send_signal(how)
            assert server.process.wait(20) in (0, 130), server.log.read_text()
        assert not (home / "data" / "postgres" / "postmaster.pid").exists()
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_a_change_of_the_code_is_served_at_once(folder: Path) -> None:
    """Whoever develops sees a change without starting anew, and the accounts made by hand are still there."""
    tree = clone(folder / "tree")
    data = folder / "postgres"
    account = {"email": new_email(), "password": PASSWORD}
    with serving(tree, "--reload", EMBEDDED_DATA_DIR=str(data), PYTHONPATH=str(tree)) as server:
        assert httpx.post(f"{server.url}/api/auth/signup", json=account).status_code == 201
        started = (data / "postmaster.pid").read_text()
        (tree / "app" / "__init__.py").write_text('"""Changed."""\n\n__version__ = "2.0.0"\n')
        wait_until(lambda: version(server.url) == "2.0.0", 30)
        assert httpx.post(f"{server.url}/api/auth/signin", json=account).status_code == 200
        assert (data / "postmaster.pid").read_text() == started


def version(url: str) -> str | None:
    """Return the version of the service at an address, if it answers."""
    with suppress(httpx.TransportError):
        return str(httpx.get(url).json()["version"])
    return None


@pytest.mark.slow
async def test_how_long_one_request_takes_is_reported(service: Service) -> None:
    """The times that users wait for a sign-in, a task and a list of 1,000 are in the report.

    They are no gate: the goals are 500, 200 and 100 ms. Source: NFR-009, NFR-010, SC-007.
    """
    async with service(password_hash_cost=12) as client:
        ada = await Person.sign_up(client)
        for number in range(1000):
            await ada.add_task(f"Task {number}")
        operations: list[tuple[str, Any]] = [
            ("sign-in at cost 12", ada.sign_in),
            ("create", ada.add_task),
            ("list of 1,000", lambda: ada.get("/api/tasks")),
        ]
        for what, send in operations:
            began = stopwatch()
            await send()
            print(f"one {what}: {(stopwatch() - began) * 1000:.0f} ms")
        assert len((await ada.get("/api/tasks")).json()) == 1001
