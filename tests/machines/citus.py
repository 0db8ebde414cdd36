"""A Citus cluster on this machine: a coordinator and workers, where a PostgreSQL with the extension is installed.

python -m tests.machines.citus [folder]     # keeps one running and prints its TEST_DATABASE_URL
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.server import free_port


def _binaries() -> Path | None:
    """Find the named PostgreSQL, or the newest that has the extension."""
    if named := os.environ.get("TEST_CITUS_BINARIES"):
        return Path(named)
    for share in sorted(Path("/usr/share/postgresql").glob("*/extension/citus.control"), reverse=True):
        found = Path("/usr/lib/postgresql") / share.parts[-3] / "bin"
        if (found / "postgres").exists():
            return found
    return None


BINARIES = _binaries()
needs_citus = pytest.mark.skipif(
    BINARIES is None,
    reason="there is no PostgreSQL with Citus to test with: it is in no package registry, build it from its source "
    "and name the folder of its programs in TEST_CITUS_BINARIES",
)
SETTINGS = {
    "shared_preload_libraries": "citus",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "max_prepared_transactions": "300",
    "wal_level": "logical",  # a rebalance moves shards by it
    "fsync": "off",
    "citus.max_cached_conns_per_worker": "1",
    "citus.node_connection_timeout": "2s",
    "citus.node_conninfo": "sslmode=disable",
    "citus.show_shards_for_app_name_prefixes": "psql",
}


class Node:
    """One PostgreSQL of the cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._who: dict[str, Any] = {"env": {**os.environ, "HOME": str(folder)}}  # libpq looks for certificates there
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._who |= {"user": nobody.pw_uid, "group": nobody.pw_gid}

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Initialise it, start it, and let every new database have the extension."""
        self.make_folder(self.folder)
        self.run("initdb", "-D", self.folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.start()
        for database in ("template1", "postgres"):
            with psycopg.connect(self.url(database), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION citus")

    def make_folder(self, folder: Path) -> None:
        """Make a folder that its user can write to."""
        folder.mkdir()
        if "user" in self._who:
            os.chown(folder, self._who["user"], self._who["group"])

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's programs as its user."""
        assert BINARIES
        subprocess.run([BINARIES / program, *arguments], check=True, capture_output=True, **self._who)

    def start(self) -> None:
        assert BINARIES
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(BINARIES / "postgres"), "-D", str(self.folder), "-p", str(self.port), *options]
        log = (self.folder.parent / f"{self.folder.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, **self._who)
        for _ in range(300):
            with suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder.parent / f"{self.folder.name}.log").read_text()[-2000:])

    def processes(self) -> list[int]:
        """Return its process ids, the first one first."""
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def signal(self, number: signal.Signals) -> None:
        """Send it to all of its processes: SIGKILL is a power cut, SIGSTOP a machine that hangs."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        assert self.process
        self.signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)


class Cluster:
    """A coordinator and its workers."""

    def __init__(self, folder: Path, *, workers: int = 2) -> None:
        self.folder = folder
        self.coordinator = Node(folder / "coordinator")
        self.workers = [Node(folder / f"worker-{number}") for number in range(workers)]

    @property
    def nodes(self) -> list[Node]:
        return [self.coordinator, *self.workers]

    def add_worker(self) -> Node:
        """Make another worker, which no database knows yet."""
        node = Node(self.folder / f"worker-{len(self.workers)}")
        node.make()
        self.workers.append(node)
        return node


@contextmanager
def cluster(folder: Path, *, workers: int = 2) -> Iterator[Cluster]:
    """Run a cluster until the block ends."""
    made = Cluster(folder, workers=workers)
    try:
        for node in made.nodes:
            node.make()
        with psycopg.connect(made.coordinator.url(), autocommit=True) as connection:
            connection.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", (made.coordinator.port,))
            for node in made.workers:
                connection.execute("SELECT citus_add_node('127.0.0.1', %s)", (node.port,))
        yield made
    finally:
        for node in made.nodes:
            node.stop()


def nodes_of(connection: psycopg.Connection) -> list[tuple[str, int]]:
    """Return the nodes that a database knows, the coordinator first; none if it has not the extension."""
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone() is None:
        return []
    found = connection.execute("SELECT nodename, nodeport FROM pg_dist_node ORDER BY groupid").fetchall()
    return [(name, port) for name, port in found]


def on_every_node(postgres_url: str, statement: sql.Composed) -> list[tuple[str, int]]:
    """Run a statement on each node that the given database knows, or on its one server."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET citus.enable_create_database_propagation = off")
        nodes = nodes_of(connection)
        connection.execute(statement)
    for host, port in nodes[1:]:
        with psycopg.connect(postgres_url, host=host, port=port, autocommit=True) as worker:
            worker.execute("SET citus.enable_ddl_propagation = off")
            worker.execute(statement)
    return nodes


def join_nodes(url: str, nodes: list[tuple[str, int]]) -> None:
    """Let a new database know the nodes."""
    if nodes:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT citus_set_coordinator_host(%s, %s)", nodes[0])
            for node in nodes[1:]:
                connection.execute("SELECT citus_add_node(%s, %s)", node)


if __name__ == "__main__":
    home = Path(sys.argv[1] if len(sys.argv) > 1 else "/tmp/citus-cluster")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o711)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with cluster(home) as running_cluster:
        print(running_cluster.coordinator.url(), *(node.port for node in running_cluster.nodes), flush=True)
        signal.pause()
