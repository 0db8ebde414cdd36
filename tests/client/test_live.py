"""A copy that follows what happens, through all that can end a stream."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from auth_tasks_client import ApiError, LocalCopy, SignedOut, TasksClient, TokenStore
from auth_tasks_client import live as client_live
from auth_tasks_client.showing import show_told
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, free_port, serving
from tests.support.settings import ROOT

TASK = {"id": "7f3c", "version": 1, "title": "Water", "status": "pending", "priority": "low", "completed": False}
TASK |= {"description": None, "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "2026-01-01T00:00:00.000000Z"}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[LocalCopy]:
    with LocalCopy(tmp_path / "home" / "tasks.db") as opened:
        yield opened


@contextmanager
def adding(client: TasksClient, title: str) -> Iterator[None]:
    """Make tasks until the block ends: nobody can see from outside when a stream has begun."""
    done = threading.Event()

    def add() -> None:
        while not done.wait(0.2):
            client.add(title)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_copy_has_what_happens_elsewhere(client: TasksClient, copy: LocalCopy) -> None:
    """A program that follows has each change as soon as it is told of it. Source: FR-059."""
    kept = client.add("Kept")
    told = client.follow(copy)
    with adding(client, "Elsewhere"):
        assert {task["title"] for task in next(told).tasks} == {"Elsewhere"}
    client.remove(kept["id"])
    while kept["id"] not in next(told).deleted:
        pass
    assert copy.tasks() == client.tasks()


def test_what_waits_in_the_copy_is_sent_meanwhile(client: TasksClient, copy: LocalCopy) -> None:
    """What another process does offline with the same copy reaches the server while this one follows."""
    client.sync(copy)
    copy.add("Made offline")
    told = client.follow(copy)
    with adding(client, "Elsewhere"):
        next(told)
    assert "Made offline" in {task["title"] for task in client.tasks()}
    copy.add("Made while following")
    with adding(client, "Elsewhere"):
        next(told)
    assert "Made while following" in {task["title"] for task in client.tasks()}


def test_a_session_that_is_ended_ends_it(client: TasksClient, server: Server, copy: LocalCopy, tmp_path: Path) -> None:
    """Whoever is signed out elsewhere learns it at once."""
    told = client.follow(copy)
    with adding(client, "Elsewhere"):
        next(told)
    tokens = client.store.read()
    assert tokens
    with TasksClient(TokenStore(tmp_path / "other" / "tokens.json"), server.url) as other:
        other.sign_in(tokens.email, PASSWORD)
        other.end_other_sessions()
    with pytest.raises(SignedOut):
        for _ in told:
            pass


def test_watching_prints_what_happens(client: TasksClient) -> None:
    """A script reads a line of JSON for each thing that happens, as it happens."""
    command = [sys.executable, "-m", "auth_tasks_client", "watch", "--json"]
    environment = {"AUTH_TASKS_HOME": str(client.store.path.parent), "PYTHONPATH": str(ROOT / "clients/python")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        with adding(client, "Seen"):
            told = json.loads(process.stdout.readline())
        process.terminate()
    assert [task["title"] for task in told["tasks"]] == ["Seen"]
    assert told["deleted"] == []


def test_a_person_reads_lines() -> None:
    """What was made or changed looks as in the list; what was deleted says so."""
    told = client_live.Told([TASK], ["0b9e4f6a-1c2d"])
    assert show_told(told, as_json=False) == ["[ ] 7f3c  low     Water", "    0b9e4f6a  deleted"]


Handler = Callable[[httpx.Request], httpx.Response]


class Script:
    """A server that gives one answer after the other to this user, who asks for a stream; `asked` is from where."""

    def __init__(self, user_id: str, *answers: Any) -> None:
        self.user_id = user_id
        self.answers = list(answers)
        self.asked: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/auth/me":
            return httpx.Response(200, json={"id": self.user_id})
        if request.headers["Accept"] != "text/event-stream":
            return httpx.Response(200, json={"tasks": [], "deleted": [], "next": "start"})
        self.asked.append(request.headers.get("Last-Event-ID"))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, stream=Bytes(answer))


class Bytes(httpx.SyncByteStream):
    """What comes of a stream before it is cut, in pieces of seven bytes."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()

    def __iter__(self) -> Iterator[bytes]:
        for place in range(0, len(self.text), 7):
            yield self.text[place : place + 7]
        if not self.text.endswith(b"}\n\n") or b"event: end" not in self.text:
            raise httpx.ReadError("cut")


def event(number: int, **changes: Any) -> str:
    data = json.dumps({"tasks": [TASK | {"version": number} | changes], "deleted": []})
    return f"id: c{number}\ndata: {data}\n\n"


def end(code: str, retry: int | None = None) -> str:
    return (f"retry: {retry}\n" if retry is not None else "") + f'event: end\ndata: {{"code": "{code}"}}\n\n'


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": "No.", "code": code}, headers=headers)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr("auth_tasks_client.live.time.sleep", waited.append)
    return waited


@pytest.fixture
def scripted(client: TasksClient) -> Callable[..., tuple[TasksClient, Script]]:
    def begin(*answers: Any) -> tuple[TasksClient, Script]:
        script = Script(client.user_id(), *answers)
        return TasksClient(client.store, transport=httpx.MockTransport(script)), script

    return begin


Scripted = Callable[..., tuple[TasksClient, Script]]


def versions(told: Iterator[client_live.Told], count: int) -> list[int]:
    return [next(told).tasks[0]["version"] for _ in range(count)]


def test_it_goes_on_from_what_it_has_wherever_it_was_cut(
    scripted: Scripted, waits: list[float], copy: LocalCopy
) -> None:
    """A line that is cut in an event or between two, a server that is away: nothing is missed, and nobody hurries."""
    client, script = scripted(
        "retry: 2000\n\n" + event(1) + ":\n\n" + event(2)[:-9],
        *(httpx.ConnectError("away") for _ in range(6)),
        event(2) + end("TOKEN_EXPIRED"),
        event(3) + end("GOING_AWAY", 7300),
        problem(503, "TOO_MANY_STREAMS", **{"Retry-After": "5"}),
        event(4),
    )
    assert versions(client.watch(), 4) == [1, 2, 3, 4]
    assert script.asked == ["start", *["c1"] * 7, "c2", "c3", "c3"]
    away = waits[:7]
    assert waits[7:] == [0.0, 7.3, 5.0]
    assert 1 <= away[0] <= 2
    assert 15 <= away[-1] <= 30


def test_much_is_taken_when_it_is_whole(scripted: Scripted, waits: list[float], copy: LocalCopy) -> None:
    """Several events of which the last has an id are one; cut before it, they are told again."""
    half = event(1).partition("\n")[2]
    client, script = scripted(half, half + event(2))
    told = next(client.follow(copy))
    assert [task["version"] for task in told.tasks] == [1, 2]
    assert copy.known("cursor") == "c2"
    assert script.asked == ["start", "start"]


def test_a_cursor_that_has_expired_begins_anew(scripted: Scripted, waits: list[float], copy: LocalCopy) -> None:
    """After a restore of the server, before a stream or within one, the copy is read anew."""
    client, script = scripted(event(1) + end("SYNC_EXPIRED"), problem(410, "SYNC_EXPIRED"), event(2))
    assert versions(client.watch(), 2) == [1, 2]
    assert script.asked == ["start", "start", "start"]


def test_a_service_without_streams_is_asked_now_and_then(
    scripted: Scripted, waits: list[float], copy: LocalCopy
) -> None:
    """With LIVE_STREAMS=0, and at a service of before there were streams, the copy is kept all the same."""
    old = httpx.Response(200, json={"tasks": [], "deleted": [], "next": "x"})
    client, _ = scripted(problem(501, "LIVE_IS_OFF"), old, event(1))
    assert versions(client.follow(copy), 1) == [1]
    assert waits == [client_live.POLL_SECONDS] * 2
    for answer in (problem(501, "LIVE_IS_OFF"), old):
        client, _ = scripted(answer)
        with pytest.raises(ApiError):
            next(client.watch())


def test_what_fails_at_first_is_said(scripted: Scripted, waits: list[float], copy: LocalCopy) -> None:
    """Whoever begins without a network, or without a right, is not left waiting."""
    for answer, error in ((httpx.ConnectError("away"), httpx.ConnectError), (problem(500, "INTERNAL_ERROR"), ApiError)):
        client, _ = scripted(answer)
        with pytest.raises(error):
            next(client.follow(copy))
    client, _ = scripted(event(1), problem(500, "INTERNAL_ERROR"), problem(404, "NOT_FOUND"))
    told = client.watch()
    next(told)
    with pytest.raises(ApiError, match="No"):
        next(told)


@pytest.mark.slow
def test_it_outlasts_its_tokens_and_the_server(database_url: str, tmp_path: Path) -> None:
    """A program that follows for weeks refreshes, and waits while the server restarts."""
    settings = {"DATABASE_URL": database_url, "ACCESS_TOKEN_EXPIRE_MINUTES": "0.04", "PORT": str(free_port())}
    with (
        serving(tmp_path, wait=True, **settings) as server,
        TasksClient(TokenStore(tmp_path / "tokens.json"), server.url) as client,
        LocalCopy(tmp_path / "tasks.db") as copy,
    ):
        client.sign_up(new_email(), PASSWORD)
        first = client.store.read()
        told = client.follow(copy)
        with adding(client, "One"):
            next(told)
            while client.store.read() == first:
                next(told)
        server.kill()
        with serving(tmp_path, wait=True, **settings), adding(client, "Two"):
            while "Two" not in {task["title"] for task in next(told).tasks}:
                pass
