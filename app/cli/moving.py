"""`users import` and `users export`: accounts of another system move in, and a person takes everything along."""

import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import IO
from uuid import UUID

from app.accounts import admin
from app.accounts.incoming import read_arrivals
from app.accounts.moving import Import, take_in
from app.accounts.moving_repository import EXPORT_ACCOUNT
from app.auth.passwords import PasswordHasher
from app.belongings import EXPORTED
from app.cli.database import reachable_database, run_with_pool
from app.cli.progress import progress
from app.cli.serve import echo
from app.cli.trail import record
from app.core.clock import system_clock
from app.core.config import Settings
from app.core.database.pool import Database
from app.core.http.json import encode
from app.core.logging import plain
from app.core.operator_error import OperatorError

EXPORT_BATCH = 1000


def import_users(settings: Settings, file: Path, *, without_password: bool) -> None:
    """Take in the accounts of a file, and print each line that was not taken. Raises: OperatorError if one was not."""
    try:
        # A byte that is no UTF-8 spoils its line alone.
        opened = file.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.") from error
    with opened, reachable_database(settings) as ready:
        done = Import(lambda user_id: record("account_imported", user_id=user_id))
        with progress(lambda: f"Took {done.taken:,} accounts"):
            run_with_pool(ready, lambda database: _import(database, ready, opened, done, without_password))
    echo(f"Took {done.taken:,} accounts; skipped {done.skipped:,} whose address has one.")
    if done.without_password:
        echo(f"{done.without_password:,} of them have no password: `users reset` makes a link for each.")
    if done.refused:
        raise OperatorError(f"{done.refused:,} lines were not taken. Mend them and do it again.")


async def _import(database: Database, settings: Settings, file: IO[str], done: Import, without_password: bool) -> None:
    passwords = PasswordHasher(cost=settings.password_hash_cost, queue_seconds=settings.hash_queue_seconds)
    try:
        now = system_clock()
        arrivals = read_arrivals(file, admit=passwords.admit, without_password=without_password, now=now)
        # Of a secret that nobody has kept.
        nobody_knows = passwords.dummy_hash
        async for line, reason in take_in(database, arrivals, done, no_password=nobody_knows, now=now):
            print(plain(f"line {line}: {reason}"))
    finally:
        passwords.close()


def export_user(settings: Settings, email: str) -> None:
    """Print all that is known of a person, as JSON with nothing secret in it."""
    with reachable_database(settings) as ready:
        user_id = run_with_pool(ready, partial(_export, email=email, out=sys.stdout.buffer))
        record("account_exported", user_id=user_id)


async def _export(database: Database, *, email: str, out: IO[bytes]) -> UUID:
    user_id = await admin.find(database, email)
    account = await database.fetch_one(EXPORT_ACCOUNT, user_id=user_id)
    if account is None:
        raise admin.UserNotFound(email)
    out.write(b'{"account": ' + encode(account))
    for name in EXPORTED:
        out.write(f',\n"{name}": ['.encode())
        separator = b"\n"
        async for row in _rows(database, name, user_id):
            out.write(separator + row)
            separator = b",\n"
        out.write(b"]")
    out.write(b"}\n")
    out.flush()
    return user_id


async def _rows(database: Database, name: str, user_id: UUID) -> AsyncIterator[bytes]:
    """Yield everything of one kind, some at a time: one statement for all could take longer than it may."""
    statement, after = EXPORTED[name], UUID(int=0)
    while rows := await database.fetch_all(statement, user_id=user_id, after=after, limit=EXPORT_BATCH):
        for row in rows:
            yield encode(row)
        if "after" not in statement.parameters:
            return
        after = rows[-1].id
