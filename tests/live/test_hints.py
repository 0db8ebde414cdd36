"""What one process writes, the streams of all others tell."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.accounts import admin
from app.auth.principal import Principal
from app.belongings import BELONGINGS
from app.cli import database, users
from app.cli.trial import try_out
from app.core.clock import stopwatch, system_clock
from app.core.config import Settings
from app.core.database.pool import DatabaseUnavailable
from app.live import hints, hub, listener, live
from app.live.hints import read_hint, write_hint
from app.operations.doctor import examine
from tests.support.people import NOBODY, PASSWORD, Person
from tests.support.server import app_of, running
from tests.support.settings import make_settings
from tests.support.streams import following, streaming_client_of
from tests.support.waiting import until

A_SECOND = 1


@pytest.fixture(scope="session")
async def elsewhere(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Another process of the service over the same database, by a client that reads streams."""
    async with running(settings) as other, streaming_client_of(app_of(other)) as made:
        yield made


@pytest.fixture
def distant(ada: Person, elsewhere: httpx.AsyncClient) -> Person:
    """Ada, in the same session, whose stream is at the other process."""
    return Person(elsewhere, ada.email, ada.password, ada.user, ada.access_token, ada.refresh_token)


async def is_listening(person: Person) -> None:
    """Wait until a process has found out that it hears itself."""
    await until(lambda: live_of(person)._hub.hears)


def live_of(person: Person) -> Any:
    transport: Any = person.client._transport
    return transport.app.state.live


async def test_a_stream_at_another_process_is_told_at_once(ada: Person, distant: Person) -> None:
    """However many processes there are, a page sees what a device does that speaks to another. Source: FR-059."""
    async with following(distant) as stream:
        await stream.read()
        await is_listening(distant)
        began = stopwatch()
        task = await ada.add_task()
        assert (await stream.read(A_SECOND)).data == {"tasks": [task], "deleted": []}
        print(f"told by another process after {(stopwatch() - began) * 1000:.0f} ms")


ENDINGS: dict[str, Callable[[Person, Person, httpx.AsyncClient], Awaitable[Any]]] = {
    "signout": lambda ada, other, client: ada.send("POST", "/api/auth/signout"),
    "everywhere": lambda ada, other, client: other.send("POST", "/api/auth/signout", json={"everywhere": True}),
    "others": lambda ada, other, client: other.send("POST", "/api/auth/signout", json={"others": True}),
    "one of the list": lambda ada, other, client: other.send("DELETE", f"/api/auth/sessions/{ada.session_id}"),
    "a new password": lambda ada, other, client: other.send(
        "POST", "/api/auth/password", json={"current_password": PASSWORD, "new_password": PASSWORD[::-1]}
    ),
    "deletion": lambda ada, other, client: other.send(
        "POST", "/api/auth/me/delete", json={"current_password": PASSWORD}
    ),
    "reuse": lambda ada, other, client: reuse(ada),
    "deactivation": lambda ada, other, client: admin.deactivate(app_of(client).state.database, ada.email),
    "operator": lambda ada, other, client: admin.sign_out(app_of(client).state.database, ada.email),
    "operator's deletion": lambda ada, other, client: admin.delete(
        app_of(client).state.database, ada.email, belongings=BELONGINGS
    ),
}


async def reuse(person: Person) -> None:
    first = person.refresh_token
    person.keep(await person.refresh())
    assert (await person.refresh(first)).status_code == 401


@pytest.mark.parametrize("ending", ENDINGS)
async def test_whatever_ends_a_session_ends_its_streams_everywhere(
    ada: Person, distant: Person, client: httpx.AsyncClient, ending: str
) -> None:
    """Whoever is signed out sees nothing more within a second, whichever process has the stream. Source: FR-013."""
    other = await ada.sign_in()
    async with following(distant) as stream:
        await stream.read()
        await is_listening(distant)
        await ENDINGS[ending](ada, other, client)
        assert await stream.end(A_SECOND) == "INVALID_TOKEN"


@pytest.mark.parametrize("command", ["signout", "deactivate", "delete"])
async def test_what_an_operator_does_is_said_too(
    ada: Person, distant: Person, settings: Settings, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that ends somebody's sessions ends the streams within a second, too."""
    commands: dict[str, Callable[[], None]] = {
        "signout": lambda: users.sign_out(settings, ada.email, everybody=False),
        "deactivate": lambda: users.deactivate(settings, ada.email),
        "delete": lambda: users.delete(settings, ada.email),
    }
    async with following(distant) as stream:
        await stream.read()
        await is_listening(distant)
        await asyncio.to_thread(commands[command])
        assert await stream.end(A_SECOND) == "INVALID_TOKEN"


async def test_signing_everybody_out_ends_every_stream(own_database_url: str) -> None:
    """After a break-in nobody sees anything more within a second of the command."""
    settings = make_settings(own_database_url)
    async with running(settings) as client, streaming_client_of(app_of(client)) as streaming:
        people = [await Person.sign_up(client) for _ in range(2)]
        for person in people:
            person.client = streaming
        async with following(people[0]) as one, following(people[1]) as two:
            await is_listening(people[0])
            await asyncio.to_thread(users.sign_out, settings, "", everybody=True)
            assert [await one.end(A_SECOND), await two.end(A_SECOND)] == ["INVALID_TOKEN"] * 2


async def test_a_restore_ends_every_stream(own_database_url: str, tmp_path: Path) -> None:
    """Nobody goes on with what was before: clients see at once that they must sign in again."""
    settings, file = make_settings(own_database_url), tmp_path / "backup.dump"
    async with running(settings) as client, streaming_client_of(app_of(client)) as streaming:
        ada = await Person.sign_up(client)
        await asyncio.to_thread(database.dump, settings, file)
        ada.client = streaming
        async with following(ada) as stream:
            await is_listening(ada)
            await stream.read()
            await asyncio.to_thread(database.restore, settings, file)
            assert await stream.end(5) in ("INVALID_TOKEN", "SYNC_EXPIRED")


async def test_hints_of_many_users_are_few_statements(own_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is written, a process says it some twenty times a second, in messages that PostgreSQL takes."""
    async with running(make_settings(own_database_url)) as client:
        live = app_of(client).state.live
        with psycopg.connect(make_conninfo(own_database_url), autocommit=True) as listening:
            listening.execute("LISTEN tasks")
            for number in range(450):
                live._wrote(type(NOBODY)(int=number))
                live._wrote(type(NOBODY)(int=number))
            heard: list[str] = []
            async with asyncio.timeout(10):
                while sum(len(read_hint(payload).user_ids) for payload in heard) < 450:
                    heard += [notice.payload for notice in listening.notifies(timeout=0.01)]
                    await asyncio.sleep(0.01)
    assert [len(read_hint(payload).user_ids) for payload in heard] == [200, 200, 50]
    assert max(map(len, heard)) < 8000


async def test_hints_that_cannot_be_said_are_counted_and_logged_once(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator is told that streams are late, by an alert and by one line, and nobody's write fails by it."""
    counted: list[str] = []
    warned: list[str] = []

    async def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    def is_counted(tries: int) -> bool:
        return counted.count("failed") == tries

    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        said = app_of(client).state.live._hints
        monkeypatch.setattr(said, "_count", counted.append)
        monkeypatch.setattr(hints.logger, "warning", lambda event, **_: warned.append(event))
        monkeypatch.setattr(said, "_server", type("Server", (), {"fetch_all": refuse}))
        for tries in (1, 2):
            await ada.add_task()
            await until(partial(is_counted, tries))
    assert warned == ["hints_failed"]


async def test_a_process_that_hears_nothing_looks_more_often_and_says_so_once(
    ada: Person, distant: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler that passes nothing on streams are told within five seconds, and a line says what to set."""
    for name, value in {"HEARD_SECONDS": 0.05, "PROBE_SECONDS": 0.05, "LISTEN": "SELECT 1"}.items():
        monkeypatch.setattr(listener, name, value)
    warned: list[str] = []
    monkeypatch.setattr(listener.logger, "warning", lambda event, **_: warned.append(event))
    async with running(make_settings(str(app_of(ada.client).state.settings.database_url.get_secret_value()))) as third:
        live = app_of(third).state.live
        assert 16 <= live._hub.next_beat() <= 20
        async with streaming_client_of(app_of(third)) as streaming:
            distant.client = streaming
            async with following(distant) as stream:
                await stream.read()
                await until(lambda: live._hub.hears is False)
                assert 4 <= live._hub.next_beat() <= 5
                await asyncio.sleep(0.3)
    assert warned == ["hints_unheard"]


async def test_a_line_that_breaks_is_made_anew_and_everybody_looks(
    ada: Person, distant: Person, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said while a process cannot hear is found when it listens again."""
    monkeypatch.setattr(listener, "RECONNECT_SECONDS", 0.5)
    monkeypatch.setattr(hub, "DEAF_BEAT_SECONDS", 20)
    async with following(distant) as stream:
        await stream.read()
        await is_listening(distant)
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN \"tasks\"'"
        ).fetchall()
        assert ended
        await until(lambda: live_of(distant)._hub.hears is False)
        task = await ada.add_task()
        assert (await stream.read(4)).data["tasks"] == [task]


async def test_the_connection_goes_a_while_after_the_last_stream(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without streams holds no connection for them."""
    monkeypatch.setattr(listener, "LINGER_SECONDS", 1)
    async with running(make_settings(own_database_url)) as client, streaming_client_of(app_of(client)) as streaming:
        ada = await Person.sign_up(client)
        with psycopg.connect(own_database_url, autocommit=True) as admin:

            def listening() -> int:
                asked = (
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
                return int(admin.execute(asked).fetchone()[0])  # type: ignore[index]  # it is one row

            assert listening() == 0
            ada.client = streaming
            async with following(ada):
                await until(lambda: listening() == 1)
            await until(lambda: listening() == 0)


def test_what_a_stranger_says_wakes_nobody() -> None:
    """Whoever may connect to the database can say anything on the channel: it names no user, or wakes in vain."""
    asked = hub.Hub(1)
    waiter = asked.add(Principal(NOBODY, NOBODY, 0, system_clock()))
    for payload in ("", " ", "x", "x y", ",,,", "* *,*", "x " + "y" * 7000, str(NOBODY)):
        hint = read_hint(payload)
        assert not hint.is_for_everybody
        asked.wake(hint.user_ids)
    assert not waiter.awake.is_set()
    asked.wake(read_hint(write_hint("x", [NOBODY])).user_ids)
    assert waiter.awake.is_set()


def test_doctor_says_whether_it_is_heard(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator learns that streams are late, and what to set."""

    def found(**settings: Any) -> tuple[str, str]:
        everything = {
            what: (verdict, how) for verdict, what, how in examine(make_settings(database_url, **settings), try_out)
        }
        return everything["live"]

    assert found() == ("ok", "what happens is told at once")
    assert found(live_streams=0)[0] == "ok"
    verdict, how = found(database_listen_url="postgresql://me@127.0.0.1:1/none")
    assert (verdict, "correct DATABASE_LISTEN_URL" in how) == ("warn", True)
    monkeypatch.setattr("app.live.operators.LISTEN", "SELECT 1")
    monkeypatch.setattr("app.live.operators.HEARD_SECONDS", 0.05)
    verdict, how = found()
    assert (verdict, "DATABASE_LISTEN_URL" in how) == ("warn", True)


def test_a_message_holds_as_many_users_as_postgresql_takes() -> None:
    """PostgreSQL refuses a message of 8,000 bytes."""
    assert len(write_hint("x" * 12, [NOBODY] * hints.MOST_USERS)) < 8000


async def test_a_stop_ends_what_goes_on_after_errors() -> None:
    """A process stops though its database goes away in the same moment."""

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()  # as after an error that came at once with the cancellation

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(live._cancel(task), 5)
    assert task.cancelled()
