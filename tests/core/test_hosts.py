"""Several servers in one DATABASE_URL. `tests/machines/test_failover.py` has the real ones that die."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from app.core.clock import stopwatch
from app.core.database import hosts, pool
from app.core.database.dsn import CONNECT_SECONDS_PER_HOST, parse_database_url
from app.core.database.hosts import Hosts
from app.core.database.pool import Database
from app.core.database.timelines import Timeline
from tests.support.people import Person
from tests.support.server import app_of, running
from tests.support.settings import make_settings
from tests.support.waiting import until

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def with_hosts(url: str, *before: str) -> str:
    """Name these hosts, as `host:port`, and then twice the one of the URL."""
    there = conninfo_to_dict(url)
    own = (str(there["host"]), str(there.get("port") or 5432))
    named = [*((host.split(":")[0], host.split(":")[1]) for host in before), own, own]
    user = quote(str(there["user"])) + (f":{quote(str(there['password']))}" if "password" in there else "")
    names, ports = (quote(",".join(part), safe=",") for part in zip(*named, strict=True))
    return f"postgresql://{user}@/{there['dbname']}?host={names}&port={ports}"


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that lets connect and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        listening.setblocking(False)
        yield listening


def tries(listening: socket.socket) -> int:
    """Return how often somebody has connected since this was asked."""
    number = 0
    with suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            number += 1
    return number


async def test_a_silent_server_is_waited_for_once(
    own_database_url: str, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent server is waited for by the connections of the start alone: later ones go where the last one went."""
    monkeypatch.setattr(hosts, "LOOK_SECONDS", 600)
    url = with_hosts(own_database_url, f"127.0.0.1:{silent.getsockname()[1]}")
    async with running(make_settings(url, database_pool_min=1, database_pool_max=8)) as client:
        began = stopwatch()
        while (await client.get("/health/ready")).status_code != 200:
            assert stopwatch() - began < 3 * CONNECT_SECONDS_PER_HOST
        ada = await Person.sign_up(client)
        assert tries(silent) >= 1
        answers = await asyncio.gather(*(ada.get("/api/tasks") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        database = app_of(client).state.database
        assert database.pool.get_stats()["pool_size"] > 1
        assert tries(silent) == 0


async def test_a_write_is_made_once_though_the_server_turns_read_only_with_it(own_database_url: str) -> None:
    """A write is made once, though the server says in its answer that it only reads from now on."""
    async with running(make_settings(with_hosts(own_database_url))) as client:
        ada = await Person.sign_up(client)
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            admin.execute(
                "CREATE FUNCTION turn() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM set_config('default_transaction_read_only', 'on', false); RETURN NEW; END $$"
            )
            admin.execute("CREATE TRIGGER t AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION turn()")
            for _ in range(3):
                await ada.add_task()
            counted = admin.execute("SELECT count(*) FROM tasks").fetchone()
    assert counted == (3,)


async def fence_off(database: Database) -> None:
    """Let every session of the pool only read, as a server does that is no longer the primary."""
    taken = [await database.pool.getconn() for _ in range(4)]
    for connection in taken:
        await connection.execute("SET default_transaction_read_only = on")
        await database.pool.putconn(connection)


@pytest.mark.parametrize(("several", "method"), [(True, "GET"), (True, "POST"), (False, "POST")])
async def test_every_session_that_only_reads_is_left_by_the_first_request(
    own_database_url: str, several: bool, method: str
) -> None:
    """Nobody reads what an old server still shows: all connections to it are left at once, idle ones too.

    The request itself is answered by another server.
    """
    url = with_hosts(own_database_url) if several else own_database_url
    async with running(make_settings(url, database_pool_min=4, database_pool_max=4)) as client:
        ada = await Person.sign_up(client)
        database = app_of(client).state.database
        with psycopg.connect(own_database_url, autocommit=True) as admin:

            def sessions() -> set[int]:
                return {row[0] for row in admin.execute(SESSIONS).fetchall()}

            await fence_off(database)
            before = sessions()
            answer = await ada.send(method, "/api/tasks", json={"title": "x"} if method == "POST" else None)
            assert answer.is_success
            for _ in range(200):
                if len(after := sessions()) == 4 and not after & before:
                    break
                await asyncio.sleep(0.01)
            assert not after & before


async def test_one_server_that_only_reads_goes_on_reading(own_database_url: str) -> None:
    """People can read their tasks on a server that only reads, where no other is named."""
    async with running(make_settings(own_database_url, database_pool_min=1, database_pool_max=1)) as client:
        ada = await Person.sign_up(client)
        database = app_of(client).state.database
        with psycopg.connect(own_database_url, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{admin.info.dbname}" SET default_transaction_read_only = on')
        await database.pool.drain()
        for _ in range(3):
            assert (await ada.send("POST", "/api/tasks", json={"title": "x"})).status_code == 503
            assert (await ada.get("/api/tasks")).status_code == 200


def another_name(url: str, folder: Path) -> str:
    """Return another name of the server's host, and its port."""
    there = conninfo_to_dict(url)
    name, port = str(there["host"]), there.get("port") or 5432
    if not name.startswith("/"):
        return f"{'localhost' if name == '127.0.0.1' else '127.0.0.1'}:{port}"
    (folder / "other").symlink_to(name)
    return f"{folder / 'other'}:{port}"


async def test_every_connection_goes_to_the_server_that_was_promoted_later(
    own_database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle or in use, connections leave a primary as soon as another is seen that was promoted after it.

    What was read there meanwhile is read again. Whether the other has what was written nobody knows: that is a 503.
    """
    other = another_name(own_database_url, folder)
    one, two = other.rpartition(":")[0], str(conninfo_to_dict(own_database_url)["host"])
    number = {one: 1, two: 1}

    async def ask(connection: psycopg.AsyncConnection) -> Timeline:
        return Timeline(7, number[connection.info.host])

    monkeypatch.setattr(hosts, "ask", ask)
    monkeypatch.setattr(hosts, "LOOK_SECONDS", 0.05)
    async with running(
        make_settings(with_hosts(own_database_url, other), database_pool_min=2, database_pool_max=2)
    ) as client:
        ada, database = await Person.sign_up(client), app_of(client).state.database

        async def all_are_at(host: str) -> None:
            await until(lambda: [connection.info.host for connection in database.pool._pool] == [host, host])

        await all_are_at(one)
        number[two] = 2
        await all_are_at(two)
        database._watching.cancel()
        monkeypatch.setattr(pool, "LEAVE_SECONDS", 0)
        task = await ada.add_task()
        for method, status in (("GET", 200), ("DELETE", 503)):
            number[one] = number[two] + 1
            database._hosts._timelines.note(Timeline(7, number[one]))
            assert (await ada.send(method, f"/api/tasks/{task['id']}")).status_code == status
            await all_are_at(one)
            one, two = two, one


async def test_the_order_of_the_servers_follows_what_they_do() -> None:
    """The server that served last is tried first, and the one that was left is tried last."""
    servers = Hosts(parse_database_url("postgresql://u@a,b:5433,c/d?application_name=x"), {})

    class Connected:
        def __init__(self, host: str, port: int) -> None:
            self.info = self
            self.host, self.port = host, port

        async def execute(self, *_: object, **__: object) -> None:
            raise psycopg.OperationalError

    servers._looked.set()
    await servers.accept(Connected("b", 5433))  # type: ignore[arg-type]  # as much of a connection as is looked at
    assert conninfo_to_dict(await servers.conninfo())["host"] == "b,a,c"
    servers.put_last(Connected("b", 5433))  # type: ignore[arg-type]  # the same
    given = conninfo_to_dict(await servers.conninfo())
    assert (given["host"], given["port"], given["application_name"]) == ("a,c,b", "5432,5432,5433", "x")
    assert given["target_session_attrs"] == "read-write"
