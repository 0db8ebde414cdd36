"""`migrate`, `distribute`, `prune`, `dump` and `restore`, and how commands reach the database."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from app.accounts.leaving import finish_interrupted
from app.accounts.repository import END_EVERY_SESSION
from app.belongings import BELONGINGS
from app.cli.progress import megabytes, progress
from app.cli.serve import database_running, echo
from app.cli.trail import record
from app.core.clock import system_clock
from app.core.config import Settings
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.database.trouble import why
from app.core.operator_error import OperatorError
from app.core.rate_limits.database import prune_counters
from app.operations import backup, distribution
from app.operations.maintenance import run_without_timeouts
from app.operations.migrations import head_revision, how_far, upgrade
from app.operations.usable import look_at
from app.sessions.denylist import delete_expired_tokens, delete_of_all_users
from app.sessions.lifetimes import kept_after_use
from app.sessions.repository import delete_old_sessions
from app.tables import metadata
from app.tasks.changes import TOMBSTONES_KEPT
from app.tasks.changes_repository import FORGET_CHANGES, HISTORY, PRUNE

T = TypeVar("T")

# The versions of tokens stand in another table in a dump of 1.0.
END_EVERY_SESSION_OF_DUMP = b"DO $$ BEGIN IF to_regclass('user_state') IS NULL THEN %s; ELSE %s; END IF; END $$" % (
    END_EVERY_SESSION.replace(b"user_state", b"users"),
    END_EVERY_SESSION,
)
PRUNE_BATCH = 200  # users: each may have hundreds of rows


@contextmanager
def reachable_database(settings: Settings) -> Iterator[Settings]:
    """Yield settings that name a database. Raises: OperatorError when it cannot be used."""
    with database_running(settings) as ready:
        try:
            look_at(ready.dsn)  # once: a pool would go on trying
            yield ready
        except DatabaseUnavailable as error:
            raise OperatorError(f"The database {error.reason}.") from error
        except psycopg.Error as error:
            raise OperatorError(f"The database {why(error, ready.dsn)}.") from error


def run_with_pool(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Run the work on the database of these settings, over one connection, and return its result."""

    async def told(database: Database) -> T:
        async with _telling(settings, database):
            return await work(database)

    return _run(settings, told)


def _run(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        database = Database(settings.dsn, pool_min=1, pool_max=1)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def wake_every_stream(settings: Settings) -> None:
    """Let every stream of changes look whether its session lives."""
    if settings.live_streams:
        from app.live.operators import tell_everybody  # a room that may be switched off

        _run(settings, lambda database: tell_everybody(settings, database))


def _telling(settings: Settings, database: Database) -> AbstractAsyncContextManager[None]:
    if not settings.live_streams:
        return nullcontext()
    from app.live.operators import telling

    return telling(settings, database)


def migrate(settings: Settings, *, beside_older: bool) -> None:
    """Bring the database to this code's schema."""
    with reachable_database(settings) as ready:
        echo(f"Migrating the database to {head_revision()} …")
        with progress(lambda: how_far(ready.dsn)):
            upgrade(ready.dsn, beside_older=beside_older)
        echo("The database is up to date.")


def distribute(settings: Settings, *, shards: int | None) -> None:
    """Divide the tables among the nodes."""
    with reachable_database(settings) as ready:
        upgrade(ready.dsn)
        with progress(lambda: "Dividing the tables, with what is in them"):
            done = distribution.distribute(ready.dsn, shards=shards)
        echo(
            "The tables are distributed."
            if done
            else "The tables were distributed already; every node has its settings."
        )


def prune(settings: Settings) -> None:
    """Delete the rows that nothing needs any more: of the denylist, sessions, tombstones and counters."""
    with reachable_database(settings) as ready:
        run_with_pool(ready, lambda database: _prune(database, kept_after_use(ready)))


async def _prune(database: Database, kept: timedelta) -> None:
    for what, deletions in (
        ("accounts that were left", finish_interrupted(database, BELONGINGS)),
        ("expired denylist rows", delete_expired_tokens(database, batch=PRUNE_BATCH)),
        ("expired sessions", delete_old_sessions(database, kept=kept, batch=PRUNE_BATCH)),
        ("expired tombstones", delete_of_all_users(database, PRUNE, batch=PRUNE_BATCH, kept=TOMBSTONES_KEPT)),
        ("expired counters", prune_counters(database, system_clock())),
    ):
        total = batches = 0
        with progress(lambda what=what: f"Deleted {total:,} {what} in {batches:,} steps"):  # type: ignore[misc]  # noqa: B023  # it ends with the loop
            async for deleted in deletions:
                total, batches = total + deleted, batches + 1
        echo(f"Deleted {total:,} {what}.")


def dump(settings: Settings, file: Path) -> None:
    """Write the whole database into a new file."""
    with reachable_database(settings) as ready:
        echo(f"Writing {file} …")
        with progress(lambda: megabytes(backup.size_so_far(file))):
            backup.dump(ready.dsn, file)
        echo(f"Wrote {file.stat().st_size:,} bytes.")


def restore(settings: Settings, file: Path) -> None:
    """Replace what is in the database by what is in a file, and sign everybody out."""
    sent: list[int] = []
    with reachable_database(settings) as ready:
        echo(f"Restoring {file} …")
        was_distributed = distribution.is_distributed_at(ready.dsn)
        with progress(lambda: f"{megabytes(sum(sent))} restored"):
            # The denylist is as old as the dump: tokens that were used or signed out since would be valid again.
            backup.restore(
                *(ready.dsn, file),
                tables=metadata.tables,
                emptied=HISTORY,
                then=END_EVERY_SESSION_OF_DUMP,
                sent=sent.append,
            )
            upgrade(ready.dsn)
            run_without_timeouts(ready.dsn, FORGET_CHANGES)
            if was_distributed:  # pg_restore has made ordinary tables of them
                distribution.distribute(ready.dsn)
        wake_every_stream(ready)
        record("database_restored")
        echo("Restored. Everybody signs in again.")
