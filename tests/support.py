"""What the tests are written with: people who use the API, a clock that can be set, a server in its own process."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI

from app.core.clock import Clock, system_clock
from app.core.config import Settings
from app.main import create_app

ROOT = Path(__file__).resolve().parents[1]
SECRET = "Zk3w-9Qp_L7tVx2mYb8nRc5dHf1gJ4sA6uE0iO"
PASSWORD = "correct horse battery 4"
DOCUMENTED_STATUSES = {200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 503}
TOKEN = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{40,}")
LEAKS = re.compile(r'Traceback|\.py"|psycopg|sqlalchemy|\$2b\$|bcrypt|SELECT |INSERT |UPDATE ', re.IGNORECASE)


def make_settings(database_url: str, **overrides: Any) -> Settings:
    """Give settings for a test: nothing is read from a .env, hashing is cheap, limits are off."""
    values: dict[str, Any] = {
        "environment": "test",
        "database_url": database_url,
        "better_auth_secret": SECRET,
        "password_hash_cost": 4,
        "rate_limits": "off",
        "migrate_on_start": "off",
        "log_level": "DEBUG",
        "log_format": "json",
        **overrides,
    }
    return Settings(_env_file=None, **values)


class FrozenClock:
    """A clock that stands still until it is moved."""

    def __init__(self, moment: datetime | None = None) -> None:
        self.moment = moment or datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)


async def check_every_response(response: httpx.Response) -> None:
    """Hold for every answer of every test: the global properties of the API."""
    await response.aread()
    assert PASSWORD not in response.text
    assert SECRET not in response.text
    assert response.status_code in DOCUMENTED_STATUSES, (response.status_code, response.text)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    assert "Origin" in response.headers["vary"]
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    if response.status_code == 405:
        assert response.headers["allow"]
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    if response.status_code == 204:
        assert response.content == b""
    if response.status_code >= 400:
        _check_refusal(response)


def _check_refusal(response: httpx.Response) -> None:
    if response.request.method == "HEAD":
        return
    body = response.json()
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert body["status"] == response.status_code
    assert body["code"].isupper()
    assert body["request_id"] == response.headers["x-request-id"]
    assert not LEAKS.search(response.text), response.text


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock = system_clock) -> AsyncIterator[httpx.AsyncClient]:
    """Start the service in this process and give a client of it."""
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def client_of(app: FastAPI, address: str = "203.0.113.7", **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
    hooks = {"response": [check_every_response]}
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", event_hooks=hooks, **options)


@dataclass
class Person:
    """Somebody with an account, a client, and the tokens of one sign-in."""

    client: httpx.AsyncClient
    email: str
    password: str = PASSWORD
    user: dict[str, Any] = field(default_factory=dict)
    access_token: str = ""
    refresh_token: str = ""

    @classmethod
    async def sign_up(cls, client: httpx.AsyncClient, **body: Any) -> "Person":
        person = cls(client, body.pop("email", new_email()), body.pop("password", PASSWORD))
        answer = await client.post(
            "/api/auth/signup", json={"email": person.email, "password": person.password, **body}
        )
        assert answer.status_code == 201, answer.text
        return person.keep(answer)

    async def sign_in(self) -> "Person":
        """Sign in once more, as on another device."""
        answer = await self.client.post("/api/auth/signin", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        return Person(self.client, self.email, self.password).keep(answer)

    def keep(self, answer: httpx.Response) -> "Person":
        body = answer.json()
        self.user = body.get("user", self.user)
        self.access_token, self.refresh_token = body["access_token"], body["refresh_token"]
        return self

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}

    async def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = {**self.bearer, **options.pop("headers", {})}
        return await self.client.request(method, url, headers=headers, **options)

    async def get(self, url: str, **options: Any) -> httpx.Response:
        return await self.send("GET", url, **options)

    async def add_task(self, title: str = "Water the plants", **body: Any) -> dict[str, Any]:
        answer = await self.send("POST", "/api/tasks", json={"title": title, **body})
        assert answer.status_code == 201, answer.text
        task: dict[str, Any] = answer.json()
        return task

    async def refresh(self, token: str | None = None) -> httpx.Response:
        return await self.client.post("/api/auth/refresh", json={"refresh_token": token or self.refresh_token})


def new_email() -> str:
    return f"{uuid4().hex}@example.test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """The real service in its own process group."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def wait_until(self, path: str = "/health/ready", status: int = 200, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(self.url + path, timeout=2).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer {status}:\n{self.log.read_text()}")

    def workers(self) -> list[int]:
        """Give the process ids of the workers, of which there are several."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]

    def kill(self) -> None:
        """End every process of the server at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def environment_of(**settings: str) -> dict[str, str]:
    """Give a process of the service these settings, and none of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in Settings.environment_names()}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


@contextmanager
def serving(directory: Path, *, wait: bool = True, first: str = "", **environment: str) -> Iterator[Server]:
    """Run `python -m app serve` with these settings until the block ends; `first` is Python to run before it."""
    port = free_port()
    log = directory / f"server-{port}.log"
    settings = {
        "ENVIRONMENT": "test",
        "BETTER_AUTH_SECRET": SECRET,
        "PASSWORD_HASH_COST": "4",
        "RATE_LIMITS": "off",
        "LOG_FORMAT": "json",
        "DATABASE_POOLER": os.environ.get("DATABASE_POOLER", ""),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **environment,
    }
    serve = f"import runpy, sys\n{first}\nsys.argv[1:] = ['serve']\nrunpy.run_module('app', run_name='__main__')"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *(["-c", serve] if first else ["-m", "app", "serve"])],
            cwd=directory,
            env=environment_of(**settings),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        if wait:
            server.wait_until()
        yield server
    finally:
        if process.poll() is None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.kill()
