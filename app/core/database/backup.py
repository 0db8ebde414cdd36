"""Dumps and restores the database with PostgreSQL's own programs."""

import os
import shutil
import subprocess
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.core.database.dsn import Dsn
from app.core.embedded_postgres.paths import EmbeddedUnavailable, reachable_binaries
from app.core.operator_error import OperatorError


class BackupFailed(OperatorError):
    """A dump was not made, or not restored; the message says what the program said."""


def dump(dsn: Dsn, file: Path) -> None:
    """Write the whole database as of one moment into a new file. Raises: BackupFailed."""
    if file.exists():
        raise BackupFailed(f"{file} exists already: name a new file, so that no older dump is lost.")
    building = file.with_name(f"{file.name}.part")
    building.touch(mode=0o600)  # it holds everybody's tasks and password hashes
    _run(dsn, "pg_dump", "--format=custom", f"--file={building}")
    building.rename(file)


def restore(dsn: Dsn, file: Path) -> None:
    """Put a dump in the place of what is in the database, wholly or not at all. Raises: BackupFailed."""
    if not file.exists():
        raise BackupFailed(f"{file} does not exist.")
    _run(dsn, "pg_restore", "--clean", "--if-exists", "--single-transaction", "--exit-on-error", str(file))


def _run(dsn: Dsn, program: str, *arguments: str) -> None:
    parameters = conninfo_to_dict(dsn.conninfo)
    password = parameters.pop("password", None)  # not among the arguments: every user of the machine sees those
    command = [_find(program), "--no-owner", "--no-privileges", f"--dbname={make_conninfo('', **parameters)}"]
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    done = subprocess.run(  # noqa: S603  # PostgreSQL's own programs, no shell
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackupFailed(f"{program} failed:\n{done.stderr.strip()}")


def _find(program: str) -> str:
    """Find a program: the embedded database's, which is as new as any, or the system's."""
    try:
        return str(reachable_binaries(None) / program)
    except EmbeddedUnavailable:
        found = shutil.which(program)
        if found is None:
            raise BackupFailed(f"{program} is not installed: install PostgreSQL's client programs.") from None
        return found
