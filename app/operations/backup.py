"""Dumps and restores the database with PostgreSQL's own programs."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO, Any, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.core.database.dsn import Dsn
from app.core.database.trouble import SECRETS
from app.core.operator_error import OperatorError
from app.operations.embedded_postgres.paths import EmbeddedUnavailable, reachable_binaries
from app.operations.maintenance import NO_TIMEOUTS

_DEMANDS_TLS = {"require", "verify-ca", "verify-full"}
_CHUNK = 64 * 1024
_LONGEST_END = 1024
_WAITS = "everything but the commit is done"
_PSQL = ["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
_PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


class BackupFailed(OperatorError):
    """A dump was not made, or not restored; the message has the reason."""


def dump(dsn: Dsn, file: Path) -> None:
    """Write the whole database as of one moment into a new file. Raises: BackupFailed."""
    exists = BackupFailed(f"{file} exists already: name a new file, so that no older dump is lost.")
    if os.path.lexists(file):
        raise exists
    try:
        # It holds everybody's tasks and password hashes: mode 0600, a name that nobody guesses, O_EXCL and O_NOFOLLOW.
        with NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}.", suffix=".part") as building:
            # pg_dump gets the open file: its name could be somebody else's file by then. Standard output would not do:
            # pg_dump 18 appends to it, so that the table of contents, written again with the places of the data, would
            # not replace the first.
            opened = building.fileno()
            with _connection(dsn) as (address, environment):
                command = ["--no-owner", "--no-privileges", "--format=custom", f"--dbname={address}"]
                command.append(f"--file=/dev/fd/{opened}")
                with _Program("pg_dump", *command, dsn=dsn, environment=environment, pass_fds=[opened]) as program:
                    program.finish()
            os.fsync(opened)
            os.link(building.name, file, follow_symlinks=False)  # unlike a rename it replaces nothing
            if not os.path.samestat(os.fstat(opened), os.lstat(file)):
                raise BackupFailed(f"Somebody else writes to {file.absolute().parent}: name a folder of your own.")
        _sync_folder(file.parent)
    except FileExistsError:
        raise exists from None
    except OSError as error:
        raise BackupFailed(f"{file} cannot be written: {error.strerror}.") from error


def size_so_far(file: Path) -> int:
    """Return how much of a dump into this file is written."""
    return sum(part.stat().st_size for part in file.parent.glob(f"{glob.escape(file.name)}.*.part"))


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def restore(
    dsn: Dsn,
    file: Path,
    *,
    tables: Iterable[str],
    emptied: Iterable[str],
    then: bytes,
    sent: Callable[[int], None] = lambda size: None,
) -> None:
    """Put a dump in the place of these tables, some without their rows, and run a statement on it: all or nothing.

    `psql` runs what `pg_restore` writes, in a transaction whose COMMIT is sent when all else has been done: whichever
    process is killed before that, nothing has changed. `sent` is told of every so many bytes. Raises: BackupFailed.
    """
    if not file.exists():
        raise BackupFailed(f"{file} does not exist.")
    script = ["--no-owner", "--no-privileges", "--clean", "--if-exists", "--single-transaction", "--exit-on-error"]
    with (
        ThreadPoolExecutor(1) as pool,
        _connection(dsn) as (address, environment),
        _contents(file, emptied) as contents,
        _Program("pg_restore", *script, contents, "--file=-", str(file.absolute()), stdout=subprocess.PIPE) as reader,
        _Program("psql", *_PSQL, f"--dbname={address}", dsn=dsn, environment=environment, **_PIPES) as psql,
    ):
        # Read in a thread of its own: psql would block for ever on output that nobody reads.
        waits = pool.submit(lambda: f"{_WAITS}\n".encode() in psql.output)
        with suppress(BrokenPipeError):  # it has ended, and `finish` says why
            end = _send(reader, psql.input, tables, sent)
            reader.finish()
            psql.input.write(_finale(end, then))
            psql.input.flush()
            if waits.result():
                psql.input.write(b"COMMIT;\n")
                psql.input.close()
        psql.finish()
        if not waits.result():
            raise BackupFailed("psql ended before everything was restored: nothing has changed.")


@contextmanager
def _contents(file: Path, emptied: Iterable[str]) -> Iterator[str]:
    """Yield the option that names what to restore: all but these tables' rows, and Citus, which knows its nodes."""
    rows = "|".join(emptied)
    left_out = re.compile(rf" EXTENSION (- )?citus| TABLE DATA \S+ ({rows}) ".encode())
    with _Program("pg_restore", "--list", str(file.absolute()), stdout=subprocess.PIPE) as reader:
        entries = reader.output.readlines()
        reader.finish()
    with NamedTemporaryFile(prefix="auth-tasks-", suffix=".list") as chosen:
        chosen.writelines(entry for entry in entries if not left_out.search(entry))
        chosen.flush()
        yield f"--use-list={chosen.name}"


def _send(reader: "_Program", psql: IO[bytes], tables: Iterable[str], sent: Callable[[int], None]) -> bytes:
    """Hand on what pg_restore writes, all but its last bytes, and return those."""
    begin = reader.output.read(_CHUNK)
    if not begin:
        reader.finish()
    held = _prelude(begin, tables)
    while chunk := reader.output.read(_CHUNK):
        psql.write(held[:-_LONGEST_END])
        held = held[-_LONGEST_END:] + chunk
        sent(len(chunk))
    psql.write(held[:-_LONGEST_END])
    return held[-_LONGEST_END:]


def _prelude(begin: bytes, tables: Iterable[str]) -> bytes:
    """Lift every timeout and drop the tables, newer ones than the dump too: they may refer to one in it."""
    if not re.match(rb"(?:--.*\n|\n)*\\restrict ", begin):
        raise BackupFailed(
            "pg_restore is from before August 2025, when a dump could still run commands on the machine that restores "
            "it (CVE-2025-8714): update PostgreSQL's client programs."
        )
    dropped = ", ".join(("alembic_version", *(f'"{name}"' for name in tables)))
    room = f"SET client_min_messages = warning;\nDROP TABLE IF EXISTS {dropped};\n".encode()
    # pg_restore 17 and newer writes this line, which servers before 17 do not accept.
    begin = begin.replace(b"\nSET transaction_timeout = 0;\n", b"\n", 1)
    return begin.replace(b"\nBEGIN;\n", b"\nBEGIN;\n" + NO_TIMEOUTS + b";\n" + room, 1)


def _finale(end: bytes, then: bytes) -> bytes:
    """Put the statement in the place of the COMMIT, with the settings of a new connection.

    The dump's own settings would stay with the connection, which a pooler hands to the next client.
    """
    before, commit, _ = end.rpartition(b"\nCOMMIT;\n")
    if not commit:
        raise BackupFailed("pg_restore did not write what it used to: nothing has changed.")
    return b";\n".join((before, b"RESET ALL", NO_TIMEOUTS, then, f"SELECT '{_WAITS}'".encode(), b""))


@contextmanager
def _connection(dsn: Dsn) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the address and the environment to connect with; no secret is in the address.

    Every user of the machine can see a program's arguments.
    """
    parameters = conninfo_to_dict(dsn.conninfo)
    secrets = {name: str(parameters.pop(name)) for name in SECRETS & parameters.keys()}
    environment = {**os.environ}
    if "password" in secrets:
        environment["PGPASSWORD"] = secrets.pop("password")
    if not secrets:
        yield make_conninfo("", **parameters), environment
        return
    if "service" in parameters:
        raise BackupFailed(f"Write {' and '.join(secrets)} into the service file, not into DATABASE_URL.")
    with NamedTemporaryFile("w", prefix="auth-tasks-", suffix=".conf") as file:
        file.writelines(["[secrets]\n", *(f"{name}={value}\n" for name, value in secrets.items())])
        file.flush()
        yield make_conninfo("", **parameters, service="secrets"), {**environment, "PGSERVICEFILE": file.name}


class _Program:
    """One of PostgreSQL's programs, which does not outlive the block."""

    def __init__(
        self,
        name: str,
        *arguments: str,
        dsn: Dsn | None = None,
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self._name = name
        command = [_find(name, dsn), *arguments]
        self._errors = TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(command, env=environment, stderr=self._errors, **options)  # noqa: S603  # no shell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with suppress(BrokenPipeError), self._process, self._errors:
            if self._process.stdin:  # first, so that also what a script has started ends, and lets go of the output
                self._process.stdin.close()

    @property
    def input(self) -> IO[bytes]:
        """Return its standard input."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> IO[bytes]:
        """Return its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout

    def finish(self) -> None:
        """Wait until it has ended. Raises: BackupFailed, with what it wrote."""
        if self._process.wait():
            self._errors.seek(0)
            raise BackupFailed(_why(self._name, self._errors.read().decode(errors="replace").strip()))


def _why(program: str, text: str) -> str:
    """Say what to do about programs that are older than the server or the dump; else what they say."""
    newer = "or install requirements.txt, which has the newest"
    if found := re.search(r"server version: (\d+).*version: (\d+)", text):
        server, own = found.groups()
        return f"{program} here is {own}, the server {server}: install postgresql-client-{server}, {newer}."
    if "unsupported version" in text:
        return (
            f"{program} here is older than the program that made the dump: install a newer postgresql-client, {newer}."
        )
    return f"{program} failed:\n{text}"


def _find(program: str, dsn: Dsn | None) -> str:
    """Find a program: the embedded database's, which is as new as any but speaks no TLS, or the system's."""
    tls = dsn is not None and conninfo_to_dict(dsn.conninfo).get("sslmode") in _DEMANDS_TLS
    with suppress(EmbeddedUnavailable):
        if not tls:
            return str(reachable_binaries(None) / program)
    found = shutil.which(program)
    if found is None:
        raise BackupFailed(f"{program} is not installed: install PostgreSQL's client programs.")
    return found
