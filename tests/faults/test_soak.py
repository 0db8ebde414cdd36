"""Some minutes of everything."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.bench.servers import Target
from tests.faults.load import Acknowledged, check, writing
from tests.faults.test_stop import sessions
from tests.support.rounds import rounds
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

MINUTES = rounds(3, least=2)


def open_files(target: Target) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in target.processes())


def denied(url: str, condition: str = "true") -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(f"SELECT count(*) FROM token_denylist WHERE {condition}".encode()).fetchone()
        assert found is not None
        return int(found[0])


async def test_nothing_grows_but_the_data(own_database_url: str, tmp_path: Path) -> None:
    """A server runs for long without growing, and its denylist shrinks to what can still be used."""
    known = Acknowledged()
    settings = {"WORKERS": "2", "ACCESS_TOKEN_EXPIRE_MINUTES": "0.1", "RATE_LIMITS": "on", "LOG_LEVEL": "WARNING"}
    limits = {f"RATE_LIMIT_{name}": "1000000/minute" for name in ("REFRESH_SESSION", "SIGNIN_ADDRESS")}
    with serving(tmp_path, wait=True, DATABASE_URL=own_database_url, **settings, **limits) as server:
        target = Target("service", server.url, server.process.pid)
        figures = []
        async with writing(server.url, known, people=4):
            for _ in range(MINUTES):
                await asyncio.sleep(60)
                figures.append((sum(target.memory_mb()), open_files(target), sessions(own_database_url)))
            with psycopg.connect(own_database_url) as connection:  # as if eight days had passed for the first ones
                connection.execute(
                    "UPDATE token_denylist SET expires_at = now() - interval '1 second' "
                    "WHERE id IN (SELECT id FROM token_denylist ORDER BY denied_at LIMIT 2000)"
                )
            before, used_before = denied(own_database_url), len(known.used_tokens)
            for _ in range(60):
                await asyncio.sleep(1)
                if not denied(own_database_url, "expires_at <= now()"):
                    break
            expired = denied(own_database_url, "expires_at <= now()")
        rotations = len(known.used_tokens) - used_before
        print(
            f"MB, files and sessions after each minute: {figures}; {before} denied tokens, 2000 of them expired: "
            f"{expired} of those left after {rotations} rotations"
        )
        first, last = figures[0], figures[-1]
        assert last[0] <= first[0] * 1.1
        assert last[1] <= first[1] + 5
        assert last[2] <= 20
        assert expired == 0
        known.used_tokens = known.used_tokens[-200:]
        await check(own_database_url, server.url, known)
