"""`python -m app`: serve, migrate, prune, doctor, users, dump, restore, openapi, secret."""

import argparse
import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from app.auth import accounts_admin as users
from app.auth.accounts_admin import UserNotFound
from app.auth.denylist import delete_expired_tokens
from app.auth.repository import end_every_session
from app.cli.doctor import report
from app.cli.serve import database_running, echo, serve
from app.core.clock import system_clock
from app.core.config import Settings, SettingsError, load_settings
from app.core.database import backup
from app.core.database.backup import BackupFailed
from app.core.database.migrations import head_revision, upgrade
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.embedded_postgres.paths import EmbeddedUnavailable
from app.core.rate_limits.database import prune_counters
from app.main import create_app

T = TypeVar("T")

PRUNE_BATCH = 1000


def migrate(settings: Settings) -> None:
    """Bring the database to this code's schema; safe to run on several machines at once."""
    with database_running(settings) as ready:
        echo(f"Migrating the database to {head_revision()} …")
        upgrade(ready.dsn)
        echo("The database is up to date.")


def prune(settings: Settings) -> None:
    """Delete the denylist rows and counters that nothing needs any more."""
    with database_running(settings) as ready:
        run_with_pool(ready, _prune)


def run_with_pool(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Do something with one connection to the database of these settings."""

    async def do() -> T:
        database = Database(settings.dsn, pool_min=1, pool_max=1)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(do())


async def _prune(database: Database) -> None:
    counters = partial(prune_counters, now=system_clock())
    for what, delete in (("denylist rows", delete_expired_tokens), ("counters", counters)):
        total = 0
        while deleted := await delete(database, batch=PRUNE_BATCH):
            total += deleted
            echo(f"Deleted {total} expired {what} …")
        echo(f"No expired {what} left.")


def dump(settings: Settings, file: Path) -> None:
    """Write the whole database into a new file."""
    with database_running(settings) as ready:
        echo(f"Writing {file} …")
        backup.dump(ready.dsn, file)
        echo(f"Wrote {file.stat().st_size:,} bytes.")


def restore(settings: Settings, file: Path) -> None:
    """Replace what is in the database by what is in a file, and sign everybody out."""
    with database_running(settings) as ready:
        echo(f"Restoring {file} …")
        backup.restore(ready.dsn, file)
        upgrade(ready.dsn)
        # The denylist is as old as the dump, so that what has been signed out or used since would be good again.
        run_with_pool(ready, lambda database: end_every_session(database, system_clock()))
        echo("Restored. Everybody signs in again.")


def doctor(settings: Settings) -> None:
    """Look at what the service stands on, and say what to do."""
    with database_running(settings) as ready:
        if not report(ready):
            raise SystemExit(1)


_CHANGES = {
    "deactivate": users.deactivate,
    "activate": users.activate,
    "signout": users.sign_out,
    "delete": users.delete,
}


def list_users(settings: Settings) -> None:
    """Print every account."""
    with database_running(settings) as ready:
        run_with_pool(ready, _list_users)


async def _list_users(database: Database) -> None:
    async for user in users.list_users(database):
        state = "active" if user.is_active else "inactive"
        print(f"{user.created_at:%Y-%m-%d}  {state:<8}  {user.email}" + (f"  ({user.name})" if user.name else ""))


def change_user(settings: Settings, action: str, email: str) -> None:
    """Do one of `_CHANGES`."""
    with database_running(settings) as ready:
        run_with_pool(ready, lambda database: _CHANGES[action](database, email, system_clock()))
        echo(f"Done: {action} {email}.")


def openapi() -> None:
    """Print the OpenAPI document, the same on every machine."""
    settings = Settings(
        _env_file=None,
        better_auth_secret="only-to-print-the-document-" + "0" * 32,
        database_url="postgresql://localhost/none",
    )
    print(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))


def secret() -> None:
    """Print a new secret for BETTER_AUTH_SECRET."""
    print(secrets.token_urlsafe(48))


def _parser() -> argparse.ArgumentParser:
    """Describe the commands; each puts into `run` what is to be done."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Accounts, tokens and private task lists.")
    commands = parser.add_subparsers(required=True)
    for with_settings in (serve, migrate, prune, doctor):
        added = commands.add_parser(with_settings.__name__, help=with_settings.__doc__)
        added.set_defaults(run=lambda given, do=with_settings: do(load_settings()))
    for with_file in (dump, restore):
        added = commands.add_parser(with_file.__name__, help=with_file.__doc__)
        added.add_argument("file", type=Path)
        added.set_defaults(run=lambda given, do=with_file: do(load_settings(), given.file))
    for alone in (openapi, secret):
        added = commands.add_parser(alone.__name__, help=alone.__doc__)
        added.set_defaults(run=lambda given, do=alone: do())
    accounts = commands.add_parser("users", help="List, deactivate, activate, sign out or delete accounts.")
    actions = accounts.add_subparsers(required=True)
    actions.add_parser("list", help=list_users.__doc__).set_defaults(run=lambda given: list_users(load_settings()))
    for action, change in _CHANGES.items():
        added = actions.add_parser(action, help=(change.__doc__ or "").partition(" Raises:")[0])
        added.add_argument("email")
        added.set_defaults(run=lambda given, do=action: change_user(load_settings(), do, given.email))
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 1 and a sentence when it cannot."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except (SettingsError, EmbeddedUnavailable, DatabaseUnavailable, BackupFailed, UserNotFound) as error:
        raise SystemExit(str(error)) from None
    except psycopg.OperationalError:
        raise SystemExit("The database cannot be reached: check DATABASE_URL and that the server runs.") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
