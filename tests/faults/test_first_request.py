"""The first request after a start is served like the others."""

from pathlib import Path
from statistics import median

import httpx
import pytest

from app.core.clock import stopwatch
from tests.support.people import Person
from tests.support.server import running, serving
from tests.support.settings import make_settings

pytestmark = pytest.mark.slow


async def test_the_first_request_after_a_start_is_not_ten_times_slower(database_url: str, tmp_path: Path) -> None:
    """Nobody pays for a restart: connections are made and code is loaded before the first request."""
    async with running(make_settings(database_url)) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task()
    ratios = []
    for _ in range(5):
        with serving(tmp_path, DATABASE_URL=database_url, LOG_LEVEL="WARNING") as server:
            async with httpx.AsyncClient(base_url=server.url) as client:
                await client.get("/health/live")  # the client's own connection
                waits = []
                for _ in range(200):
                    began = stopwatch()
                    answer = await client.get(f"/api/tasks/{task['id']}", headers=ada.bearer)
                    waits.append(stopwatch() - began)
                    assert answer.status_code == 200
        ratios.append(waits[0] / median(waits))
    print(f"first request after a start: {', '.join(f'{ratio:.1f}' for ratio in ratios)} times the median")
    assert median(ratios) < 10
