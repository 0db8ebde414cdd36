"""The lines of docs/deploying.md for containers, run where `docker compose exec` is a shell."""

import os
import re
import shutil
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from app.operations.embedded_postgres.paths import reachable_binaries
from tests.support.people import PASSWORD, new_email
from tests.support.recipes import run
from tests.support.server import serving
from tests.support.settings import ROOT, SECRET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("pg_dump") is None, reason="there are no client programs of PostgreSQL"),
]

DOCKER = """#!/bin/sh
[ "$1 $2 $3" = "compose exec -T" ] || exit 2
case $4 in
  db) shift 4; program=$1; shift
    exec {bin}/$program {connection} $(echo "$@" | sed 's/-U tasks//; s/-d tasks//; s/ tasks$//') ;;
  api) shift 5; cd {root} && exec {python} "$@" ;;
esac
"""


def test_a_backup_and_a_restore_beside_containers(own_database_url: str, tmp_path: Path) -> None:
    """Who follows the lines gets everything back as it was, and everybody signs in again."""
    page = (ROOT / "docs" / "deploying.md").read_text()
    [lines] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "pg_dump" in block]
    docker = tmp_path / "docker"
    connection = f"-d {own_database_url}"
    python = sys.executable
    docker.write_text(DOCKER.format(bin=reachable_binaries(None), connection=connection, root=ROOT, python=python))
    docker.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "DATABASE_URL": own_database_url,
        "BETTER_AUTH_SECRET": SECRET,
    }
    with serving(tmp_path, DATABASE_URL=own_database_url) as server:
        account = {"email": new_email(), "password": PASSWORD}
        pair = httpx.post(f"{server.url}/api/auth/signup", json=account, timeout=60).json()
        bearer = {"Authorization": f"Bearer {pair['access_token']}"}
        httpx.post(f"{server.url}/api/tasks", json={"title": "kept"}, headers=bearer)
        dumping, *restoring = lines.splitlines()
        run(dumping, tmp_path, **environment)
        httpx.post(f"{server.url}/api/tasks", json={"title": "later"}, headers=bearer)
        for line in restoring:
            run(line, tmp_path, **environment)
        assert httpx.get(f"{server.url}/api/tasks", headers=bearer).status_code == 401
    with psycopg.connect(own_database_url) as opened:
        assert opened.execute("SELECT title FROM tasks").fetchall() == [("kept",)]
