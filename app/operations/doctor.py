"""Looks at what the service stands on, and says what to do."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import psycopg

from app.core.clock import stopwatch, system_clock
from app.core.config import Settings
from app.core.database.dsn import connection_arguments
from app.core.database.trouble import why
from app.operations.distribution import (
    count_half_done,
    find_nodes,
    has_extension,
    is_distributed,
    recovery_seconds,
)
from app.operations.migrations import head_revision, is_newer
from app.operations.older_processes import count_connections
from app.operations.usable import OLDEST_VERSION, Found, NotUsable, look

CLOCK_SECONDS = 5
FAR_MS = 20
SAMPLES = 5
RECOVERY_SECONDS = 5

Verdict = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """What was checked, its state, and what to do about it."""

    verdict: Verdict
    what: str
    how: str


def examine(settings: Settings, try_out: Callable[[Settings], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield one finding after the other; a database that cannot be used is the last.

    `try_out` does what people do: it stands on what is above this room.
    """
    yield from _settings(settings)
    yield _tokens(settings)
    if settings.passkeys == "on":
        yield _passkeys(settings)
    try:
        # With the arguments of the service, so that whatever keeps it from connecting shows here.
        with psycopg.connect(settings.dsn.conninfo, **connection_arguments(settings.dsn)) as connection:
            yield _reach(connection)
            found = look(connection)
            yield _kind(found)
            yield _migration(found)
            yield _older_processes(connection)
            yield _clock(connection)
            yield _durability(connection)
            if settings.dsn.fails_over:
                yield _failover(connection)
            yield _distribution(connection)
            yield _changes(connection)
            yield _connections(connection, settings)
        yield from try_out(settings)
    except psycopg.Error as error:
        yield Finding("fail", "database", why(error, settings.dsn))
    except NotUsable as error:
        yield Finding("fail", "database", str(error).removeprefix("The database ").removesuffix("."))


def _settings(settings: Settings) -> Iterator[Finding]:
    warnings = settings.warnings()
    if settings.rate_limits == "off" and settings.environment != "production":  # there it is one of the warnings
        warnings.append("RATE_LIMITS is off: passwords can be guessed without bound")
    yield from (Finding("warn", "settings", warning) for warning in warnings)
    if not warnings:
        yield Finding("ok", "settings", f"valid for {settings.environment}")


def _tokens(settings: Settings) -> Finding:
    keys = "two keys" if settings.better_auth_secret_previous else "one key"
    return Finding("ok", "tokens", f"access tokens are signed with {settings.access_token_algorithm}, {keys}")


def _passkeys(settings: Settings) -> Finding:
    return Finding("ok", "passkeys", f"of {settings.passkey_domain}, asked for by {', '.join(settings.passkey_pages)}")


def _ask(connection: psycopg.Connection, query: str) -> tuple[str, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def _reach(connection: psycopg.Connection) -> Finding:
    milliseconds = []
    for _ in range(SAMPLES):
        began = stopwatch()
        (version,) = _ask(connection, "SELECT current_setting('server_version')")
        milliseconds.append((stopwatch() - began) * 1000)
    how = f"PostgreSQL {version}, {min(milliseconds):.1f} ms away"
    if min(milliseconds) > FAR_MS:
        return Finding("warn", "database", f"{how}: each request waits as long, put them closer together")
    return Finding("ok", "database", how)


def _kind(found: Found) -> Finding:
    if found.isolation != "read committed":  # a pooler takes no options
        remedy = f"ALTER ROLE {found.role} SET default_transaction_isolation = 'read committed'"
        return Finding("fail", "isolation", f"is {found.isolation}, in which writes at the same time fail: {remedy}")
    if found.version < OLDEST_VERSION:
        how = f"is {found.version}, which is not tested: update it to {OLDEST_VERSION} or later"
        return Finding("warn", "version", how)
    return Finding("ok", "version", f"{found.encoding}, {found.isolation}")


def _migration(found: Found) -> Finding:
    if found.revision == head_revision():
        return Finding("ok", "migration", f"at {found.revision}")
    if is_newer(found.revision):
        known = f"which knows {head_revision()}"
        how = f"at {found.revision}, newer than this code, {known}: update the rest of the processes"
        return Finding("warn", "migration", how)
    how = f"at {found.revision or 'none'}, not {head_revision()}: run python -m app migrate"
    return Finding("fail", "migration", how)


def _older_processes(connection: psycopg.Connection) -> Finding:
    if connections := count_connections(connection):
        how = f"some are of 1.0 ({connections} connections) and end every session that is refreshed: stop them all"
        return Finding("fail", "processes", how)
    return Finding("ok", "processes", "none is of 1.0")


def _clock(connection: psycopg.Connection) -> Finding:
    (there,) = _ask(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
    apart = abs(float(there) - system_clock().timestamp())
    if apart > CLOCK_SECONDS:
        return Finding("warn", "clock", f"{apart:.0f} s apart from the database's: set both by NTP")
    return Finding("ok", "clock", "agrees with the database's")


def _durability(connection: psycopg.Connection) -> Finding:
    settings = ("fsync", "synchronous_commit", "default_transaction_read_only")
    found = _ask(connection, "SELECT " + ", ".join(f"current_setting('{name}')" for name in settings))
    fsync, synchronous_commit, read_only = found
    if read_only == "on":
        return Finding("fail", "durability", "the database only reads: nothing can be written")
    if "off" in (fsync, synchronous_commit):
        return Finding("warn", "durability", "fsync or synchronous_commit is off: a crash loses what was acknowledged")
    return Finding("ok", "durability", "what is acknowledged is on disk")


def _failover(connection: psycopg.Connection) -> Finding:
    settings = ("synchronous_standby_names", "synchronous_commit")
    standbys, waits = _ask(connection, "SELECT " + ", ".join(f"current_setting('{name}')" for name in settings))
    if not standbys or waits in ("off", "local"):
        how = "no standby is waited for (synchronous_standby_names): it would lose what was acknowledged last"
        return Finding("warn", "failover", how)
    return Finding("ok", "failover", f"what is acknowledged is at a standby of {standbys} too")


def _distribution(connection: psycopg.Connection) -> Finding:
    if not has_extension(connection):
        return Finding("ok", "nodes", "one: the tables are not distributed")
    if not is_distributed(connection):
        return Finding("warn", "nodes", "has Citus, but the tables are not distributed: run python -m app distribute")
    nodes = find_nodes(connection)
    how = f"the tables are distributed among {nodes.known}"
    if nodes.dead:
        return Finding("warn", "nodes", f"{how}, of which {', '.join(nodes.dead)} does not answer")
    if half_done := count_half_done(connection):
        return Finding("warn", "nodes", f"{how}; {half_done} transactions are half done: see pg_prepared_xacts")
    seconds = recovery_seconds(connection)
    if not 0 < seconds <= RECOVERY_SECONDS:
        remedy = "ALTER SYSTEM SET citus.recover_2pc_interval = '1s' on each node, and reload"
        return Finding("warn", "nodes", f"{how}; one that came back may lack a change for {seconds:g} s: {remedy}")
    return Finding("ok", "nodes", how)


def _changes(connection: psycopg.Connection) -> Finding:
    functions = ("pg_control_checkpoint()", "pg_control_recovery()", "pg_control_system()")
    allowed = _ask(
        connection, "SELECT " + ", ".join(f"has_function_privilege('{name}', 'EXECUTE')" for name in functions)
    )
    if not all(allowed):
        how = f"cannot be told (503): let the role of DATABASE_URL EXECUTE {', '.join(functions)}"
        return Finding("warn", "changes", how)
    return Finding("ok", "changes", "can be told to clients that were offline")


def _connections(connection: psycopg.Connection, settings: Settings) -> Finding:
    (most,) = _ask(connection, "SELECT current_setting('max_connections')")
    wanted = settings.workers * (settings.database_pool_max + bool(settings.live_streams))
    how = f"{wanted} of the database's {most} at most"
    if wanted > int(most) * 0.9:
        return Finding("warn", "connections", f"{how}: lower DATABASE_POOL_MAX or WORKERS, or use a pooler")
    return Finding("ok", "connections", how)
