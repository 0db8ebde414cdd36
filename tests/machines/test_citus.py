"""The same schema and statements on a coordinator and two workers: one of them killed, hanging, another added."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from alembic import command
from psycopg import sql

from app.cli.doctor import report
from app.core.clock import stopwatch, system_clock
from app.core.database.dsn import STATEMENT_SECONDS, Dsn, parse_database_url
from app.operations.distribution import COPIED, DISTRIBUTED, NotDistributable, distribute
from app.operations.migrations import alembic_config, upgrade
from app.operations.older_processes import OlderProcesses
from app.tasks.list_repository import list_statement
from tests.faults.load import Acknowledged, check, writing
from tests.growth.grown import ask
from tests.machines.citus import Cluster, Node, cluster, needs_citus
from tests.support.copies import CHANGES, Copy
from tests.support.databases import bring_to_head, new_database, new_folder
from tests.support.people import Person
from tests.support.server import Server, serving
from tests.support.settings import SECRET, environment_of, make_settings
from tests.support.statements import list_shapes, statements

pytestmark = [pytest.mark.slow, needs_citus]


@pytest.fixture(scope="module")
def citus() -> Iterator[Cluster]:
    with new_folder() as folder, cluster(folder) as made:
        yield made


@pytest.fixture
def divided(citus: Cluster) -> Iterator[str]:
    """A distributed database of its own."""
    with new_database(citus.coordinator.url()) as url:
        bring_to_head(url)
        yield url


def node_of(citus: Cluster, url: str, user_id: str) -> Node:
    """Return the worker on which a user's rows are."""
    query = (
        "SELECT nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid) "
        "WHERE shardid = get_shard_id_for_distribution_column('tasks', %s::uuid)"
    )
    with psycopg.connect(url) as connection:
        found = connection.execute(query, [user_id]).fetchone()
    assert found is not None
    return next(node for node in citus.workers if node.port == found[0])


def move(citus: Cluster, url: str, user_id: str) -> None:
    """Move a user's rows, and those that lie beside them, to the other worker."""
    here = node_of(citus, url, user_id)
    there = next(node for node in citus.workers if node != here)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('tasks', %s::uuid), "
            "'127.0.0.1', %s, '127.0.0.1', %s, 'block_writes')",
            [user_id, here.port, there.port],
        )


async def people_by_node(citus: Cluster, url: str, client: httpx.AsyncClient, count: int) -> tuple[list[Person], ...]:
    """Sign up until each of the first two workers has so many people with a task."""
    people: tuple[list[Person], ...] = ([], [])
    while min(map(len, people)) < count:
        person = await Person.sign_up(client)
        people[citus.workers.index(node_of(citus, url, person.user["id"]))].append(person)
        await person.add_task()
    return people[0][:count], people[1][:count]


@asynccontextmanager
async def served(url: str, folder: Path, **settings: Any) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    with serving(folder, DATABASE_URL=url, LOG_LEVEL="WARNING", MIGRATE_ON_START="off", **settings) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            yield server, client


async def live(person: Person) -> list[int]:
    """Read, write and refresh; give the statuses."""
    answers = [await person.get("/api/tasks"), await person.send("POST", "/api/tasks", json={"title": "x"})]
    refreshed = await person.refresh()
    if refreshed.status_code == 200:
        person.keep(refreshed)
    return [answer.status_code for answer in (*answers, refreshed)]


def operate(url: str, folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command of the operator's."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment_of(BETTER_AUTH_SECRET=SECRET, DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


FINE = [200, 201, 200]


async def until_fine(person: Person, seconds: float = 30) -> float:
    """Try until everything works for somebody again; give how long it took."""
    began = stopwatch()
    while (await live(person)) != FINE:
        assert stopwatch() - began < seconds
        await asyncio.sleep(0.2)
        again = await person.client.post("/api/auth/signin", json={"email": person.email, "password": person.password})
        if again.status_code == 200:  # a refresh without an answer may have used the token
            person.keep(again)
    return stopwatch() - began


OF_A_TRANSACTION = re.compile(r" (BEGIN|COMMIT|ROLLBACK|PREPARE TRANSACTION|SELECT assign_dist)")


def messages(connection: psycopg.Connection, statement: bytes, params: dict[str, Any] | None) -> list[str]:
    """Return what the eighth execution of a prepared statement, committed, sends to other nodes, each with its node."""
    sent: list[str] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if (said := diagnostic.message_primary or "").startswith("issuing "):
            sent.append(f"{diagnostic.message_detail} {said.removeprefix('issuing ')}")

    for _ in range(7):
        connection.execute(statement, params, prepare=True)
        connection.rollback()
    connection.add_notice_handler(note)
    connection.execute(statement, params, prepare=True)
    connection.commit()  # what is rolled back has no second phase
    connection.remove_notice_handler(note)
    return sent


async def test_every_shape_of_a_list_is_one_message_to_one_node(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """However somebody filters, sorts and pages, one node is asked once."""
    async with served(divided, tmp_path) as (_, client):
        ada = await Person.sign_up(client)
        task = await ada.add_task()
    with psycopg.connect(divided) as connection:
        connection.execute("SET citus.log_remote_commands = on")
        connection.execute("SET client_min_messages = log")
        connection.commit()
        shapes = list(list_shapes())
        for shape in shapes:
            statement = list_statement(shape).statement
            asked = ask("first page", UUID(ada.user["id"]), ada.email, task["id"])._replace(statement=statement)
            values = {"created_at": task["created_at"], "updated_at": task["updated_at"], "priority": "low"}
            asked.params.update(status="pending", priority="low", q="x", after_value=values.get(shape.sort, "x"))
            sent = messages(connection, asked.statement.sql, asked.params)
            sent = [each for each in sent if not OF_A_TRANSACTION.search(each)]
            assert len(sent) == 1, f"{shape}: {sent}"
    print(f"{len(shapes)} shapes of a list: one message to one node each")


# Citus takes an INSERT … SELECT of what a DELETE returns apart: it asks, and then inserts, in two phases.
APART = {"app/tasks/repository.py DELETE"}
# By the coordinator itself, on its own copy.
HERE = {
    f"app/{name}"
    for name in (
        "accounts/repository.py SELECT_ACCOUNT",
        "accounts/repository.py SELECT_USERS",
        "accounts/moving_repository.py SELECT_TAKEN",
        "sessions/denylist.py SELECT_USER_IDS",
        "status/health.py SELECT_IS_OURS",
        "status/health.py SELECT_REVISION",
        "live/hints.py NOTIFY",
    )
}
# Each node has a copy of what is changed.
OF_ALL_NODES = {
    *(
        f"app/accounts/repository.py {name}"
        for name in ("INSERT_USER", "UPDATE_NAME", "UPDATE_PASSWORD", "UPDATE_PASSWORD_BY_MAIL", "DELETE_USER")
    ),
    *(f"app/mail/repository.py {name}" for name in ("VERIFY", "CHANGE")),
    "app/accounts/moving_repository.py INSERT_USERS",
    "app/accounts/repository.py UPDATE_PASSWORD_HASH",  # one of an older cost, at sign-in
    *(f"app/tasks/changes_repository.py {name}" for name in ("DRAW_EPOCH", "END_EPOCH")),
}
# An operator's, on the rows of everybody.
OF_EVERYBODY = {
    *(f"app/accounts/repository.py {name}" for name in ("SELECT_LEAVING", "END_EVERY_SESSION")),
    *("app/core/rate_limits/database.py PRUNE", "app/sessions/denylist.py COUNT"),
    "app/tasks/changes_repository.py FORGET_CHANGES",
    "app/sessions/repository.py PRUNE",  # of some users at a time, but by two conditions
}


async def test_each_statement_is_one_message_to_one_node(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """A request asks one node once and in one phase, also in its eighth execution, with PostgreSQL's plan chosen."""
    async with served(divided, tmp_path) as (_, client):
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        task, session = await ada.add_task(), (await ada.get("/api/auth/sessions")).json()[0]
        other = (await (await ada.sign_in()).get("/api/auth/sessions")).json()[0]
    params = ask("get", UUID(ada.user["id"]), ada.email, task["id"]).params
    params |= {"session_id": session["id"], "ended_id": other["id"], "number": 1, "new_version": 0, "batch": 1}
    params |= {"name": "x", "new_hash": "y", "old_hash": "x", "is_active": True, "first": b"a", "end": b"b"}
    params |= {"passkey_id": b"x", "public_key": b"y", "sign_count": 1, "synced": False, "challenge_id": uuid4()}
    params |= {"completed": True, "version_read": None, "successor_id": uuid4()}
    params |= {"new_email": f"{uuid4()}@b.co", "script_id": uuid4(), "scopes": ["tasks:read"], "begun_id": uuid4()}
    special: dict[str, dict[str, Any]] = {"INSERT_USER": {"user_id": uuid4(), "email": f"{uuid4()}@b.co"}}
    arrivals = [uuid4() for _ in range(20)]
    special["INSERT_USERS"] = {"user_ids": arrivals, "emails": [f"{each}@b.co" for each in arrivals]}
    special["INSERT_USERS"] |= {"names": [None] * 20, "hashes": ["x"] * 20, "created": [system_clock()] * 20}
    special["SELECT_TAKEN"] = {"emails": [ada.email]}
    special["NOTIFY"] = {"payload": "x y"}
    special |= {"SELECT_USERS": {"after": ""}, "DELETE_USER": {"user_id": bob.user["id"]}}
    special |= {
        "BEGIN": {"session_id": params["begun_id"]},
        "INSERT": {"task_id": uuid4()},
        "INSERT_AGAIN": {"task_id": uuid4()},
    }
    as_before = [
        b"UPDATE user_state SET is_active = true, leaving = false, token_version = 0, password_version = 0, "
        b"passkey_version = 0 "
        b"WHERE user_id = %(user_id)s::uuid",
        b"DELETE FROM token_denylist WHERE user_id = %(user_id)s::uuid",
        b"DELETE FROM sessions WHERE user_id = %(user_id)s::uuid AND id = %(begun_id)s::uuid",
        b"INSERT INTO tasks (user_id, id, title) VALUES (%(user_id)s::uuid, %(task_id)s::uuid, 'x') "
        b"ON CONFLICT DO NOTHING",
    ]
    expected = dict.fromkeys(HERE, 0) | dict.fromkeys(APART, 3)
    seen = set()
    with psycopg.connect(divided, options="-c enable_seqscan=off -c jit=off") as connection:
        connection.execute("SET citus.log_remote_commands = on")
        connection.execute("SET client_min_messages = log")
        connection.commit()
        for made in statements([]):
            name = made.name
            seen.add(name)
            for query in as_before:
                connection.execute(query, params)
            connection.commit()
            given = params | special.get(name.rpartition(" ")[2], {}) if "%(" in made.raw else None
            sent = messages(connection, made.raw.encode(), given)
            work = [each for each in sent if not OF_A_TRANSACTION.search(each)]
            nodes = {each.split(" connectionId")[0] for each in sent}
            if name in OF_EVERYBODY | OF_ALL_NODES:
                assert len(nodes) == len(citus.workers), f"{name} is sent to {nodes}: {sent}"
                assert len(work) >= 3, f"{name}: {work}"
                continue
            assert len(nodes) == (name not in HERE), f"{name} is sent to {nodes}: {sent}"
            assert len(work) == expected.get(name, 1), f"{name}: {work}"
            two_phase = any("PREPARE TRANSACTION" in each for each in sent)
            assert two_phase == (name in APART), f"{name}: {sent}"
    assert seen > HERE | APART | OF_ALL_NODES | OF_EVERYBODY
    print(f"{len(seen)} statements, of which {len(OF_EVERYBODY | OF_ALL_NODES | APART)} are sent more than once")


def test_distributing_keeps_every_row_and_may_be_repeated(citus: Cluster) -> None:
    """An operator may distribute the tables twice, loses no row, and reads in doctor what it finds."""
    with new_database(citus.coordinator.url()) as url:
        dsn = parse_database_url(url)
        upgrade(dsn)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO users (id, email, password_hash) "
                "SELECT gen_random_uuid(), n || '@b.co', 'x' FROM generate_series(1, 1000) n"
            )
            connection.execute("INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), id, email FROM users")
            assert [distribute(dsn), distribute(dsn)] == [True, False]
            counts = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM tasks)"
            assert connection.execute(counts).fetchone() == (1000, 1000)
            by_node = (
                "SELECT count(DISTINCT nodename || nodeport) FROM citus_shards WHERE table_name = 'tasks'::regclass"
            )
            assert connection.execute(by_node).fetchone() == (2,)


def test_a_database_that_has_the_extension_itself_is_distributed(citus: Cluster) -> None:
    """Whoever makes a database on each node, and the extension in it, distributes it as docs/scaling.md says."""
    own = sql.Identifier(f"own_{uuid4().hex}")
    for node in citus.nodes:
        with psycopg.connect(node.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(own))
        with psycopg.connect(node.url(own.as_string().strip('"')), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION citus")
    url = citus.coordinator.url(own.as_string().strip('"'))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", (citus.coordinator.port,))
        for node in citus.workers:
            connection.execute("SELECT citus_add_node('127.0.0.1', %s)", (node.port,))
    dsn = parse_database_url(url)
    upgrade(dsn)
    assert [distribute(dsn, shards=8), distribute(dsn)] == [True, False]
    with psycopg.connect(url, autocommit=True) as connection:
        shards = "SELECT shard_count FROM citus_tables WHERE table_name = 'tasks'::regclass"
        assert connection.execute(shards).fetchone() == (8,)
    for node in citus.workers:
        with psycopg.connect(node.url(own.as_string().strip('"'))) as connection:
            assert connection.execute("SHOW lock_timeout").fetchone() == ("2s",)


def distribute_at(dsn: Dsn, revision: str, *, without: set[str], copied: tuple[str, ...]) -> None:
    """Migrate as far as this and divide the tables as the release did that had no others."""
    command.upgrade(alembic_config(dsn), revision)
    with pytest.MonkeyPatch.context() as of_then:
        older = {table: column for table, column in DISTRIBUTED.items() if table not in without}
        of_then.setattr("app.operations.distribution.DISTRIBUTED", older)
        of_then.setattr("app.operations.distribution.COPIED", copied)
        distribute(dsn)


def test_a_database_that_1_0_distributed_is_updated_with_what_is_in_it(citus: Cluster) -> None:
    """An operator who distributed 1.0's tables updates: who may, and which sessions go on, is as it was."""
    with new_database(citus.coordinator.url()) as url:
        dsn = parse_database_url(url)
        distribute_at(dsn, "0006", without={"user_state", "passkeys"}, copied=COPIED)
        with psycopg.connect(url, autocommit=True) as connection:
            for query in (
                "INSERT INTO users (id, email, password_hash, is_active, token_version) SELECT gen_random_uuid(), "
                "n || '@b.co', 'x', n % 10 > 0, n % 7 FROM generate_series(1, 200) n",
                "INSERT INTO sessions (id, user_id, token_version) SELECT id, id, token_version FROM users",
                # Tokens were used in sessions of the versions 0 to 4; those of 4 and 5 have ended.
                "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) SELECT "
                "gen_random_uuid(), id, id, 'used', now() - hours * interval '1 hour', now() + interval '8 days' "
                "FROM users, generate_series(1, 3) AS hours WHERE token_version <= 4",
                "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
                "SELECT id, id, id, 'signed_out', now(), now() + interval '366 days' FROM users "
                "WHERE token_version IN (4, 5)",
            ):
                connection.execute(query.encode())
            users = connection.execute("SELECT id, is_active, token_version FROM users ORDER BY id").fetchall()
            with (
                psycopg.connect(citus.workers[1].url(connection.info.dbname), application_name="auth-tasks-api"),
                pytest.raises(OlderProcesses),
            ):
                upgrade(dsn)
            for _ in range(2):
                upgrade(dsn)
                states = "SELECT user_id, is_active, token_version FROM user_state ORDER BY user_id"
                assert connection.execute(states).fetchall() == users
                rows = connection.execute(
                    "SELECT token_version, reason, denied_up_to, count(*)::int, count(DISTINCT session_id)::int "
                    "FROM users JOIN token_denylist ON user_id = users.id JOIN user_state USING (user_id) "
                    "WHERE token_denylist.id = session_id GROUP BY 1, 2, 3 ORDER BY 1"
                ).fetchall()
                assert [row[:3] for row in rows] == [
                    *((version, "active", 0) for version in range(4)),
                    *((version, "signed_out", None) for version in (4, 5)),
                ]
                assert all(each == sessions for *_, each, sessions in rows)
                user_id = users[0][0]
                made = connection.execute(
                    "INSERT INTO tasks (id, user_id, title, changed) SELECT gen_random_uuid(), user_id, 'x', "
                    "this_transaction(user_id) FROM user_state WHERE user_id = %s RETURNING changed::text::bigint > 0",
                    [user_id],
                )
                assert made.fetchone() == (True,)
                command.downgrade(alembic_config(dsn), "0006")
                gone_back = connection.execute("SELECT id, is_active, token_version FROM users ORDER BY id").fetchall()
                # Whoever is signed in signs in again.
                assert gone_back == [(id_, is_active, version + 1) for id_, is_active, version in users]
                connection.execute("UPDATE users SET token_version = token_version - 1")


def test_a_migration_divides_what_it_makes_and_keeps_every_row(citus: Cluster) -> None:
    """An operator who has distributed the tables updates the service, and goes back, without losing a row."""
    with new_database(citus.coordinator.url()) as url:
        dsn = parse_database_url(url)
        later = {"sessions", "task_tombstones", "user_state", "passkeys"}
        distribute_at(dsn, "0004", without=later, copied=("users", "alembic_version"))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO users (id, email, password_hash) "
                "SELECT gen_random_uuid(), n || '@b.co', 'x' FROM generate_series(1, 200) n"
            )
            connection.execute("INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), id, email FROM users")

            def divided_tables() -> set[str]:
                query = "SELECT table_name::text FROM citus_tables WHERE citus_table_type = 'distributed'"
                return {name for (name,) in connection.execute(query)}

            for _ in range(2):
                upgrade(dsn)
                assert divided_tables() == set(DISTRIBUTED)
                connection.execute(
                    "INSERT INTO sessions (id, user_id, token_version) SELECT gen_random_uuid(), id, 0 FROM users"
                )
                command.downgrade(alembic_config(dsn), "0004")
                assert divided_tables() == set(DISTRIBUTED) - later
                assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (200,)
            upgrade(dsn)
            connection.execute("INSERT INTO sessions (id, user_id, token_version) SELECT id, id, 0 FROM users")
            connection.execute("DELETE FROM users WHERE email = '1@b.co'")
            for table in ("tasks", "sessions"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (199,)


async def test_a_restored_dump_is_divided_again(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """An operator restores a dump of distributed tables, and everything is on its node again, and signed out."""
    nodes = "SELECT nodename, nodeport FROM pg_dist_node ORDER BY nodeport"
    kinds = "SELECT table_name::text, citus_table_type FROM citus_tables ORDER BY 1"
    file = tmp_path / "backup.dump"

    async with served(divided, tmp_path) as (_, client):
        first, second = await people_by_node(citus, divided, client, 2)
        people = [*first, *second]
        before = [(await person.get("/api/tasks")).json() for person in people]
        with psycopg.connect(divided, autocommit=True) as connection:
            were = connection.execute(nodes).fetchall(), connection.execute(kinds).fetchall()
        assert operate(divided, tmp_path, "dump", file).returncode == 0
        for person in people:
            await person.add_task("after the dump")
        restored = operate(divided, tmp_path, "restore", file)
        assert restored.returncode == 0, restored.stderr
        with psycopg.connect(divided, autocommit=True) as connection:
            assert (connection.execute(nodes).fetchall(), connection.execute(kinds).fetchall()) == were
        for person, tasks in zip(people, before, strict=True):
            assert (await person.get("/api/tasks")).status_code == 401
            assert (await person.refresh()).status_code == 401
            again = await person.sign_in()
            assert (await again.get("/api/tasks")).json() == tasks
            assert await live(again) == FINE


def test_a_role_that_may_not_is_told_so(citus: Cluster) -> None:
    """An operator whose role does not own the tables reads what to do."""
    with new_database(citus.coordinator.url()) as url:
        upgrade(parse_database_url(url))
        role = sql.Identifier(f"role_{uuid4().hex}")
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
            try:
                theirs = url.replace("postgres@", f"{role.as_string(admin).strip(chr(34))}@")
                with pytest.raises(NotDistributable, match="Let the owner of the tables run it"):
                    distribute(parse_database_url(theirs))
            finally:
                admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
                admin.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_a_client_that_was_offline_reads_what_changed(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """A client goes on with its cursor; after its rows have moved to another node it starts anew, once."""
    async with served(divided, tmp_path) as (_, client):
        ada = await Person.sign_up(client)
        copy = Copy(ada)
        key = {"Idempotency-Key": "offline"}
        await ada.add_task("unchanged")
        for version in (1, 2):
            await copy.pull()
            task = (await ada.send("POST", "/api/tasks", json={"title": "x"}, headers=key)).json()
            assert task["version"] == version
            told = copy.apply(await ada.get(CHANGES, params=copy.question))
            assert told
            assert [each["id"] for each in told["tasks"]] == [task["id"]]
            assert copy.tasks == await copy.truth()
            assert (await ada.send("DELETE", f"/api/tasks/{task['id']}")).status_code == 204
            assert (await ada.send("DELETE", f"/api/tasks/{task['id']}")).status_code == 404
            told = copy.apply(await ada.get(CHANGES, params=copy.question))
            assert told
            assert told["deleted"] == [task["id"]]
            assert copy.tasks == await copy.truth()
        move(citus, divided, ada.user["id"])
        await ada.add_task("after the move")
        assert (await ada.get(CHANGES, params=copy.question)).status_code == 410
        await copy.pull()
        await ada.add_task("later")
        assert (await ada.get(CHANGES, params=copy.question)).status_code == 200
        await copy.pull()
        assert copy.tasks == await copy.truth()
        assert len(copy.tasks) == 3


async def test_people_see_and_end_their_sessions(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """Sessions, a new password and leaving work on every node as on one database."""
    async with served(divided, tmp_path) as (_, client):
        for person in (p for people in await people_by_node(citus, divided, client, 2) for p in people):
            other, third = await person.sign_in(), await person.sign_in()
            listed = (await person.get("/api/auth/sessions")).json()
            assert len(listed) == 3
            ended = next(session for session in listed if not session["current"])
            assert (await person.send("DELETE", f"/api/auth/sessions/{ended['id']}")).status_code == 204
            statuses = {(await each.get("/api/tasks")).status_code for each in (other, third)}
            assert statuses == {200, 401}
            assert (await person.send("POST", "/api/auth/signout", json={"others": True})).status_code == 200
            assert [(await each.get("/api/tasks")).status_code for each in (person, other, third)] == [200, 401, 401]
            change = {"current_password": person.password, "new_password": "another password"}
            changed = await person.send("POST", "/api/auth/password", json=change)
            assert (await person.get("/api/tasks")).status_code == 401
            person.keep(changed)
            assert await live(person) == FINE
            gone = await person.send("POST", "/api/auth/me/delete", json={"current_password": "another password"})
            assert gone.status_code == 200
            with psycopg.connect(divided) as connection:
                for table in ("tasks", "sessions", "token_denylist"):
                    found = connection.execute(f"SELECT count(*) FROM {table} WHERE user_id = %s", [person.user["id"]])
                    assert found.fetchone() == (0,)


def test_doctor_names_a_node_that_is_dead(citus: Cluster, divided: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator learns which node does not answer."""
    report(make_settings(divided))
    assert (
        "the tables are distributed among 2; one that came back may lack a change for 60 s" in capsys.readouterr().out
    )
    citus.workers[0].kill()
    try:
        report(make_settings(divided))
    finally:
        citus.workers[0].start()
    assert f"127.0.0.1:{citus.workers[0].port} does not answer" in capsys.readouterr().out


def test_doctor_counts_what_was_left_half_done(
    citus: Cluster, divided: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator learns of a transaction that was prepared on a node, and never ended; and of a short interval."""
    interval = "ALTER SYSTEM SET citus.recover_2pc_interval = '1s'", "ALTER SYSTEM RESET citus.recover_2pc_interval"

    def set_interval(statement: str) -> None:
        for node in citus.nodes:
            with psycopg.connect(node.url(), autocommit=True) as connection:
                connection.execute(statement.encode())
                connection.execute("SELECT pg_reload_conf()")

    with psycopg.connect(divided) as connection:
        worker_url = citus.workers[0].url(connection.info.dbname)
    with psycopg.connect(worker_url) as worker:
        worker.execute("SELECT pg_current_xact_id()")
        worker.execute("PREPARE TRANSACTION 'left'")
    set_interval(interval[0])
    try:
        for _ in range(60):
            report(make_settings(divided))
            said = capsys.readouterr().out
            if "half done" in said:
                break
            time.sleep(0.5)
        assert "the tables are distributed among 2; 1 transactions are half done" in said
        with psycopg.connect(worker_url, autocommit=True) as worker:
            worker.execute("ROLLBACK PREPARED 'left'")
        report(make_settings(divided))
        assert "ok    nodes        the tables are distributed among 2\n" in capsys.readouterr().out
    finally:
        set_interval(interval[1])


async def test_a_killed_node_takes_only_its_own_users_with_it(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """Users of other nodes notice nothing of a killed one; its own get 503, and are back without a restart."""
    async with served(divided, tmp_path) as (server, client):
        theirs, others = await people_by_node(citus, divided, client, 3)
        citus.workers[0].kill()
        try:
            for _ in range(5):
                for person in others:
                    assert await live(person) == FINE
                    person.keep(
                        await client.post("/api/auth/signin", json={"email": person.email, "password": person.password})
                    )
            for person in theirs:
                assert await live(person) == [503, 503, 503]
            signed_in = await client.post(
                "/api/auth/signin", json={"email": theirs[0].email, "password": theirs[0].password}
            )
            assert signed_in.status_code == 503  # its session could be neither seen nor ended
            signed_up = await client.post(
                "/api/auth/signup", json={"email": f"{uuid4()}@b.co", "password": "a long password"}
            )
            assert signed_up.status_code == 503
        finally:
            citus.workers[0].start()
        took = max([await until_fine(person) for person in theirs])
        assert server.process.poll() is None
    print(f"a killed node: its users were back {took:.1f} s after it, without a restart")


async def test_sessions_and_accounts_are_ended_while_another_node_is_dead(
    citus: Cluster, divided: str, tmp_path: Path
) -> None:
    """Whoever lost a device, or closes an account, does not wait for a node that is dead; nor does an operator."""
    async with served(divided, tmp_path) as (_, client):
        theirs, (ada, bob, eve, mia, ian) = await people_by_node(citus, divided, client, 5)
        lost = await ada.sign_in()
        citus.workers[0].kill()
        try:
            everywhere = await ada.send("POST", "/api/auth/signout", json={"everywhere": True})
            assert everywhere.status_code == 200
            assert [(await each.get("/api/tasks")).status_code for each in (ada, lost)] == [401, 401]
            closed = await asyncio.to_thread(operate, divided, tmp_path, "users", "deactivate", bob.email)
            assert closed.returncode == 0, closed.stderr
            assert (await bob.get("/api/tasks")).status_code == 401
            ended = await asyncio.to_thread(operate, divided, tmp_path, "users", "signout", eve.email)
            assert ended.returncode == 0, ended.stderr
            assert (await eve.get("/api/tasks")).status_code == 401
            left = await ian.send("POST", "/api/auth/me/delete", json={"current_password": ian.password})
            assert left.status_code == 503  # closed; `prune` deletes what each node has a copy of
            assert (await ian.get("/api/tasks")).status_code == 401
            everybody = await asyncio.to_thread(operate, divided, tmp_path, "users", "signout", "--all")
            assert everybody.returncode == 1
            assert f"not those of 127.0.0.1:{citus.workers[0].port}" in everybody.stderr
            assert (await mia.get("/api/tasks")).status_code == 401
            assert await live(await mia.sign_in()) == FINE
        finally:
            citus.workers[0].start()
        await until_fine(theirs[0])
        pruned = await asyncio.to_thread(operate, divided, tmp_path, "prune")
        assert "Deleted 1 accounts that were left." in pruned.stderr
        with psycopg.connect(divided) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM users").fetchall()
        everybody = await asyncio.to_thread(operate, divided, tmp_path, "users", "signout", "--all")
        assert f"Done: signed out {count} accounts." in everybody.stderr
        for person in (*theirs, mia):
            assert (await person.get("/api/tasks")).status_code == 401


async def test_a_node_that_hangs_does_not_fill_the_pool(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """Users of other nodes notice nothing of one that hangs; its own wait and get 503."""
    async with served(divided, tmp_path) as (_, client):
        theirs, others = await people_by_node(citus, divided, client, 6)
        statuses: dict[str, list[tuple[float, int, float]]] = {"theirs": [], "others": []}
        done = False

        async def read(who: str, person: Person) -> None:
            while not done:
                asked = stopwatch()
                status = (await person.get("/api/tasks")).status_code
                statuses[who].append((asked, status, stopwatch() - asked))
                await asyncio.sleep(0.2)

        # Twice as many at once as the pool has connections.
        readers = [asyncio.create_task(read("theirs", p)) for p in theirs for _ in range(4)]
        readers += [asyncio.create_task(read("others", p)) for p in others]
        await asyncio.sleep(1)
        citus.workers[0].signal(signal.SIGSTOP)
        hung = stopwatch()
        try:
            await asyncio.sleep(15)
        finally:
            done = True
            citus.workers[0].signal(signal.SIGCONT)
        await asyncio.gather(*readers)
        took = max([await until_fine(person) for person in theirs])
    during = [(at - hung, status, seconds) for at, status, seconds in statuses["others"] if at > hung]
    refused = [round(at, 1) for at, status, _ in during if status != 200]
    print(
        f"a hanging node for 15 s: {len(refused)} of {len(during)} reads of others' users refused, at {refused[:20]}; "
        f"slowest {max(s for _, _, s in during):.1f} s; its own users back after {took:.1f} s"
    )
    # At first every connection waits there already, for as long as a statement may take.
    assert [at for at in refused if at > STATEMENT_SECONDS] == []


async def test_the_coordinator_may_be_killed_while_the_service_asks_a_worker(
    citus: Cluster, divided: str, tmp_path: Path
) -> None:
    """The service works by any node; without the coordinator only accounts cannot be written."""
    with psycopg.connect(divided) as connection:
        name = connection.info.dbname
    async with served(citus.workers[0].url(name), tmp_path) as (_, client):
        first, second = await people_by_node(citus, divided, client, 2)
        citus.coordinator.kill()
        try:
            for person in (*first, *second):
                assert await live(person) == FINE
                assert (await client.get("/health/ready")).status_code == 200
        finally:
            citus.coordinator.start()
        for person in (*first, *second):
            assert await live(person) == FINE


async def test_a_third_node_is_added_under_load(citus: Cluster, divided: str, tmp_path: Path) -> None:
    """An operator adds a node under load: users' rows move there, and nothing is lost."""
    known, third = Acknowledged(), citus.add_worker()
    with psycopg.connect(divided) as connection:
        name = connection.info.dbname
    with psycopg.connect(third.url(), autocommit=True) as connection:
        connection.execute("SET citus.enable_ddl_propagation = off")
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def rebalance() -> None:
        with psycopg.connect(divided, autocommit=True) as admin:
            admin.execute("SELECT citus_add_node('127.0.0.1', %s)", [third.port])
            distribute(parse_database_url(divided))
            admin.execute("SELECT rebalance_table_shards()")

    try:
        limits = {"RATE_LIMITS": "on", "RATE_LIMIT_REFRESH_SESSION": "100000/minute"}  # counted, and never reached
        with serving(tmp_path, wait=True, DATABASE_URL=divided, LOG_LEVEL="WARNING", **limits) as server:
            async with writing(server.url, known):
                await asyncio.sleep(1)
                await asyncio.to_thread(rebalance)
                await asyncio.sleep(1)
            await check(divided, server.url, known, moved=True)
        with psycopg.connect(divided, autocommit=True) as admin:
            moved = admin.execute("SELECT count(*) FROM citus_shards WHERE nodeport = %s", [third.port]).fetchone()
            assert moved is not None
            assert moved[0] > 20
            print(f"a third node under load: {moved[0]} shards moved there, statuses {dict(known.statuses)}")
            admin.execute("SELECT citus_drain_node('127.0.0.1', %s)", [third.port])
            admin.execute("SELECT citus_remove_node('127.0.0.1', %s)", [third.port])
    finally:
        citus.workers.remove(third)
        third.stop()
