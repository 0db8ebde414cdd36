"""The service: in this process, or in one of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from secrets import randbits
from typing import Any, Protocol

import httpx
from fastapi import FastAPI

from app.core.clock import Clock, system_clock
from app.core.config import Settings
from app.main import create_app
from tests.support.checks import check_every_response
from tests.support.settings import SECRET, environment_of


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock = system_clock) -> AsyncIterator[httpx.AsyncClient]:
    """Start the service in this process and yield a client of it."""
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def client_of(app: FastAPI, address: str = "203.0.113.7", **options: Any) -> httpx.AsyncClient:
    """Return a client that calls the application from this address, and checks every response."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
    hooks = {"response": [check_every_response]}
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", event_hooks=hooks, **options)


def elsewhere(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client of the same application from an address of its own, for which nothing was counted yet."""
    return client_of(app_of(client), address=str(IPv6Address(0x20010DB8 << 96 | randbits(64) << 32)))


def app_of(client: httpx.AsyncClient) -> FastAPI:
    """Return the application behind a client of `running` or `client_of`, for a test that looks inside."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport), "the service runs in another process"
    assert isinstance(transport.app, FastAPI)
    return transport.app


class Service(Protocol):
    """Starts the service with other settings, as `async with service(…) as client`."""

    def __call__(self, *, clock: Clock = ..., **overrides: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


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
                if httpx.get(self.url + path, timeout=10).status_code == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{path} did not answer {status}:\n{self.log.read_text()}")

    def workers(self) -> list[int]:
        """Return the process ids of the workers, of which there are several."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        # Forked ones have the words of the process itself; others of its children look after semaphores.
        return [int(pid) for pid in children if "_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]

    def kill(self) -> None:
        """End every process of the server at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def serving(directory: Path, *options: str, wait: bool = True, first: str = "", **environment: str) -> Iterator[Server]:
    """Run `python -m app serve` with these settings until the block ends; `first` is Python to run before it."""
    port = int(environment.get("PORT") or free_port())
    log = directory / f"server-{port}.log"
    settings = {
        "ENVIRONMENT": "test",
        "BETTER_AUTH_SECRET": SECRET,
        "PASSWORD_HASH_COST": "4",
        "RATE_LIMITS": "off",
        "REFRESH_REUSE_LEEWAY_SECONDS": "0",
        "LOG_FORMAT": "json",
        "DATABASE_POOLER": os.environ.get("DATABASE_POOLER", ""),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **environment,
    }
    command = ["serve", *options]
    runner = f"import runpy, sys\n{first}\nsys.argv[1:] = {command}\nrunpy.run_module('app', run_name='__main__')"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *(["-c", runner] if first else ["-m", "app", *command])],
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
