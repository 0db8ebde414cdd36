"""A list of 100,000 tasks is streamed: the server's memory does not grow with it."""

import re
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

TASKS = 100_000
ROOM_MB = 25


def peak_mb(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def read_slowly(url: str, token: str) -> tuple[int, int]:
    """Return how many bytes and tasks there were."""
    size = tasks = 0
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        for number, chunk in enumerate(answer.iter_bytes()):
            size, tasks = size + len(chunk), tasks + chunk.count(b'"title":')
            if number % 100 == 0:
                time.sleep(0.02)  # the server writes faster than this reads
    return size, tasks


@pytest.mark.parametrize(("contract", "path"), [("", ""), ("path", "/{id}"), ("path-enveloped", "/{id}")])
def test_a_long_list_does_not_grow_the_server(own_database_url: str, tmp_path: Path, contract: str, path: str) -> None:
    """A client may read a list of 20 to 30 MB as slowly as it likes: it takes no memory of the server."""
    with serving(tmp_path, DATABASE_URL=own_database_url, LOG_LEVEL="WARNING", API_CONTRACTS=contract) as server:
        account = {"email": new_email(), "password": PASSWORD}
        signed_up = httpx.post(f"{server.url}/api/auth/signup", json=account).json()
        token, url = signed_up["access_token"], f"{server.url}/api{path.format(**signed_up['user'])}/tasks"
        fill = (
            "INSERT INTO tasks (id, user_id, title, description) SELECT gen_random_uuid(), id, 'Task ' || n, 'First' "
            "FROM users, generate_series(1, %s) AS n"
        )
        with psycopg.connect(own_database_url, autocommit=True) as connection:
            connection.execute(fill, (1000,))
            read_slowly(url, token)
            before = peak_mb(server)
            connection.execute(fill, (TASKS - 1000,))
        for _ in range(3):
            size, tasks = read_slowly(url, token)
            assert size > 15_000_000
            assert tasks == pytest.approx(TASKS, abs=100)  # a chunk may end inside of a name
        grown = peak_mb(server) - before
    print(f"{path} a list of {TASKS:,} tasks, {size / 1e6:.0f} MB: the peak of {before:.0f} MB grew by {grown:.1f} MB")
    assert grown < ROOM_MB
