"""A primary and its standby: two real servers on ports of loopback, of which either can die, be promoted, come back."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from app.operations.embedded_postgres.paths import ServerUser, reachable_binaries, server_user
from tests.support.server import free_port

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
port = {port}
timezone = 'UTC'
"""


@dataclass
class Machine:
    """One PostgreSQL server and its data folder."""

    folder: Path
    name: str
    port: int = field(default_factory=free_port)
    user: ServerUser = field(default_factory=server_user)

    @property
    def data(self) -> Path:
        return self.folder / self.name

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user, on this data folder."""
        who: dict[str, Any] = {}
        if self.user:
            who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        # A file, not a pipe: the server inherits it.
        with (self.folder / f"{self.name}.said").open("ab") as said:
            command = [str(reachable_binaries(self.user) / program), "-D", str(self.data), *arguments]
            done = subprocess.run(command, stdout=said, stderr=said, cwd="/", timeout=60, check=False, **who)
        assert done.returncode == 0, Path(said.name).read_text()[-2000:]

    def make(self) -> None:
        """Make an empty primary."""
        self._make_folder()
        self.run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
        self.configure(SETTINGS.format(port=self.port))

    def copy(self, primary: "Machine") -> None:
        """Make a standby of a primary that runs."""
        self._make_folder()
        self.run("pg_basebackup", "-d", primary.url, "-X", "stream", "-c", "fast", "--no-sync")
        self.configure(SETTINGS.format(port=self.port))
        self.follow(primary)

    def follow(self, primary: "Machine") -> None:
        """Be a standby of it at the next start."""
        where = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        self.configure(f"primary_conninfo = '{where}'\n")
        (self.data / "postgresql.auto.conf").write_text("")  # once promoted it waits for nobody, and writes
        (self.data / "standby.signal").touch()

    def configure(self, text: str) -> None:
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(text)

    def start(self) -> None:
        self.run("pg_ctl", "-w", "-l", str(self.data / "server.log"), "start")

    def stop(self) -> None:
        """Stop it as one does: sessions are ended, and a standby gets all that was written."""
        self.run("pg_ctl", "-w", "-m", "fast", "stop")

    def promote(self) -> None:
        self.run("pg_ctl", "-w", "promote")

    def processes(self) -> list[int]:
        """Return the process ids, the first server's before those of its children."""
        with suppress(FileNotFoundError):
            first = int((self.data / "postmaster.pid").read_text().split()[0])
            children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
            return [first, *map(int, children)]
        return []

    def signal(self, number: int) -> None:
        """Send it to every process: the first one is held meanwhile, so that it makes no others."""
        first, *_ = self.processes()
        os.kill(first, signal.SIGSTOP)
        for pid in reversed(self.processes()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def ask(self, query: str) -> Any:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute(query.encode()).fetchone()
            return row[0] if row else None

    def wait_until(self, condition: str) -> None:
        """Wait until the server says that it is so."""
        for _ in range(200):
            if self.ask(f"SELECT {condition}"):
                return
            time.sleep(0.05)
        raise AssertionError(f"not so: {condition}")

    def set(self, name: str, value: str) -> None:
        """Change a setting of the server while it runs, and wait until it is changed."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        self.wait_until(f"current_setting('{name}') = '{value}'")

    def _make_folder(self) -> None:
        self.data.mkdir(mode=0o700)
        if self.user:
            os.chown(self.data, self.user.pw_uid, self.user.pw_gid)


@dataclass
class Pair:
    """The two, and the address that names both."""

    primary: Machine
    standby: Machine

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{machine.port}" for machine in (self.primary, self.standby))
        return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has."""
        written = self.primary.ask("SELECT pg_current_wal_lsn()")
        self.standby.wait_until(f"pg_last_wal_replay_lsn() >= '{written}'")

    def disconnect(self) -> None:
        """Let the standby receive nothing more, and wait until it does not."""
        self.standby.set("primary_conninfo", "")
        self.primary.wait_until("NOT EXISTS (SELECT FROM pg_stat_replication)")


@contextmanager
def replicated(folder: Path, *, synchronous: bool) -> Iterator[Pair]:
    """Run a primary and a standby that it waits for, or does not."""
    primary, standby = Machine(folder, "one"), Machine(folder, "two")
    try:
        primary.make()
        primary.start()
        standby.copy(primary)
        standby.start()
        if synchronous:
            primary.set("synchronous_standby_names", "two")
            primary.set("synchronous_commit", "remote_apply")
        yield Pair(primary, standby)
    finally:
        for machine in (primary, standby):
            if machine.processes():
                machine.signal(signal.SIGKILL)
            shutil.rmtree(machine.data, ignore_errors=True)
