"""Databases that have grown, and the statements of the service with what they are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg

from app.accounts import repository as accounts
from app.auth import active_session
from app.core.database.statement import Statement
from app.core.rate_limits import database as rate_limits
from app.sessions import denylist, rotation_repository
from app.sessions import repository as sessions
from app.tasks import changes_repository as changes
from app.tasks import repository as tasks
from app.tasks.list_repository import ListShape, list_statement
from app.tasks.schemas import TaskUpdate


def fill(connection: psycopg.Connection, *, users: int, tasks_each: int, denied: int) -> None:
    """Fill migrated, empty tables: so many users with a session, tasks of each, and denied tokens in all."""
    connection.execute("SET maintenance_work_mem = '1GB'")
    # Otherwise VACUUM may come before the commits are written, and marks no page as seen by everybody.
    connection.execute("SET synchronous_commit = on")
    with _nothing_but_keys(connection):
        connection.execute(
            "INSERT INTO users (id, email, password_hash) "
            "SELECT gen_random_uuid(), n || '@example.test', repeat('x', 75) FROM generate_series(1, %s) AS n",
            (users,),
        )
        connection.execute("INSERT INTO user_state (user_id) SELECT id FROM users")
        connection.execute(
            "INSERT INTO tasks (id, user_id, title, description, status, priority, version, created_at, updated_at) "
            "SELECT gen_random_uuid(), users.id, 'Water the plants ' || n, 'The fern first', 'pending', 'medium', 1, "
            "now() - n * interval '1 s', now() FROM users, generate_series(1, %s) AS n ORDER BY n",
            (tasks_each,),
        )
        connection.execute(
            "INSERT INTO sessions (id, user_id, device, token_version) "
            "SELECT gen_random_uuid(), id, 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 0 "
            "FROM users"
        )
        connection.execute(
            "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at, "
            "key_hash, client, uses) SELECT id, id, user_id, 'active', 100, now(), now() + interval '8 days', "
            "decode(repeat('00', 32), 'hex'), decode(repeat('00', 8), 'hex'), decode(repeat('00', 64), 'hex') "
            "FROM sessions LIMIT %s",
            (denied,),
        )
        connection.execute(
            "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
            "SELECT id, id, user_id, 'signed_out', now(), now() + interval '366 days' FROM (SELECT "
            "gen_random_uuid() AS id, user_id, generate_series(1, %s) FROM sessions LIMIT %s) AS ended",
            (-(-denied // users), max(0, denied - users)),
        )
    connection.execute("VACUUM ANALYZE")


@contextmanager
def _nothing_but_keys(connection: psycopg.Connection) -> Iterator[None]:
    """Fill without looking foreign keys up and without the indexes that are no keys; make all indexes anew at the end.

    Sorting a table once is many times faster than inserting into them row by row. The keys stay: other tables may refer
    to them.
    """
    indexes = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indrelid "
        "WHERE relnamespace = 'public'::regnamespace AND NOT indisunique"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    connection.execute("SET session_replication_role = replica")  # no trigger runs, a foreign key's neither
    yield
    connection.execute("RESET session_replication_role")
    for _, definition in indexes:
        connection.execute(definition.encode())
    connection.execute("REINDEX SCHEMA public")


class Asked(NamedTuple):
    """A statement, with its parameters for one user and one of the user's tasks."""

    statement: Statement[Any]
    params: dict[str, Any]


STATEMENTS: dict[str, Statement[Any]] = {
    "who is calling": active_session.SELECT_ACTIVE_USER,
    "get": tasks.SELECT.statement,
    "create": tasks.INSERT,
    "change": tasks.update_statement(frozenset({"title", "status"}), reopen=False).statement,
    "toggle": tasks.TOGGLE.statement,
    "delete": tasks.DELETE,
    "create again": tasks.INSERT_AGAIN,
    "changes": changes.SELECT_CHANGED.statement,
    "deletions": changes.SELECT_DELETED.statement,
    "first page": list_statement(ListShape(counted=True)).statement,
    "page by cursor": list_statement(ListShape(counted=True, after=True)).statement,
    "sign-in": accounts.SELECT_ACCOUNT,
    "refresh": rotation_repository.ROTATE,
    "sign-out": denylist.END_SESSION,
    "session begun": sessions.BEGIN,
    "list sessions": sessions.LIST.statement,
    "end a session": sessions.END_ONE,
    "end the others": sessions.END_OTHERS,
    "end the least used": sessions.END_LEAST_USED,
    "count tasks": tasks.COUNT.statement,
    "limit": rate_limits.HIT,
    "prune": denylist.PRUNE,
    "prune tombstones": changes.PRUNE,
    "prune one's tombstones": changes.PRUNE_USER,
    "prune one's own": denylist.PRUNE_USER,
    "prune one's sessions": sessions.PRUNE_USER,
}


def ask(name: str, user_id: UUID, email: str, task_id: UUID) -> Asked:
    """Return one of `STATEMENTS`, asked by this user about this task."""
    statement, now = STATEMENTS[name], datetime.now(UTC)
    sent = {"title": "x", "status": "pending", "priority": "low"}
    task: dict[str, Any] = dict.fromkeys((*TaskUpdate.model_fields, "versions")) | sent | {"excluded": []}
    session = {"session_id": uuid4(), "token_version": 0, "token_id": uuid4(), "expires_at": now + timedelta(days=8)}
    session |= {"number": 101, "key_hash": bytes(32), "client": bytes(8), "use": bytes(8), "password_version": 0}
    session |= {"proven_version": 0}
    params = {
        **{
            "user_id": user_id,
            "task_id": uuid4() if name.startswith("create") else task_id,
            "now": now,
            "reason": "used",
        },
        **{"limit": 21, "offset": 0, "q": None},
        **{"after_value": now - timedelta(seconds=10), "after_id": task_id},
        **{"since": "9", "after": UUID(int=0)},
        **{"key": uuid4().bytes, "amount": 9, "window_end": now + timedelta(minutes=1), "batch": 5},
        **{"user_ids": [user_id], "kept": timedelta(days=8), "most": 100},
        **{"device": "Firefox", "oldest": now - timedelta(days=7), "ended_id": uuid4()},
        **{"email": email, "dummy_id": user_id, "dummy_created_at": now, "dummy_hash": ""},
    }
    return Asked(statement, params | task | session)


def touched(plan: dict[str, Any]) -> int:
    """Count the pages of 8 KiB that an EXPLAIN (ANALYZE, BUFFERS) has met."""
    pages: int = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return pages
