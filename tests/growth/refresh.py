"""`make refresh`: what a refresh costs PostgreSQL among 100,000 sessions, beside 1.0's row for each used token."""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
from alembic import command

from app.core.database.dsn import connection_arguments, parse_database_url
from app.core.rate_limits.database import HIT
from app.operations.embedded_postgres.server import EmbeddedPostgres
from app.operations.migrations import alembic_config, upgrade
from app.sessions.rotation_repository import ROTATE, USE_LENGTH, USES_KEPT
from tests.support.databases import new_database, new_folder

SESSIONS = int(os.environ.get("SESSIONS", "100000"))
REFRESHES = int(os.environ.get("REFRESHES", "20000"))
USED_EACH = 8  # in 1.0: two hours of a session in constant use, of up to eight days

# 1.0's statements, but for the limit's, which is today's.
ROTATE_1_0 = b"""INSERT INTO token_denylist (id, session_id, reason, key_hash, user_id, denied_at, expires_at)
    SELECT %(token_id)s::uuid, %(session_id)s::uuid, 'used', %(key_hash)s, %(user_id)s::uuid, %(now)s::timestamptz,
        %(expires_at)s::timestamptz
    FROM users WHERE users.id = %(user_id)s::uuid AND users.is_active AND users.token_version = 0 AND NOT EXISTS (
        SELECT FROM token_denylist WHERE user_id = %(user_id)s::uuid AND id = %(session_id)s::uuid)
    FOR KEY SHARE OF users ON CONFLICT DO NOTHING RETURNING id"""
PRUNE_1_0 = b"""DELETE FROM token_denylist WHERE user_id = %(user_id)s::uuid AND id = ANY (ARRAY(
        SELECT id FROM token_denylist WHERE user_id = %(user_id)s::uuid AND expires_at <= now()
        ORDER BY expires_at LIMIT 40 FOR UPDATE SKIP LOCKED)) RETURNING id"""

USERS = """INSERT INTO users (id, email, password_hash, created_at, updated_at)
    SELECT gen_random_uuid(), n || '@example.test', repeat('x', 75), now(), now() FROM generate_series(1, %s) AS n"""
ROWS_1_0 = """INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at, key_hash)
    SELECT gen_random_uuid(), id, id, 'used', now() - n * interval '15 minutes', now() + interval '8 days',
        sha256(email::bytea) FROM users, generate_series(1, %s) AS n ORDER BY n"""
ROWS = f"""INSERT INTO token_denylist
    (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at, key_hash, client, uses, counted, window_ends)
    SELECT id, id, id, 'active', 100, now() - interval '15 minutes', now() + interval '8 days', sha256(email::bytea),
        substr(sha256(email::bytea), 1, 8), decode(repeat('a7', {USE_LENGTH * USES_KEPT}), 'hex'), 1, now()
    FROM users"""
TUPLES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'token_denylist'"
SIZE = "SELECT pg_total_relation_size('token_denylist')"


class Cost(NamedTuple):
    """Of one refresh: CPU and WAL, the latter after a checkpoint; of the table: its size before and after."""

    microseconds: float
    wal_bytes: float
    hot: float
    before: int
    after: int

    def __str__(self) -> str:
        sizes = f"{self.before / 1e6:.0f} MB, afterwards {self.after / 1e6:.0f}"
        return f"{self.microseconds:.0f} µs, {self.wal_bytes:,.0f} bytes of WAL, {self.hot:.0%} HOT, {sizes}"


def main() -> None:
    """Measure both, one after the other, three times."""
    with new_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", durable=False, echo=lambda text: None)
        url = server.start()
        with psycopg.connect(url, autocommit=True) as connection:  # as a durable server writes its WAL
            connection.execute("ALTER SYSTEM SET full_page_writes = on")
            connection.execute("SELECT pg_reload_conf()")
        try:
            with new_database(url) as old, new_database(url) as new:
                prepare(old, "0006", ROWS_1_0, USED_EACH)
                prepare(new, "head", ROWS)
                for number in range(3):
                    print(f"1.0: {measure(old, refresh_1_0, number)}", flush=True)
                    print(f"now: {measure(new, refresh, number)}", flush=True)
        finally:
            server.stop()


def prepare(url: str, revision: str, rows: str, *params: int) -> None:
    dsn = parse_database_url(url)
    if revision == "head":
        upgrade(dsn)
    else:
        command.upgrade(alembic_config(dsn), revision)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(USERS.encode(), [SESSIONS])
        if revision == "head":
            connection.execute("INSERT INTO user_state (user_id) SELECT id FROM users")
        connection.execute(rows.encode(), params)
        connection.execute("VACUUM ANALYZE")


Refresh = Callable[["psycopg.Connection[Any]", UUID, int], None]


def refresh_1_0(connection: "psycopg.Connection[Any]", user_id: UUID, number: int) -> None:
    """Count, rotate, and every eighth time prune."""
    now = datetime.now(UTC)
    window = {"key": user_id.bytes * 2, "amount": 120, "window_end": now + timedelta(minutes=1), "now": now}
    connection.execute(HIT.sql, window)
    token = {"token_id": uuid4(), "session_id": user_id, "user_id": user_id, "key_hash": os.urandom(32), "now": now}
    done = connection.execute(ROTATE_1_0, token | {"expires_at": now + timedelta(days=8)})
    assert done.rowcount == 1
    if number % 8 == 0:
        connection.execute(PRUNE_1_0, {"user_id": user_id})


def refresh(connection: "psycopg.Connection[Any]", user_id: UUID, number: int) -> None:
    """Rotate, which counts."""
    now = datetime.now(UTC)
    session = {"user_id": user_id, "session_id": user_id, "token_version": 0, "number": 101 + number, "now": now}
    session |= {"expires_at": now + timedelta(days=8), "window_end": now + timedelta(minutes=1), "amount": 120}
    session |= {"key_hash": os.urandom(32), "client": os.urandom(8), "use": os.urandom(USE_LENGTH)}
    done = connection.execute(ROTATE.sql, session)
    assert done.rowcount == 1


def measure(url: str, send: Refresh, seed: int) -> Cost:
    dsn = parse_database_url(url)
    with psycopg.connect(dsn.conninfo, **connection_arguments(dsn)) as connection:
        ids = [found for (found,) in connection.execute("SELECT id FROM users ORDER BY id").fetchall()]
        chosen = random.Random(seed).choices(ids, k=REFRESHES)
        for number, user_id in enumerate(chosen[:100]):
            send(connection, user_id, number + 1_000_000 * seed)
        connection.execute("CHECKPOINT")
        updated, hot, before, wal, cpu = look(connection)
        for number, user_id in enumerate(chosen[100:]):
            send(connection, user_id, number + 1_000 + 1_000_000 * seed)
        done = len(chosen) - 100
        microseconds = (cpu_ns(connection) - cpu) / 1000 / done
        now_updated, now_hot, after, now_wal, _ = look(connection)
    share = (now_hot - hot) / (now_updated - updated) if now_updated > updated else 0
    return Cost(microseconds, (now_wal - wal) / done, share, before, after)


def look(connection: "psycopg.Connection[Any]") -> tuple[int, int, int, int, int]:
    connection.execute("SELECT pg_stat_force_next_flush()")
    updated, hot = connection.execute(TUPLES).fetchall()[0]
    ((size,),) = connection.execute(SIZE).fetchall()
    ((wal,),) = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchall()
    return updated, hot, size, wal, cpu_ns(connection)


def cpu_ns(connection: "psycopg.Connection[Any]") -> int:
    """Return how long the backend has run, waiting left out."""
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0])


if __name__ == "__main__":
    main()
