"""PgBouncer in transaction mode before the database."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.server import free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PGBOUNCER is None, reason="there is no pgbouncer to test with: apt-get install pgbouncer"
)

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


@contextmanager
def pooled(folder: Path, postgres_url: str) -> Iterator[str]:
    """Yield the URL of the same server through PgBouncer."""
    assert PGBOUNCER
    there = conninfo_to_dict(postgres_url)
    port = free_port()
    (folder / "pgbouncer.ini").write_text(
        CONFIGURATION.format(
            folder=folder,
            listen_port=port,
            host=there["host"],
            port=there.get("port") or 5432,
            user=there.get("user") or "postgres",
        )
    )
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid}
    with subprocess.Popen([PGBOUNCER, "-q", str(folder / "pgbouncer.ini")], **who) as process:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        try:
            _wait(url)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def _wait(url: str) -> None:
    for _ in range(100):
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=1):
            return
    raise AssertionError("PgBouncer did not start")
