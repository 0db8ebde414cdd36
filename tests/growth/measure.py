"""`make growth`: what each operation costs the database among 10^3, 10^5 and 10^6 users with 20 tasks each."""

import argparse
import csv
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from app.cli.progress import progress
from app.core.database.dsn import connection_arguments, parse_database_url
from app.operations.embedded_postgres.server import EmbeddedPostgres
from app.operations.migrations import upgrade
from app.tasks.list_repository import ListShape, list_statement
from app.tasks.pages import BATCH
from tests.growth.grown import STATEMENTS, Asked, ask, fill, touched
from tests.support.databases import new_database, new_folder
from tests.support.settings import ROOT

USERS = (1_000, 100_000, 1_000_000)
TASKS_EACH = 20
RUNS = 60
HEAVY_TASKS, DEPTH = 100_000, 50_000
NUMBERS = ROOT / "docs" / "growth.csv"


class Cost(NamedTuple):
    """Medians of one operation among so many users."""

    users: int
    operation: str
    pages: float
    milliseconds: float


def main() -> None:
    """Fill, measure, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="*", default=USERS)
    parser.add_argument("--into", type=Path, default=NUMBERS)
    given = parser.parse_args()
    costs: list[Cost] = []
    with new_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", durable=False, echo=lambda text: None)
        url = server.start()
        try:
            for users in given.users:
                with new_database(url) as database_url:
                    costs += _measure(database_url, users)
        finally:
            server.stop()
    with given.into.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([Cost._fields, *costs])
    print(f"Wrote {given.into}.")


def _measure(url: str, users: int) -> Iterator[Cost]:
    dsn = parse_database_url(url)
    upgrade(dsn)
    print(f"Filling: {users:,} users, {users * TASKS_EACH:,} tasks, {users:,} denied tokens …", flush=True)
    with psycopg.connect(url, autocommit=True) as connection:
        with progress(lambda: f"Filling the tables of {users:,} users"):
            fill(connection, users=users, tasks_each=TASKS_EACH, denied=users)
        _print_sizes(connection)
        heavy = _add_somebody_with_many_tasks(connection)
    with psycopg.connect(dsn.conninfo, **{**connection_arguments(dsn), "autocommit": False}) as connection:
        people = connection.execute(
            "SELECT users.id, email, (SELECT id FROM tasks WHERE user_id = users.id ORDER BY id LIMIT 1) "
            "FROM users WHERE id <> %s ORDER BY users.id LIMIT %s",
            (heavy, RUNS),
        ).fetchall()
        asks = {name: [ask(name, *person) for person in people] for name in STATEMENTS}
        asks["prune"] = [_when_all_has_expired(asked) for asked in asks["prune"]]
        asks |= _deep_pages(connection, heavy)
        for name, asked in asks.items():
            yield _cost(connection, users, name, asked)


def _when_all_has_expired(asked: Asked) -> Asked:
    return Asked(asked.statement, {**asked.params, "now": datetime.now(UTC) + timedelta(days=9)})


def _add_somebody_with_many_tasks(connection: psycopg.Connection) -> UUID:
    found = connection.execute(
        "INSERT INTO users (id, email, password_hash) VALUES (gen_random_uuid(), 'many@example.test', 'x') RETURNING id"
    ).fetchone()
    assert found is not None
    connection.execute("INSERT INTO user_state (user_id) VALUES (%s)", found)
    connection.execute(
        "INSERT INTO tasks (id, user_id, title, created_at) "
        "SELECT gen_random_uuid(), %s, 'Task ' || n, now() - n * interval '1 s' FROM generate_series(1, %s) AS n",
        (found[0], HEAVY_TASKS),
    )
    connection.execute("VACUUM ANALYZE tasks")
    heavy: UUID = found[0]
    return heavy


def _deep_pages(connection: psycopg.Connection, heavy: UUID) -> dict[str, list[Asked]]:
    """Return the page in the middle of a very long list, both ways, and a batch of it when it is read as a whole."""
    found = connection.execute(
        "SELECT created_at, id FROM tasks WHERE user_id = %s ORDER BY created_at DESC, id DESC OFFSET %s LIMIT 1",
        (heavy, DEPTH - 1),
    ).fetchone()
    assert found is not None
    by_offset = ask("first page", heavy, "", found[1])
    by_offset.params["offset"] = DEPTH
    by_cursor = ask("page by cursor", heavy, "", found[1])
    by_cursor.params["after_value"] = found[0]
    whole = list_statement(ListShape(after=True)).statement
    return {
        "page at 50,000 by offset": [by_offset] * RUNS,
        "page at 50,000 by cursor": [by_cursor] * RUNS,
        "batch at 50,000": [Asked(whole, by_cursor.params | {"limit": BATCH + 1})] * RUNS,
    }


def _cost(connection: psycopg.Connection, users: int, name: str, asked: list[Asked]) -> Cost:
    plans: list[dict[str, Any]] = []
    for statement, params in asked:
        explain = b"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + statement.sql
        ((plan,),) = connection.execute(explain, params).fetchone()  # type: ignore[misc]  # there is one
        plans.append(plan)
        connection.rollback()
    pages = statistics.median(touched(plan) for plan in plans)
    milliseconds = statistics.median(plan["Execution Time"] for plan in plans)
    print(f"{users:>9,} users  {name:<26} {pages:>7.0f} pages {milliseconds:>8.3f} ms", flush=True)
    return Cost(users, name, pages, round(milliseconds, 3))


def _print_sizes(connection: psycopg.Connection) -> None:
    for table in ("users", "user_state", "tasks", "sessions", "token_denylist"):
        query = f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}"
        rows, size = connection.execute(query.encode()).fetchone() or (0, 0)
        print(f"{table}: {rows:,} rows, {size / rows:.0f} bytes each with their indexes", flush=True)


if __name__ == "__main__":
    main()
