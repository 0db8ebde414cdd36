"""Prints where a request's time goes: `make profile`."""

import asyncio
import tempfile
from pathlib import Path

import uvloop

from app.core.database.dsn import parse_database_url
from app.main import create_app
from app.operations.embedded_postgres.server import EmbeddedPostgres
from app.operations.migrations import upgrade
from tests.bench.data import access_token, make_tokens, refresh_requests, seed
from tests.bench.in_process import Ask, profile, sender
from tests.support.settings import SECRET, make_settings


async def measure(url: str) -> None:
    people = seed(url, 4)
    app = create_app(make_settings(url, rate_limits="on", log_level="INFO"))
    tokens = make_tokens(SECRET)
    few = people.few[0]
    token = access_token(tokens, few)
    spare = iter(refresh_requests(tokens, people.few, 600))
    asks = {
        "get one": Ask("GET", f"/api/tasks/{few.task_ids[0]}", token),
        "list of 20": Ask("GET", "/api/tasks", token),
        "create": Ask("POST", "/api/tasks", token, b'{"title": "Buy milk"}'),
    }
    async with app.router.lifespan_context(app):
        sends = {name: sender(app, ask) for name, ask in asks.items()}

        async def refresh() -> int:
            return await sender(app, Ask("POST", "/api/auth/refresh", body=next(spare).body.encode()))()

        for name, send in {**sends, "refresh": refresh}.items():
            cost = await profile(send, 500)
            print(f"\n{name}: {cost.calls:.0f} function calls")
            for package, share in cost.shares[:10]:
                print(f"  {share:6.1%}  {package}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="auth-tasks-profile-") as folder:
        Path(folder).chmod(0o711)
        postgres = EmbeddedPostgres(Path(folder) / "postgres", durable=False, echo=lambda text: None)
        try:
            url = postgres.start()
            upgrade(parse_database_url(url))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(measure(url))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
