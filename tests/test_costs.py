"""What a request costs, counted and not timed: no noise moves these ceilings, only a change of the code does."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi import FastAPI

from app.auth import caller_repository, denylist_repository, repository
from app.core import rate_limit
from app.core.database import Connection, Statement
from app.main import create_app
from app.tasks import list_repository
from app.tasks import repository as tasks
from app.tasks.list_repository import Shape
from tests.bench.in_process import Ask, profile, sender
from tests.support import Person, client_of, make_settings, running

ROUND_TRIPS = {
    "GET /api/tasks": 1,
    "GET /api/tasks?limit=5": 1,
    "POST /api/tasks": 1,
    "GET /api/tasks/{id}": 1,
    "PUT /api/tasks/{id}": 1,
    "PATCH /api/tasks/{id}": 1,
    "PATCH /api/tasks/{id}/toggle": 1,
    "DELETE /api/tasks/{id}": 1,
    "GET /api/auth/me": 1,
    "POST /api/auth/refresh": 1,
    "POST /api/auth/signout": 1,
    "POST /api/auth/signup": 2,  # the limit, the account
    "POST /api/auth/signin": 5,  # two limits, the account, and both given back
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
    """Counts the statements that are sent."""
    counter: Counter[str] = Counter()
    original = psycopg.AsyncCursor.execute

    async def count(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        counter["statements"] += 1
        return await original(self, query, *args, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", count)
    return counter


@pytest.mark.parametrize("operation", ROUND_TRIPS)
async def test_each_operation_is_so_many_round_trips(app: FastAPI, executed: Counter[str], operation: str) -> None:
    """One, wherever the design allows it: the sign-in is checked by the statement that does the work."""
    async with client_of(app) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task()
        bodies = BODIES | {
            "POST /api/auth/refresh": {"refresh_token": ada.refresh_token},
            "POST /api/auth/signup": {"email": f"{uuid4()}@example.test", "password": ada.password},
            "POST /api/auth/signin": {"email": ada.email, "password": ada.password},
        }
        method, _, path = operation.partition(" ")
        executed.clear()
        answer = await ada.send(method, path.format(id=task["id"]), json=bodies.get(operation))
    assert answer.is_success
    assert executed["statements"] == ROUND_TRIPS[operation]


async def test_a_forged_token_takes_no_round_trip(app: FastAPI, executed: Counter[str]) -> None:
    """Contract 2: a refused token costs no connection unless its signature was good."""
    async with client_of(app) as client:
        assert (await client.get("/api/tasks", headers={"Authorization": "Bearer a.b.c"})).status_code == 401
    assert executed["statements"] == 0


CALLS = {"get one": 1080, "list of 20": 1560, "create": 1160, "me": 920}


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="each version of Python counts differently; these are 3.11's"
)
@pytest.mark.parametrize("operation", CALLS)
async def test_each_operation_is_so_many_function_calls(app: FastAPI, operation: str) -> None:
    """A middleware or a dependency more shows here before it shows in a benchmark."""
    async with client_of(app) as client:
        ada = await Person.sign_up(client)
        made = [await ada.add_task() for _ in range(20)]
    asks = {
        "get one": Ask("GET", f"/api/tasks/{made[0]['id']}", ada.access_token),
        "list of 20": Ask("GET", "/api/tasks", ada.access_token),
        "create": Ask("POST", "/api/tasks", ada.access_token, b'{"title": "Buy milk"}'),
        "me": Ask("GET", "/api/auth/me", ada.access_token),
    }
    cost = await profile(sender(app, asks[operation]), 50)
    print(f"{operation}: {cost.calls:.0f} function calls of at most {CALLS[operation]}")
    assert cost.calls <= CALLS[operation]


USERS, TASKS_EACH = 1000, 100


@pytest.fixture(scope="module")
def grown(postgres_url: str) -> Any:
    """A database with 100,000 tasks and as many denied tokens, and somebody in it."""
    from app.core.dsn import parse_database_url
    from app.core.migrate import upgrade
    from tests.conftest import new_database

    with new_database(postgres_url) as url:
        upgrade(parse_database_url(url))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO users (id, email, password_hash, is_active, token_version, created_at, updated_at) "
                "SELECT gen_random_uuid(), n || '@example.test', '', true, 0, now(), now() "
                f"FROM generate_series(1, {USERS}) AS n"
            )
            connection.execute(
                "INSERT INTO tasks (id, user_id, title, status, priority, version, created_at, updated_at) "
                "SELECT gen_random_uuid(), users.id, 'Task ' || n, 'pending', 'medium', 1, now() - n * interval '1 s', "
                f"now() FROM users, generate_series(1, {TASKS_EACH}) AS n ORDER BY n"
            )
            connection.execute(
                "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
                "SELECT gen_random_uuid(), gen_random_uuid(), users.id, 'used', now(), now() + interval '1 day' "
                "FROM users, generate_series(1, 100)"
            )
            connection.execute("VACUUM ANALYZE")
        yield url


def list_shape(**changes: Any) -> Shape:
    shape = Shape(None, False, False, False, "created_at", "desc", counted=False, after=False)
    return shape._replace(**changes)


# Pages of 8 KiB. The first figure is what an index makes of it, with room for a tree one level deeper.
BUFFERS: dict[str, tuple[Statement[Any], int]] = {
    "who is calling": (caller_repository.SELECT_SIGNED_IN_USER, 8),
    "get": (tasks.SELECT, 12),
    "create": (tasks.INSERT, 30),
    "change": (tasks.UPDATE, 40),
    "toggle": (tasks.TOGGLE, 40),
    "delete": (tasks.DELETE, 16),
    "first page": (list_repository._json_statement(list_shape()), 40),
    "page by cursor": (list_repository._json_statement(list_shape(after=True)), 40),
    "sign-in": (repository.SELECT_ACCOUNT, 5),
    "rotation": (denylist_repository.ROTATE_AND_COUNT, 45),
    "sign-out": (denylist_repository.END_SESSION, 20),
    "limit": (rate_limit.HIT, 10),
}


@pytest.mark.parametrize("name", BUFFERS)
async def test_each_statement_touches_so_many_pages_among_100_000_rows(grown: str, name: str) -> None:
    """EXPLAIN (ANALYZE, BUFFERS): flat, because an index makes it flat."""
    statement, ceiling = BUFFERS[name]
    now = datetime.now(UTC)
    async with await Connection.connect(grown) as connection:
        cursor = await connection.execute("SELECT user_id, id FROM tasks ORDER BY id LIMIT 1")
        user_id, task_id = await cursor.fetchone()  # type: ignore[misc]  # there is one
        params = statement.literals | {
            **{"user_id": user_id, "task_id": uuid4() if name == "create" else task_id, "session_id": uuid4()},
            **{
                "version": 0,
                "versions": None,
                "now": now,
                "expires_at": now,
                "window_end": now,
                "key": b"k",
                "amount": 9,
            },
            **{"title": "x", "description": None, "status": "pending", "priority": "low", "reason": "used"},
            **{"new_title": "y", "set_description": False, "new_description": None, "new_status": None},
            **{"reopen": False, "new_priority": None, "limit": 21, "offset": 0, "last": 20, "token_id": uuid4()},
            **{"after_key": now - timedelta(seconds=50), "after_id": task_id, "text": None, "email": "7@example.test"},
            **{"decoy_id": user_id, "decoy_created_at": now, "decoy_hash": ""},
        }
        if name == "rotation":
            params["task_id"] = None
        explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement.sql
        for _ in range(2):  # a session's first look at a table reads the catalogue too
            plan = (await (await connection.execute(explain, params)).fetchone())[0][0]["Plan"]  # type: ignore[index]
            await connection.rollback()
    touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    print(f"{name}: {touched} pages of at most {ceiling}")
    assert touched <= ceiling, json.dumps(plan, indent=1)


async def test_a_plan_made_for_small_tables_does_not_read_grown_ones_whole(own_database_url: str) -> None:
    """A kept plan lives until the next ANALYZE: a minute in which each refresh read 50,000 rows, 20 times as long."""
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
                "INSERT INTO token_denylist SELECT gen_random_uuid(), gen_random_uuid(), %s, 'used', now(), "
                "now() + interval '8 days' FROM generate_series(1, 20000)",
                (ada.user["id"],),
            )
            await asyncio.sleep(1.1)  # what a session has counted is seen a second later, at its next statement
            await ada.get("/api/tasks")
            before: dict[str, int] = dict(admin.execute(scans).fetchall())
            for _ in range(5):
                await ada.get("/api/tasks")
                ada.keep(await ada.refresh())
            await asyncio.sleep(1.1)
            await ada.get("/api/tasks")
            await asyncio.sleep(0.1)
            assert dict(admin.execute(scans).fetchall()) == before
