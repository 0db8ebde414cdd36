"""The Python client and the command line, against a real server."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from auth_tasks_client import __main__ as command_line
from auth_tasks_client.api import Refused, TasksClient
from auth_tasks_client.auth import SignedOut, TokenAuth
from auth_tasks_client.store import TokenStore
from tests.support import PASSWORD, ROOT, Server, new_email, serving


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, DATABASE_URL=database_url, REFRESH_REUSE_LEEWAY_SECONDS="5") as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "home" / "tokens.json")


@pytest.fixture
def client(server: Server, store: TokenStore) -> Iterator[TasksClient]:
    client = TasksClient(store, server.url)
    client.sign_up(new_email(), PASSWORD, "Ada")
    yield client
    client.close()


def expire(store: TokenStore) -> None:
    """Let the access token be over, as after fifteen minutes."""
    tokens = store.read()
    assert tokens is not None
    store.write(replace(tokens, access_token="x", expires_at=0))


def refresh_token(store: TokenStore) -> str:
    tokens = store.read()
    assert tokens is not None
    return tokens.refresh_token


class Losing(httpx.HTTPTransport):
    """Loses the first answers after the server has done the work."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if self.losses > 0:
            self.losses -= 1
            answer.close()
            raise httpx.ReadError("lost on the way", request=request)
        return answer


def test_tasks_live_through_the_client(client: TasksClient) -> None:
    """From sign-up to sign-out."""
    task = client.add("Water the plants", priority="high")
    assert client.edit(task["id"], completed=True)["status"] == "completed"
    assert [t["id"] for t in client.tasks(status="completed")] == [task["id"]]
    client.remove(task["id"])
    assert client.tasks() == []
    with pytest.raises(Refused, match="Task not found"):
        client.remove(task["id"])
    client.sign_out()
    client.sign_out()
    with pytest.raises(SignedOut):
        client.tasks()


def test_tokens_are_for_their_owner_only(client: TasksClient, store: TokenStore) -> None:
    """0600 in a folder of 0700."""
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert {p.name for p in store.path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


def test_an_expired_access_token_is_renewed_before_use(client: TasksClient, store: TokenStore) -> None:
    """Nobody notices."""
    before = refresh_token(store)
    expire(store)
    assert client.tasks() == []
    assert refresh_token(store) != before


def test_a_token_refused_early_is_renewed_and_sent_again(client: TasksClient, store: TokenStore) -> None:
    """A 401 though it should live: a changed secret, a clock that is wrong."""
    tokens = store.read()
    assert tokens is not None
    store.write(replace(tokens, access_token="a.b.c"))
    assert client.tasks() == []


def test_threads_on_one_expired_token_refresh_once(client: TasksClient, store: TokenStore, server: Server) -> None:
    """And none is signed out."""
    expire(store)

    def look(_: int) -> str:
        with httpx.Client(base_url=server.url, auth=TokenAuth(store)) as http:
            answer = http.get("/api/tasks")
            assert answer.status_code == 200
            return answer.request.headers["authorization"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(look, range(16)))) == 1


async def test_tasks_of_one_event_loop_refresh_once(client: TasksClient, store: TokenStore, server: Server) -> None:
    """httpx.AsyncClient; on a refused token too."""
    for stale in ({"access_token": "x", "expires_at": 0}, {"access_token": "a.b.c"}):
        tokens = store.read()
        assert tokens is not None
        store.write(replace(tokens, **stale))
        async with httpx.AsyncClient(base_url=server.url, auth=TokenAuth(store)) as http:
            answers = await asyncio.gather(*(http.get("/api/tasks") for _ in range(8)))
        assert {a.status_code for a in answers} == {200}
        assert len({a.request.headers["authorization"] for a in answers}) == 1


def test_ten_processes_on_one_expired_token_refresh_once(client: TasksClient, store: TokenStore) -> None:
    """The lock is a file's."""
    expire(store)
    environment = {**os.environ, "AUTH_TASKS_HOME": str(store.path.parent), "PYTHONPATH": str(ROOT / "clients/python")}
    command = [sys.executable, "-m", "auth_tasks_client", "list", "--json"]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(10)
    ]
    for process in started:
        out, said = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)) == (0, []), said
    assert client.tasks() == []


def test_a_lost_answer_signs_nobody_out(server: Server, store: TokenStore, client: TasksClient) -> None:
    """With the leeway on the same successor comes again; a lost create makes one task."""
    expire(store)
    unlucky = TasksClient(store, transport=Losing(1))
    assert unlucky._auth.current().access_token
    unlucky.close()
    unlucky = TasksClient(store, transport=Losing(2))
    unlucky.add("Once")
    assert [t["title"] for t in unlucky.tasks()] == ["Once"]
    unlucky.close()


def test_a_sign_in_that_is_over_is_forgotten(server: Server, store: TokenStore, client: TasksClient) -> None:
    """And said so."""
    other = httpx.post(f"{server.url}/api/auth/signout", json={"refresh_token": refresh_token(store)})
    assert other.status_code == 200
    with pytest.raises(SignedOut, match="over"):
        client.tasks()
    assert store.read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}'])
def test_a_broken_file_means_signed_out(store: TokenStore, content: str) -> None:
    """Not a traceback."""
    store.path.parent.mkdir(parents=True)
    store.path.write_text(content)
    assert store.read() is None


class TestCommandLine:
    """For people a table, for scripts --json, exit codes that mean something."""

    @pytest.fixture
    def run(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> Any:
        monkeypatch.setenv("AUTH_TASKS_HOME", str(tmp_path))
        monkeypatch.setenv("AUTH_TASKS_URL", server.url)
        monkeypatch.setattr("getpass.getpass", lambda: PASSWORD)

        def run(*arguments: str) -> tuple[int, str, str]:
            code = command_line.main(list(arguments))
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return run

    def test_a_whole_day(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        email = new_email()
        assert run("list")[0] == 3
        assert run("signup", email, "--name", "Ada")[0] == 0
        assert run("signout")[0] == 0
        assert run("signin", email)[0] == 0
        assert run("list")[1] == "No tasks.\n"
        assert run("add", "Water\x1b[31m the plants", "--priority", "high")[0] == 0
        task = json.loads(run("list", "--json")[1])[0]
        assert run("list")[1] == f"[ ] {task['id'][:8]}  high    Water [31m the plants\n"
        assert run("edit", task["id"][:8], "--title", "Fern", "--status", "in_progress")[1].startswith("[~]")
        assert run("done", task["id"][:8])[1].startswith("[x]")
        assert json.loads(run("list", "--status", "pending", "--json")[1]) == []
        assert run("done", "zzz") == (1, "", "No such task.\n")
        run("add", "Another")
        assert "2 tasks have" in run("rm", "")[2]
        assert run("rm", task["id"])[0] == 0
        assert json.loads(run("signout", "--everywhere", "--json")[1]) == {"message": "You are signed out."}

    def test_failures_have_their_own_codes_and_clear_words(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        email = new_email()
        monkeypatch.setattr("getpass.getpass", lambda: "short")
        code, _, said = run("signup", email)
        assert (code, "password must have at least 8" in said) == (1, True)
        monkeypatch.setattr("getpass.getpass", lambda: "wrong password")
        assert run("signin", email)[0] == 3
        code, _, said = run("signin", email, "--url", "http://127.0.0.1:1")
        assert (code, "cannot be reached" in said) == (4, True)
        with pytest.raises(SystemExit) as wrong:
            run("fly")
        assert wrong.value.code == 2

    def test_a_password_can_be_piped(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        import io

        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        assert run("signup", new_email(), "--password-stdin")[0] == 0
