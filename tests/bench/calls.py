"""Prints how many function calls each request takes, as JSON: `python -m tests.bench.calls DATABASE_URL`."""

import asyncio
import json
import sys

from app.core.database.dsn import parse_database_url
from app.main import create_app
from app.operations.migrations import upgrade
from tests.bench.in_process import Ask, profile, sender
from tests.support.people import Person
from tests.support.server import client_of
from tests.support.settings import make_settings


async def count(url: str) -> dict[str, float]:
    """Return the function calls of each request, on a migrated database."""
    app = create_app(make_settings(url, rate_limits="on"))
    async with app.router.lifespan_context(app):
        async with client_of(app) as client:
            ada = await Person.sign_up(client)
            made = [await ada.add_task() for _ in range(20)]
        asks = {
            "get one": Ask("GET", f"/api/tasks/{made[0]['id']}", ada.access_token),
            "list of 20": Ask("GET", "/api/tasks", ada.access_token),
            "create": Ask("POST", "/api/tasks", ada.access_token, b'{"title": "Buy milk"}'),
            "me": Ask("GET", "/api/auth/me", ada.access_token),
        }
        return {name: (await profile(sender(app, ask), 50)).calls for name, ask in asks.items()}


if __name__ == "__main__":
    upgrade(parse_database_url(sys.argv[1]))
    json.dump(asyncio.run(count(sys.argv[1])), sys.stdout)
