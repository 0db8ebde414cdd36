"""What a request costs, counted and not timed: no noise moves these ceilings, only a change of the code does."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi import FastAPI

from app.core.database.connection import Connection
from app.core.database.dsn import parse_database_url
from app.core.logging import current_request_id
from app.main import create_app
from app.operations.migrations import upgrade
from tests.growth.grown import ask, fill, touched
from tests.support.databases import new_database
from tests.support.people import Person
from tests.support.server import client_of, running
from tests.support.settings import ROOT, environment_of, make_settings

ROUND_TRIPS = {
    "GET /api/tasks": 1,
    "GET /api/tasks?limit=5": 1,
    "POST /api/tasks": 1,
    "GET /api/tasks/{id}": 1,
    "PUT /api/tasks/{id}": 1,
    "PATCH /api/tasks/{id}": 1,
    "PATCH /api/tasks/{id}/toggle": 1,
    "DELETE /api/tasks/{id}": 1,  # one in 64 has one more
    "GET /api/tasks/changes": 1,
    "GET /api/auth/me": 1,
    "POST /api/auth/refresh": 1,
    "POST /api/auth/signout": 1,
    "POST /api/auth/signup": 3,  # the limit, the account, the session
    "POST /api/auth/signin": 7,  # two limits, the account, both given back, the session, those that are too many
    "PATCH /api/auth/me": 2,  # the session, the name
    "GET /api/auth/sessions": 1,
    "DELETE /api/auth/sessions/{id}": 2,  # of none: that this session is active is asked then
    "POST /api/auth/tokens": 6,  # the session, the limit and given back, the tokens, a lock, the token's session
    "POST /api/auth/password": 7,  # the session, the limit and given back, who may, the account, the row, the list
    "POST /api/auth/me/delete": 11,  # the session, the limit and given back, who may, four tables, both rows, a limit
}
BODIES: dict[str, Any] = {
    "POST /api/tasks": {"title": "x"},
    "PUT /api/tasks/{id}": {"title": "y"},
    "PATCH /api/tasks/{id}": {"completed": True},
}


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[FastAPI]:
    made = create_app(make_settings(database_url, rate_limits="on"))
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the statements that requests send; what goes on beside them is nobody's wait."""
    counter: Counter[str] = Counter()
    original = Connection.fetch

    async def count(self: Connection, *asked: Any) -> Any:
        counter["statements"] += current_request_id() != "-"
        return await original(self, *asked)

    monkeypatch.setattr(Connection, "fetch", count)
    return counter


@pytest.mark.parametrize("operation", ROUND_TRIPS)
async def test_each_operation_is_so_many_round_trips(
    app: FastAPI, executed: Counter[str], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request waits for the database once wherever it can: the statement that does the work checks the session."""
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 2**128)  # one in eight has one more
    monkeypatch.setattr("app.tasks.changes.PRUNE_EVERY", 2**128)
    async with client_of(app) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task()
        await ada.get("/api/tasks/changes")  # the first one of all begins an epoch
        bodies = BODIES | {
            "POST /api/auth/refresh": {"refresh_token": ada.refresh_token},
            "POST /api/auth/signup": {"email": f"{uuid4()}@example.test", "password": ada.password},
            "POST /api/auth/signin": {"email": ada.email, "password": ada.password},
            "PATCH /api/auth/me": {"name": "Ada"},
            "POST /api/auth/tokens": {
                "name": "x",
                "scopes": ["tasks:read"],
                "days": 1,
                "proof": {"current_password": ada.password},
            },
            "POST /api/auth/password": {"current_password": ada.password, "new_password": ada.password},
            "POST /api/auth/me/delete": {"current_password": ada.password},
        }
        method, _, path = operation.partition(" ")
        executed.clear()
        answer = await ada.send(method, path.format(id=task["id"]), json=bodies.get(operation))
    assert answer.is_success or answer.status_code == 404
    assert executed["statements"] == ROUND_TRIPS[operation]


async def test_a_forged_token_takes_no_round_trip(app: FastAPI, executed: Counter[str]) -> None:
    """Forged tokens cost the database nothing: only a right signature gets that far."""
    async with client_of(app) as client:
        assert (await client.get("/api/tasks", headers={"Authorization": "Bearer a.b.c"})).status_code == 401
    assert executed["statements"] == 0


MORE_CALLS = 1.05
CALLS = {"get one": 360, "list of 20": 365, "create": 515, "me": 328}
"""What was reached with Python 3.11, and a little: later ones count fewer."""


@pytest.mark.slow
def test_no_request_takes_many_more_function_calls_than_before(postgres_url: str, tmp_path: Path) -> None:
    """No request gets slower unseen: one layer more shows here before it shows in a benchmark.

    Each is held to what it took where this branch left `main`, and on `main` to the commit before, plus 5 %.
    """
    base = _base()
    if base is None:
        pytest.skip("there is no earlier commit here to compare with")
    archive = subprocess.run(["git", "archive", base], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(tmp_path, filter="data")
    before = _calls(tmp_path, postgres_url)
    if before is None:
        pytest.skip(f"what is installed here does not run {base}")
    now = _calls(ROOT, postgres_url)
    assert now
    for name in now:
        print(f"{name}: {now[name]:.0f} function calls; in {base[:9]} {before.get(name, 0):.0f}")
    assert not (beyond := {name: calls for name, calls in now.items() if calls > CALLS[name]}), f"{beyond}"
    dearer = [name for name in now.keys() & before.keys() if now[name] > MORE_CALLS * before[name]]
    assert not dearer, f"{dearer} take more than 5 % more function calls: `make profile` shows where"


def _base() -> str | None:
    """Return the commit where this branch left `main`, on `main` the commit before; None where git knows neither."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
        return run.stdout.strip()

    if not shutil.which("git"):
        return None
    head = git("rev-parse", "HEAD")
    left = git("merge-base", "HEAD", "main") or git("merge-base", "HEAD", "origin/main")
    return (left if left != head else "") or git("rev-parse", "--verify", "HEAD^") or None


def _calls(tree: Path, postgres_url: str) -> dict[str, float] | None:
    """Let a tree count its own function calls, on a database of its own."""
    if not (tree / "tests" / "bench" / "calls.py").exists():
        return None
    with new_database(postgres_url) as url:
        counted = subprocess.run(
            [sys.executable, "-m", "tests.bench.calls", url],
            check=False,
            cwd=tree,
            env=environment_of() | {"PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
        )
    if counted.returncode:
        print(counted.stderr)
        return None
    calls: dict[str, float] = json.loads(counted.stdout)
    return calls


@pytest.fixture(scope="module")
def grown(postgres_url: str) -> Iterator[str]:
    """A database with 100,000 tasks and as many sessions that have ended."""
    with new_database(postgres_url) as url:
        upgrade(parse_database_url(url))
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection, users=1000, tasks_each=100, denied=100_000)
        yield url


# Pages of 8 KiB: what an index makes of it, with room for a tree one level deeper.
PAGES = {
    "who is calling": 11,
    "get": 12,
    "create": 26,
    "change": 33,
    "toggle": 33,
    "delete": 24,
    "create again": 32,
    "changes": 140,  # all of the user's hundred tasks
    "deletions": 10,
    "first page": 44,
    "page by cursor": 44,
    "sign-in": 5,
    "refresh": 22,
    "sign-out": 20,
    "session begun": 14,
    "list sessions": 20,
    "end a session": 14,
    "end the others": 34,
    "end the least used": 16,
    "count tasks": 15,
    "limit": 10,
}


@pytest.mark.parametrize("name", PAGES)
def test_each_statement_touches_so_many_pages_among_100_000_rows(grown: str, name: str) -> None:
    """Requests stay as fast when there are many rows: an index keeps each statement flat."""
    with psycopg.connect(grown) as connection:
        somebody = (
            "SELECT user_id, email, tasks.id FROM tasks JOIN users ON users.id = user_id ORDER BY tasks.id LIMIT 1"
        )
        found = connection.execute(somebody).fetchone()
        assert found is not None
        asked = ask(name, *found)
        explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + asked.statement.sql
        for _ in range(2):  # a connection's first look at a table reads the catalogue too
            ((plan,),) = connection.execute(explain, asked.params).fetchone()  # type: ignore[misc]  # there is one
            connection.rollback()
    print(f"{name}: {touched(plan)} pages of at most {PAGES[name]}")
    assert touched(plan) <= PAGES[name], json.dumps(plan, indent=1)


async def test_a_plan_made_for_small_tables_does_not_read_grown_ones_whole(own_database_url: str) -> None:
    """Requests stay fast while a new service fills up.

    A plan that PostgreSQL kept from small tables would be used until the next ANALYZE: in the minute before it each
    refresh read 50,000 rows and took 20 times as long.
    """
    settings = make_settings(own_database_url, rate_limits="on", database_pool_min=1, database_pool_max=1)
    scans = "SELECT relname, seq_scan FROM pg_stat_user_tables"
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
        admin.execute("SET enable_seqscan = off")  # its own foreign keys' checks count too
        async with running(settings) as client:
            ada = await Person.sign_up(client)
            for _ in range(10):
                await ada.add_task()
                ada.keep(await ada.refresh())
            admin.execute(
                "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
                "SELECT id, id, %s, 'signed_out', now(), now() + interval '8 days' "
                "FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 20000)) AS ended",
                (ada.user["id"],),
            )
            await asyncio.sleep(1.1)  # what a connection has counted is seen a second later, at its next statement
            await ada.get("/api/tasks")
            before: dict[str, int] = dict(admin.execute(scans).fetchall())
            for _ in range(5):
                await ada.get("/api/tasks")
                ada.keep(await ada.refresh())
            await asyncio.sleep(1.1)
            await ada.get("/api/tasks")
            await asyncio.sleep(0.1)
            assert dict(admin.execute(scans).fetchall()) == before
