"""Three PostgreSQL servers that Patroni manages, and the etcd that holds its lease, where both are installed."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.operations.embedded_postgres.paths import reachable_binaries, server_user
from tests.machines.standby import Machine
from tests.support.server import free_port

TTL_SECONDS = 20  # the least that Patroni takes
SETTINGS = {
    "ttl": TTL_SECONDS,
    "loop_wait": 1,
    "retry_timeout": 3,
    "synchronous_mode": True,
    "failsafe_mode": True,
    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 60, "synchronous_commit": "on"}},
}


def _who() -> dict[str, Any]:
    user = server_user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


needs_patroni = pytest.mark.skipif(
    not (shutil.which("etcd") and shutil.which("patroni")),
    reason="there is no Patroni or no etcd: pip has patroni[etcd3,psycopg3], Debian etcd-server",
)


def _skip_unless_it_can_be_run() -> None:
    try:
        command = [str(shutil.which("patroni")), "--version"]
        subprocess.run(command, check=True, capture_output=True, timeout=20, cwd="/", **_who())
    except (OSError, subprocess.SubprocessError):
        pytest.skip("PostgreSQL's user cannot run this Patroni: install it where `nobody` can read")


@dataclass
class Managed(Machine):
    """One server and its manager."""

    etcd_port: int = 0
    rest_port: int = field(default_factory=free_port)
    manager: "subprocess.Popen[bytes] | None" = None

    def manage(self) -> None:
        """Start the manager, which makes the server, or lets it follow the primary that there is."""
        self.home.mkdir(exist_ok=True)
        if self.user:
            os.chown(self.home, self.user.pw_uid, self.user.pw_gid)
        config = self.home.parent / f"{self.name}.json"
        config.write_text(json.dumps(self._config()))
        with (self.home.parent / f"{self.name}.said").open("ab") as said:
            self.manager = subprocess.Popen(
                [str(shutil.which("patroni")), str(config)],
                stdout=said,
                stderr=said,
                cwd="/",
                env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
                start_new_session=True,
                **_who(),
            )

    @property
    def home(self) -> Path:
        return self.folder / self.name

    @property
    def data(self) -> Path:
        return self.home / "data"

    def kill_manager(self) -> None:
        assert self.manager
        self.manager.kill()
        self.manager.wait(10)

    def kill_all(self) -> None:
        """End the manager and the server at once, as a machine that loses its power."""
        if self.manager and self.manager.poll() is None:
            self.kill_manager()
        if self.processes():
            with suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)

    def ask_manager(self, path: str) -> int:
        """Return the status with which the manager answers; 200 to `/primary` and `/replica` says that it is one."""
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.rest_port}{path}", timeout=5).status_code
        return 0

    def _config(self) -> dict[str, Any]:
        here = f"127.0.0.1:{self.port}"
        rest = f"127.0.0.1:{self.rest_port}"
        return {
            "scope": "tasks",
            "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"hosts": f"127.0.0.1:{self.etcd_port}"},
            "bootstrap": {"dcs": SETTINGS, "initdb": [{"encoding": "UTF8"}, "no-locale", "no-sync"]},
            "postgresql": {
                "listen": here,
                "connect_address": here,
                "data_dir": str(self.data),
                "bin_dir": str(reachable_binaries(self.user)),
                "pgpass": str(self.home / "pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres"},
                    "replication": {"username": "postgres"},
                },
                "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
                "parameters": {"unix_socket_directories": "", "timezone": "UTC"},
            },
            "watchdog": {"mode": "off"},
        }


@dataclass
class Managers:
    """The three servers, and the address that names all."""

    machines: list[Managed]

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{','.join(f'127.0.0.1:{m.port}' for m in self.machines)}/postgres"

    def primary(self) -> Managed:
        """Wait for the one that holds the lease."""
        found: list[Managed] = []

        def is_there() -> bool:
            found[:] = [machine for machine in self.machines if machine.ask_manager("/primary") == 200]
            return len(found) == 1

        wait_for("a primary", is_there)
        return found[0]

    def wait_until_whole(self) -> Managed:
        """Wait until two standbys follow, and one is waited for; return the primary."""
        primary = self.primary()
        wait_for(
            "two standbys",
            lambda: sorted(machine.ask_manager("/replica") for machine in self.machines) == [200, 200, 503],
        )
        wait_for("a synchronous standby", lambda: any(m.ask_manager("/synchronous") == 200 for m in self.machines))
        return primary

    def switch_over(self) -> None:
        """Let another be the primary."""
        primary = self.primary()
        answer = httpx.post(
            f"http://127.0.0.1:{primary.rest_port}/switchover", json={"leader": primary.name}, timeout=60
        )
        assert answer.status_code == 200, answer.text


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in {seconds} s"
        time.sleep(0.2)


@contextmanager
def managed(folder: Path) -> Iterator[Managers]:
    """Run the three and their etcd until the block ends."""
    _skip_unless_it_can_be_run()
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    (folder / "etcd").mkdir(mode=0o700)
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", clients]
    command += ["--advertise-client-urls", clients, "--listen-peer-urls", peers]
    command += ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
    with (folder / "etcd.said").open("wb") as said:
        etcd = subprocess.Popen(command, stdout=said, stderr=said)
    port = int(clients.rpartition(":")[2])
    three = Managers([Managed(folder, name, etcd_port=port) for name in ("one", "two", "three")])
    try:
        for machine in three.machines:
            machine.manage()
        three.wait_until_whole()
        yield three
    finally:
        for machine in three.machines:
            machine.kill_all()
            shutil.rmtree(machine.home, ignore_errors=True)
        etcd.kill()
        etcd.wait(10)
