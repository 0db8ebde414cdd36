"""A script with a token of its own: in a program, and on the command line by `AUTH_TASKS_TOKEN`."""

import asyncio
import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from auth_tasks_client import InsufficientScope, ScriptAuth, ScriptClient, SignedOut, TasksClient, TokenEnded
from tests.client.between import Between
from tests.client.conftest import Run
from tests.client.test_live import adding
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server

READ, WRITE = "tasks:read", "tasks:write"
NOBODY = "http://127.0.0.1:1"  # a port that is never given to anybody who asks for any


def made(client: TasksClient, *scopes: str) -> str:
    token: str = client.create_script_token("backup", scopes or (READ, WRITE), 90, PASSWORD)["token"]
    return token


class AsScript:
    """The command line in a script's environment, where nothing may be stored; the token may appear nowhere."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self._run, self._monkeypatch, self.home = run, monkeypatch, home

    def __call__(self, token: str, *command: str, way: str | None = None) -> tuple[int, str, str]:
        with self._monkeypatch.context() as patched:
            patched.setenv("AUTH_TASKS_TOKEN", token)
            patched.setenv("AUTH_TASKS_HOME", str(self.home))
            code, shown, said = self._run(*command, way=way)
        assert not self.home.exists()
        assert token.strip() not in shown + said
        return code, shown, said


@pytest.fixture
def as_script(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsScript:
    return AsScript(run, monkeypatch, tmp_path / "nothing is stored here")


def test_somebody_gives_a_script_its_token(run: Run, as_script: AsScript, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is made, put into a variable by `$(…)`, listed by its name, and ended. Source: FR-062."""
    run("signup", new_email())
    assert run("token", "list") == (0, "No tokens.\n", "")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    create = ("token", "create", "backup", "--scope", READ, "--scope", WRITE, "--days", "90")
    code, shown, said = run(*create, "--password-stdin")
    token = shown.removesuffix("\n")
    assert (code, token[:7], "\n" in token) == (0, "atk_eyJ", False)
    assert "shown this once" in said
    assert "AUTH_TASKS_TOKEN" in said
    assert token not in said

    assert as_script(token, "add", "By a script", "--priority", "high")[0] == 0
    [task] = json.loads(as_script(token, "list", "--json")[1])
    assert as_script(token, "edit", task["id"][:8], "--title", "Renamed")[0] == 0
    assert as_script(token, "done", task["id"][:8])[1].startswith("[x]")
    assert as_script(f" {token}\n", "undo", task["id"])[1].startswith("[ ]")
    assert as_script(token, "rm", task["id"][:8]) == (0, "Deleted.\n", "")

    [shown] = run("token", "list")[1].splitlines()
    assert "backup  (a script: tasks:read tasks:write until 2" in shown
    assert len(run("sessions")[1].splitlines()) == 2
    [found] = json.loads(run("token", "list", "--json")[1])
    assert run("token", "end", "zzz") == (1, "", "No such token.\n")
    assert run("token", "end", found["id"][:8]) == (0, "The token has ended.\n", "")
    assert as_script(token, "list") == (
        3,
        "",
        "This script's token has ended, or is none of this server's. "
        "Make another where you are signed in: auth-tasks token create NAME\n",
    )
    assert run("list")[0] == 0, "the owner is still signed in"
    assert json.loads(run(*create, "--json")[1]).keys() == {"id", "name", "scopes", "expires_at", "token"}
    monkeypatch.setattr("getpass.getpass", lambda *_: "wrong password")
    assert run(*create)[:2] == (1, "")


def test_what_its_scope_does_not_allow_is_named(run: Run, as_script: AsScript, client: TasksClient) -> None:
    """Somebody reads which scope is missing; one that may only write needs none to read."""
    task = client.add("Old")
    reads, writes = made(client, READ), made(client, WRITE)
    missing = "This script's token has not the scope {}, which that needs.\n"
    assert as_script(reads, "done", task["id"][:8]) == (1, "", missing.format(WRITE))
    assert as_script(writes, "list") == (1, "", missing.format(READ))
    assert as_script(writes, "done", task["id"][:8]) == (1, "", missing.format(READ))
    assert as_script(writes, "watch") == (1, "", missing.format(READ))
    assert as_script(writes, "done", task["id"])[0] == 0
    assert client.tasks()[0]["completed"]


@pytest.mark.parametrize(
    "command",
    [
        *[("signin", "a@b.test"), ("signout",), ("sessions",), ("passwd",), ("email",), ("delete",), ("token", "list")],
        *[("sync",), ("conflicts",), ("keep", "1", "--mine")],
    ],
    ids=lambda command: command[0],
)
def test_it_is_for_tasks_alone(as_script: AsScript, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """What is the account's, or a copy's, is refused in a sentence; nothing is sent."""
    monkeypatch.setenv("AUTH_TASKS_URL", NOBODY)
    code, shown, said = as_script("atk_x", *command)
    assert (code, shown, said.count("\n")) == (2, "", 1)
    assert "unset AUTH_TASKS_TOKEN" in said


def test_failures_are_as_those_of_a_session(as_script: AsScript, client: TasksClient, between: Between) -> None:
    """A script branches on the exit code."""
    token = made(client)
    assert as_script(token, "list", "--url", NOBODY)[0] == 4
    between.lost.add("POST /api/tasks")
    assert as_script(token, "add", "Lost", "--url", between.url)[0] == 4
    between.own["GET /api/tasks"] = (503, {"detail": "Come again."})
    assert as_script(token, "list", "--url", between.url)[::2] == (4, "Come again. It is safe to try again.\n")
    between.own["GET /api/tasks"] = (401, b"<html>Pay for the hotel's network")
    assert as_script(token, "list", "--url", between.url)[0] == 3
    assert [task["title"] for task in client.tasks()] == ["Lost"]


def test_it_is_sent_where_it_is_said_and_nowhere_else(
    as_script: AsScript, client: TasksClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address it goes nowhere, also if somebody is signed in there; in the clear not without a word."""
    token = made(client)
    for url in ("http://tasks.example.test", "http://10.0.0.1:8000"):
        code, _, said = as_script(token, "list", "--url", url, way=NOBODY)
        assert said.startswith(f"{url} is not encrypted: who is on the way there can read your token.\n")
        assert code == 4
    assert as_script(token, "list", "--url", "tasks.example.test")[0] == 2
    monkeypatch.delenv("AUTH_TASKS_URL")
    assert as_script(token, "list") == (
        2,
        "",
        "Say where AUTH_TASKS_TOKEN is to be sent: --url or AUTH_TASKS_URL.\n",
    )


@pytest.mark.parametrize("form", [PASSWORD, "eyJ.x.y", "atk_a\nb", "atk_a b", "atk_\udc80", "ATK_eyJ"])
def test_what_is_no_token_is_not_sent(as_script: AsScript, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A password that was put there by mistake stays here, and nothing that was is shown."""
    monkeypatch.setenv("AUTH_TASKS_URL", NOBODY)
    assert as_script(form, "list")[::2] == (
        2,
        "AUTH_TASKS_TOKEN has no script's token, which begins with atk_. It is not sent.\n",
    )


class _Astray(BaseHTTPRequestHandler):
    """Leads elsewhere, and remembers who came with a token."""

    came: list[str | None]
    leads_to: str

    def do_GET(self) -> None:
        self.came.append(self.headers.get("Authorization"))
        self.send_response(307)
        self.send_header("Location", f"{self.leads_to}/api/tasks")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing to the terminal."""


@pytest.fixture
def astray() -> Iterator[tuple[str, list[str | None]]]:
    """A server that leads to itself under another name, and the tokens that came there."""
    came: list[str | None] = []
    handler: type[_Astray] = type("Handler", (_Astray,), {"came": came})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        port = server.server_address[1]
        handler.leads_to = f"http://localhost:{port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}", came
        server.shutdown()
        thread.join()


def test_a_server_cannot_send_it_elsewhere(as_script: AsScript, astray: tuple[str, list[str | None]]) -> None:
    """A redirect is not followed, and a client of one's own that follows it comes there without the token."""
    url, came = astray
    assert as_script("atk_x", "list", "--url", url)[0] == 1
    assert came == ["Bearer atk_x"]
    own = httpx.Client(auth=ScriptAuth(url, "atk_x"), follow_redirects=True, max_redirects=1)
    with own, pytest.raises(httpx.TooManyRedirects):
        own.get(url)
    assert came[1:] == ["Bearer atk_x", None]


class TestInAProgram:
    """The same without a command line."""

    def test_it_does_what_it_may(self, client: TasksClient, server: Server) -> None:
        """A program with a token reads and writes tasks, and hears why it cannot go on. Source: FR-062."""
        with ScriptClient(server.url, made(client)) as script:
            task = script.add("By a program")
            assert script.edit(task["id"], completed=True)["completed"]
            assert script.tasks(status="completed") == client.tasks()
            told = script.watch()
            with adding(client, "Elsewhere"):
                assert {task["title"] for task in next(told).tasks} == {"Elsewhere"}
            script.remove(task["id"])
            reads = ScriptClient(server.url, made(client, READ))
            with reads, pytest.raises(InsufficientScope) as refused:
                reads.remove(task["id"])
            assert (refused.value.scope, refused.value.status) == (WRITE, 403)
            [own, _] = sorted(client.script_tokens(), key=lambda it: len(it["scopes"]), reverse=True)
            client.end_session(own["id"])
            for operation in (script.tasks, lambda: script.add("x"), lambda: next(script.watch())):
                with pytest.raises(TokenEnded):
                    operation()
        assert issubclass(TokenEnded, SignedOut)

    @pytest.mark.parametrize("form", ["", "x", "atk_a\r\nX: y", "Bearer atk_x"])
    def test_no_error_shows_it(self, form: str) -> None:
        """What is no token is refused before it is sent, without a word of it."""
        with pytest.raises(ValueError, match="begins with atk_") as refused:
            ScriptClient("http://127.0.0.1:1", form)
        assert "X: y" not in str(refused.value)
        assert "atk_secret" not in repr(vars(ScriptClient(NOBODY, "atk_secret")))

    async def test_a_client_of_ones_own(self, client: TasksClient, server: Server) -> None:
        """Any httpx client sends it to its server, and other hosts get none."""
        auth = ScriptAuth(server.url, await asyncio.to_thread(made, client, READ))
        async with httpx.AsyncClient(auth=auth) as own:
            assert (await own.get(f"{server.url}/api/tasks")).json() == []
            with pytest.raises(InsufficientScope):
                await own.post(f"{server.url}/api/tasks", json={"title": "x"})
        seen = []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request.headers.get("Authorization"))
            return httpx.Response(401)

        async with httpx.AsyncClient(auth=auth, transport=httpx.MockTransport(answer)) as own:
            there = server.url.removeprefix("http://")
            for url in (
                f"https://{there}",
                f"http://x.{there}",
                "http://127.0.0.1:1/",
                f"http://example.test/?{server.url}",
            ):
                await own.get(url)
        assert seen == [None] * 4
