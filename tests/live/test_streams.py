"""A stream of changes: what was missed, what happens, and why it ends."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from app.accounts import repository
from app.core.clock import stopwatch
from app.core.errors import ServiceUnavailable
from app.core.logging import JsonFormatter
from app.live import hub, stream
from app.live.stream import EventStream
from app.tasks.changes import read_changes
from tests.support.copies import ADD_MANY, CHANGES, Copy
from tests.support.people import Person
from tests.support.server import Service, app_of, running
from tests.support.settings import SECRET, environment_of, make_settings
from tests.support.streams import following, opening, streaming_client_of
from tests.support.waiting import until

Start = Callable[..., Awaitable[Person]]


@pytest.fixture
async def start(service: Service) -> AsyncIterator[Start]:
    """Starts the service with other settings, and signs up somebody whose client reads streams."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Person:
            client = await stack.enter_async_context(service(**settings))
            person = await Person.sign_up(client)
            person.client = await stack.enter_async_context(streaming_client_of(app_of(client)))
            return person

        yield begin


async def refused(person: Person, **options: Any) -> tuple[int, str]:
    async with opening(person, **options) as answer:
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json()["code"]


async def test_a_stream_tells_what_was_missed_and_then_what_happens(ada: Person, follower: Person) -> None:
    """A page shows at once what another device does: what is made, changed and deleted. Source: FR-059."""
    task = await ada.add_task("Before")
    async with following(follower) as stream:
        assert stream.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.answer.headers["cache-control"] == "no-store"
        assert stream.answer.headers["x-accel-buffering"] == "no"
        first = await stream.read()
        assert (stream.retry, first.data) == (2000, {"tasks": [task], "deleted": []})
        made = await ada.add_task("Now")
        second = await stream.read()
        assert second.data == {"tasks": [made], "deleted": []}
        await ada.send("DELETE", f"/api/tasks/{task['id']}")
        third = await stream.read()
        assert third.data == {"tasks": [], "deleted": [task["id"]]}
        assert all(event.id for event in (first, second, third))


async def test_a_client_that_comes_back_goes_on_where_it_was(ada: Person, follower: Person) -> None:
    """What happens while the line is cut is told, by `since` and by what browsers send; the latter is the later."""
    async with following(follower) as stream:
        first = await stream.read()
        assert first.data == {"tasks": [], "deleted": []}, "told at once that nothing was missed"
    missed = await ada.add_task("While away")
    async with following(follower, params={"since": first.id}) as stream:
        second = await stream.read()
        assert second.data["tasks"] == [missed]
    await ada.add_task("Later")
    async with following(follower, params={"since": first.id}, headers={"Last-Event-ID": str(second.id)}) as stream:
        assert (await stream.read()).titles == ["Later"]
    async with following(follower, params={"since": first.id}, headers={"Last-Event-ID": ""}) as stream:
        assert "While away" in (await stream.read()).titles


async def test_only_ones_own_changes_are_streamed(ada: Person, bob: Person, follower: Person) -> None:
    """Nobody's stream tells what others do. Source: FR-023."""
    async with following(follower) as stream:
        await stream.read()
        await bob.add_task("Bob's")
        await ada.add_task("Ada's")
        assert (await stream.read()).titles == ["Ada's"]


async def test_much_is_several_events_of_which_the_last_is_a_place_to_go_on(
    ada: Person, follower: Person, connection: psycopg.Connection
) -> None:
    """A line that is cut in the middle of much loses nothing: only the last event names the moment."""
    copy = Copy(ada)
    await copy.pull()
    connection.execute(ADD_MANY, [ada.user["id"], 2500])
    async with following(follower, params=copy.question) as stream:
        events = [await stream.read()]
        while not events[-1].id:
            events.append(await stream.read())
    assert [len(event.data["tasks"]) for event in events] == [1000, 1000, 500, 0]
    for event in events:
        copy.take(event.data)
    assert copy.tasks == await copy.truth()


async def test_what_commits_late_is_told_once_it_has(
    ada: Person, follower: Person, connection: psycopg.Connection
) -> None:
    """A change that was begun before a look and committed after it is told, and what is told already not again."""
    task = await ada.add_task("Early")
    write = "UPDATE tasks SET title = 'Late', version = 2, changed = pg_current_xact_id() WHERE id = %s"
    async with following(follower) as stream:
        await stream.read()
        with connection.transaction():
            connection.execute(write, [task["id"]])
            titles = []
            for number in range(3):
                await ada.add_task(f"Meanwhile {number}")
                titles.append((await stream.read()).titles)
        assert titles == [["Meanwhile 0"], ["Meanwhile 1"], ["Meanwhile 2"]]
        await ada.add_task("After")
        assert {*(await stream.read()).titles} >= {"Late", "After"}


async def test_a_transaction_is_told_when_it_is_committed(own_database_url: str) -> None:
    """A stream is woken after the commit, however long that takes: before it there is nothing to see."""
    slow = (
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END'; "
        "CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON user_state DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    async with running(make_settings(own_database_url)) as client, streaming_client_of(app_of(client)) as streaming:
        ada = await Person.sign_up(client)
        with psycopg.connect(own_database_url) as admin:
            admin.execute(slow)
        ada.client = streaming
        async with following(ada) as stream:
            await stream.read()
            end = repository.END_SESSIONS_OF
            user_id = UUID(ada.user["id"])
            await app_of(client).state.database.transact(lambda work: work.fetch_one(end, user_id=user_id))
            assert await stream.end(2) == "INVALID_TOKEN"


async def test_what_is_wrong_is_said_in_json_before_the_stream(
    ada: Person, bob: Person, follower: Person, streaming: httpx.AsyncClient
) -> None:
    """Whoever may not follow, or not from there, is answered as everywhere."""
    assert await refused(Person(streaming, "nobody")) == (401, "NOT_AUTHENTICATED")
    assert await refused(Person(streaming, "nobody", access_token="a.b.c")) == (401, "INVALID_TOKEN")
    assert await refused(follower, params={"since": "x"}) == (422, "VALIDATION_FAILED")
    assert await refused(follower, headers={"Last-Event-ID": "x"}) == (422, "VALIDATION_FAILED")
    assert await refused(follower, headers={"Last-Event-ID": "A" * 1001}) == (422, "VALIDATION_FAILED")
    foreign = (await bob.get(CHANGES)).json()["next"]
    assert await refused(follower, params={"since": foreign}) == (410, "SYNC_EXPIRED")
    await ada.send("POST", "/api/auth/signout")
    assert await refused(follower, params={"since": "x"}) == (401, "INVALID_TOKEN")
    assert await refused(follower) == (401, "INVALID_TOKEN")


async def test_a_client_that_takes_json_gets_it(ada: Person) -> None:
    """Generated clients that list all they take, and browsers that take anything, get the answer and no stream."""
    for accept in ("application/json", "application/json, text/event-stream", "*/*", "text/event-streams;q=x,*/json"):
        answer = await ada.get(CHANGES, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/json"


async def test_head_is_answered_and_ends(follower: Person) -> None:
    """Who asks for the head alone holds no stream."""
    async with asyncio.timeout(5), opening(follower, method="HEAD") as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert await answer.aread() == b""
    assert live_of(follower).streams == 0


def with_client(person: Person, client: httpx.AsyncClient) -> Person:
    person.client = client
    return person


def live_of(person: Person) -> Any:
    transport: Any = person.client._transport
    return transport.app.state.live


async def test_a_beat_keeps_the_line_open(ada: Person, follower: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that cut a silent line do not cut this one, and what was written past the service is told with it."""
    monkeypatch.setattr(hub, "BEAT_SECONDS", 0.2)
    async with following(follower) as stream:
        await stream.read()
        with pytest.raises(TimeoutError):
            await stream.read(1)
        assert 3 <= stream.beats <= 7


def test_a_beat_is_more_often_than_proxies_are_patient() -> None:
    """HAProxy and others cut a line that is silent for 30 s."""
    beats = [hub.Hub(1).next_beat() for _ in range(100)]
    assert 16 <= min(beats) < max(beats) <= 20


async def test_a_stream_finds_by_itself_what_nobody_says(
    ada: Person, follower: Person, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint may be lost: a stream looks with each beat, whether its session lives and what was written."""
    monkeypatch.setattr(hub, "BEAT_SECONDS", 0.2)
    async with following(follower) as stream:
        await stream.read()
        connection.execute(
            "INSERT INTO tasks (id, user_id, title, changed) VALUES (gen_random_uuid(), %s, 'x', pg_current_xact_id())",
            [ada.user["id"]],
        )
        assert (await stream.read()).titles == ["x"]
        connection.execute("UPDATE user_state SET token_version = 99 WHERE user_id = %s", [ada.user["id"]])
        assert await stream.end() == "INVALID_TOKEN"


async def test_a_stream_ends_with_its_access_token(start: Start) -> None:
    """A stolen token opens no stream that outlasts it: the client refreshes and goes on."""
    ada = await start(access_token_expire_minutes=1 / 30)
    began = stopwatch()
    async with following(ada) as stream:
        assert await stream.end() == "TOKEN_EXPIRED"
    assert 0.5 < stopwatch() - began < 3


async def test_who_reads_slowly_is_told_nothing_beyond_the_token_either(
    start: Start, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is read drop by drop does not stretch the life of a stolen token: the rest needs a new one."""
    write = EventStream._write

    async def write_slowly(writing: EventStream, text: bytes) -> None:
        await write(writing, text)
        await asyncio.sleep(1)

    ada = await start(access_token_expire_minutes=1 / 30)
    connection.execute(ADD_MANY, [ada.user["id"], 4500])
    monkeypatch.setattr(EventStream, "_write", write_slowly)
    async with following(ada) as stream:
        events = [await stream.read()]
        while events[-1].name != "end":
            events.append(await stream.read())
    assert events[-1].data == {"code": "TOKEN_EXPIRED"}
    assert len(events) <= 4
    assert not any(event.id for event in events)


async def test_a_refresh_does_not_wake_streams(ada: Person, follower: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest write of all changes nothing that a stream tells."""
    written: list[Any] = []
    monkeypatch.setattr(app_of(ada.client).state.database, "on_write", written.append)
    ada.keep(await ada.refresh())
    assert written == []
    await ada.add_task()
    assert [str(user_id) for user_id in written] == [ada.user["id"]]


async def test_so_many_streams_a_session_and_a_process(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that opens ever more streams does not take those of others, and a full process says when to come again."""
    monkeypatch.setattr(hub, "STREAMS_PER_SESSION", 2)
    ada = await start(live_streams=3)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(following(ada))
        async with opening(ada) as answer:
            assert (answer.status_code, answer.json()["code"]) == (503, "TOO_MANY_STREAMS")
            assert int(answer.headers["retry-after"]) >= 1
        await stack.enter_async_context(following(await ada.sign_in()))
        assert await refused(await ada.sign_in()) == (503, "TOO_MANY_STREAMS")
        assert live_of(ada).streams == 3
    await until(lambda: live_of(ada).streams == 0)
    async with following(ada) as stream:
        await stream.read()


async def test_opening_is_limited(start: Start) -> None:
    """A client that opens streams in a loop is told to wait; being turned away for want of room does not count."""
    ada = await start(live_streams=1, rate_limits="on", rate_limit_live_session="3/hour")
    async with following(ada):
        for _ in range(5):
            assert await refused(ada) == (503, "TOO_MANY_STREAMS")
    for _ in range(2):
        async with following(ada):
            pass
    async with opening(ada) as answer:
        assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert int(answer.headers["retry-after"]) >= 1
    assert live_of(ada).streams == 0


async def test_few_streams_read_at_once(ada: Person, follower: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams are woken at once, requests have connections left."""
    at_once = most = 0

    async def counting(*args: Any, **options: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            await asyncio.sleep(0.02)
            return await read_changes(*args, **options)
        finally:
            at_once -= 1

    async with AsyncExitStack() as stack:
        people = [with_client(await ada.sign_in(), follower.client) for _ in range(3)]
        streams = [await stack.enter_async_context(following(one)) for one in people for _ in range(4)]
        for opened in streams:
            await opened.read()
        monkeypatch.setattr(stream, "read_changes", counting)
        await ada.add_task("Seen by all")
        for opened in streams:
            assert (await opened.read()).titles == ["Seen by all"]
    assert most == hub.READERS == 4


async def test_a_database_that_is_away_is_a_pause(
    ada: Person, follower: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream outlasts a restart of the database: it goes on with what was written meanwhile."""
    monkeypatch.setattr(stream, "PAUSE_SECONDS", (0.05, 0.1))
    away = [3]

    async def failing(*args: Any, **options: Any) -> Any:
        if away[0]:
            away[0] -= 1
            raise ServiceUnavailable
        return await read_changes(*args, **options)

    async with following(follower) as opened:
        await opened.read()
        monkeypatch.setattr(stream, "read_changes", failing)
        await ada.add_task("Meanwhile")
        assert (await opened.read()).titles == ["Meanwhile"]
    assert away == [0]


async def test_a_process_that_stops_sends_everybody_away_at_different_times(start: Start) -> None:
    """Those who come back do so within ten seconds, not all at once; nobody new is taken."""
    ada = await start()
    app: Any = ada.client._transport
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following(ada)) for _ in range(5)]
        draining = app.app.state.draining
        draining._begin(lambda *_: None, 15)
        assert [await opened.end() for opened in streams] == ["GOING_AWAY"] * 5
        back = [opened.retry or 0 for opened in streams]
        assert len(set(back)) > 1
        assert all(0 <= milliseconds <= 10_000 for milliseconds in back)
        async with opening(ada) as answer:
            assert (answer.status_code, answer.json()["code"]) == (503, "STOPPING")


async def test_switched_off_there_is_none(start: Start) -> None:
    """An operator who wants no streams has none, and clients are told to ask now and then."""
    ada = await start(live_streams=0)
    assert await refused(ada) == (501, "LIVE_IS_OFF")
    ada.access_token = "a.b.c"
    assert await refused(ada) == (401, "INVALID_TOKEN")


@pytest.mark.slow
def test_switched_off_it_is_not_even_imported() -> None:
    """What is not used takes no memory and no time."""
    program = (
        "import sys; from app.core.config import Settings; from app.main import create_app; "
        "create_app(Settings(_env_file=None)); print([name for name in sys.modules if name.startswith('app.live')])"
    )
    settings = {"LIVE_STREAMS": "0", "DATABASE_URL": "postgresql://localhost/none", "BETTER_AUTH_SECRET": SECRET}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment_of(**settings), capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


async def test_the_end_is_one_line_in_the_log(follower: Person, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads how long a stream was and why it ended; its time is in no statistics of slow answers."""
    handler = caplog.handler
    logging.getLogger().addHandler(handler)
    async with following(follower) as opened:
        await opened.read()
        await asyncio.sleep(0.3)
    await until(lambda: any(record.getMessage() == "request" for record in caplog.records))
    (line,) = [
        json.loads(JsonFormatter().format(record))
        for record in caplog.records
        if record.getMessage() == "request" and record.__dict__.get("route") == CHANGES
    ]
    assert (line["status"], line["ended"], line["events"]) == (200, "GONE", 1)
    assert line["stream_seconds"] >= 0.3
    assert line["duration_ms"] < 300
