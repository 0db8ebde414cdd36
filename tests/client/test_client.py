"""The Python client, against a real server."""

import asyncio
import json
import os
import pickle
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from auth_tasks_client import ApiError, SignedOut, TasksClient, TokenAuth, TokenStore
from tests.client.between import Between, Way
from tests.support.server import Server
from tests.support.settings import ROOT


def expire(store: TokenStore) -> None:
    """Make the access token an expired one, as after fifteen minutes."""
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


class Dying(Losing):
    """Loses one answer, and then there is no server any more."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.losses == 0:
            raise httpx.ConnectError("nobody there", request=request)
        return super().handle_request(request)


def test_tasks_live_through_the_client(client: TasksClient) -> None:
    """A program manages tasks by a few methods, from sign-up to sign-out."""
    task = client.add("Water the plants", priority="high")
    assert client.edit(task["id"], completed=True)["status"] == "completed"
    assert [t["id"] for t in client.tasks(status="completed")] == [task["id"]]
    client.remove(task["id"])
    assert client.tasks() == []
    with pytest.raises(ApiError, match="Task not found") as gone:
        client.remove(task["id"])
    assert (gone.value.status, gone.value.code, gone.value.detail) == (404, "TASK_NOT_FOUND", "Task not found.")
    client.sign_out()
    client.sign_out()
    with pytest.raises(SignedOut):
        client.tasks()


def test_tokens_are_for_their_owner_only(client: TasksClient, store: TokenStore) -> None:
    """Other users of the machine cannot read the tokens: 0600 in a folder of 0700."""
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    assert {p.name for p in store.path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


def test_an_expired_access_token_is_renewed_before_use(client: TasksClient, store: TokenStore) -> None:
    """A program works on after fifteen minutes without noticing that its token expired."""
    before = refresh_token(store)
    expire(store)
    assert client.tasks() == []
    assert refresh_token(store) != before


def test_a_token_that_is_good_no_more_is_renewed_and_sent_again(client: TasksClient, store: TokenStore) -> None:
    """A program works on when its token is refused early: after a changed secret, or with a wrong clock."""
    tokens = store.read()
    assert tokens is not None
    store.write(replace(tokens, access_token="a.b.c"))
    assert client.tasks() == []


def test_threads_on_one_expired_token_refresh_once(client: TasksClient, store: TokenStore, server: Server) -> None:
    """Threads that share an expired token refresh it once, and none is signed out."""
    expire(store)

    def look(_: int) -> str:
        with httpx.Client(base_url=server.url, auth=TokenAuth(store)) as http:
            answer = http.get("/api/tasks")
            assert answer.status_code == 200
            return answer.request.headers["authorization"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(look, range(16)))) == 1


async def test_tasks_of_one_event_loop_refresh_once(client: TasksClient, store: TokenStore, server: Server) -> None:
    """Tasks of an event loop that share an expired or refused token refresh it once."""
    for stale in ({"access_token": "x", "expires_at": 0}, {"access_token": "a.b.c"}):
        tokens = store.read()
        assert tokens is not None
        store.write(replace(tokens, **stale))
        async with httpx.AsyncClient(base_url=server.url, auth=TokenAuth(store)) as http:
            answers = await asyncio.gather(*(http.get("/api/tasks") for _ in range(8)))
        assert {a.status_code for a in answers} == {200}
        assert len({a.request.headers["authorization"] for a in answers}) == 1


def test_ten_processes_on_one_expired_token_refresh_once(
    client: TasksClient, store: TokenStore, tmp_path: Path
) -> None:
    """Processes that share an expired token refresh it once, by the lock of a file.

    None of them can import the service.
    """
    expire(store)
    package = str(ROOT / "clients" / "python")
    environment = {**os.environ, "AUTH_TASKS_HOME": str(store.path.parent), "PYTHONPATH": package}
    command = [sys.executable, "-m", "auth_tasks_client", "list", "--json"]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=pipe, stderr=pipe) for _ in range(10)]
    for process in started:
        out, said = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)) == (0, []), said
    assert client.tasks() == []


def test_a_lost_answer_signs_nobody_out(server: Server, store: TokenStore, client: TasksClient) -> None:
    """A lost answer signs nobody out, and a lost create makes one task."""
    expire(store)
    unlucky = TasksClient(store, transport=Losing(1))
    assert unlucky._tokens.current().access_token
    unlucky.close()
    unlucky = TasksClient(store, transport=Losing(2))
    unlucky.add("Once")
    assert [t["title"] for t in unlucky.tasks()] == ["Once"]
    unlucky.close()


def test_an_add_that_was_sent_once_is_not_said_to_be_unsent(client: TasksClient, store: TokenStore) -> None:
    """A program is not told that nothing was changed when something may have been.

    That is what a ConnectError of a later attempt would mean.
    """
    with TasksClient(store, transport=Dying(1)) as unlucky, pytest.raises(httpx.ReadError):
        unlucky.add("Once")
    assert [t["title"] for t in client.tasks()] == ["Once"]


def test_a_session_that_is_over_is_forgotten(server: Server, store: TokenStore, client: TasksClient) -> None:
    """A program is told that its session is over, and its tokens are deleted."""
    other = httpx.post(f"{server.url}/api/auth/signout", json={"refresh_token": refresh_token(store)})
    assert other.status_code == 200
    with pytest.raises(SignedOut, match="over"):
        client.tasks()
    assert store.read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}'])
def test_a_broken_file_means_signed_out(store: TokenStore, content: str) -> None:
    """A broken file of tokens means to sign in again, not a traceback."""
    store.path.parent.mkdir(parents=True)
    store.path.write_text(content)
    assert store.read() is None


def test_an_error_of_the_refresh_is_an_error_of_the_api(
    client: TasksClient, store: TokenStore, between: Between
) -> None:
    """A program catches one kind of error, and its session goes on when the server does."""
    expire(store)
    between.own["POST /api/auth/refresh"] = (503, {"detail": "Away.", "code": "SERVICE_UNAVAILABLE"})
    with TasksClient(store, transport=Way(between.url)) as behind, pytest.raises(ApiError) as away:
        behind.tasks()
    assert (away.value.status, away.value.code, away.value.detail) == (503, "SERVICE_UNAVAILABLE", "Away.")
    between.own.clear()
    assert client.tasks() == []


@pytest.mark.parametrize(
    "content", [b"<h1>Bad gateway</h1>", None, "Bad gateway", ["detail"], {"detail": {"a": 1}, "code": 7}]
)
def test_an_error_of_somebody_else_on_the_way_has_words_too(
    client: TasksClient, store: TokenStore, between: Between, content: object
) -> None:
    """The error page of a proxy becomes an error with a status and a sentence."""
    between.own["GET /api/tasks"] = (502, content)
    with TasksClient(store, transport=Way(between.url)) as behind, pytest.raises(ApiError) as error:
        behind.tasks()
    assert (error.value.status, error.value.code) == (502, None)
    assert str(error.value) == "The server answered 502."


def test_an_error_passes_between_processes() -> None:
    """An error keeps its attributes when multiprocessing passes it on."""
    sent = pickle.loads(pickle.dumps(ApiError(409, "CONFLICT", "Taken.")))
    assert (sent.status, sent.code, sent.detail) == (409, "CONFLICT", "Taken.")
