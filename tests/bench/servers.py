"""The three servers, and what their processes cost."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.server import free_port, serving
from tests.support.settings import ROOT

MANY = "100000000/minute"


@dataclass
class Target:
    """A running server."""

    name: str
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the user and system time of the server's processes so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in self.processes()) / ticks

    def memory_mb(self) -> list[int]:
        """Return the memory of each process, of which it counts what it shares by its part."""
        return [
            sum(int(line.split()[1]) for line in _rollup(pid) if line.startswith("Pss:")) // 1024
            for pid in self.processes()
        ]

    def processes(self) -> list[int]:
        """Return the process and its descendants."""
        parents = {int(path.name): int(_stat(int(path.name))[1]) for path in Path("/proc").iterdir() if _lives(path)}
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found


def _rollup(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()


def _lives(path: Path) -> bool:
    return path.name.isdigit() and (path / "stat").exists()


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50


@contextmanager
def three_servers(folder: Path, database_url: str, *, secret: str, workers: int) -> Iterator[list[Target]]:
    """Run this service with everything on, the usual way, and the limit."""
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": secret, "PASSWORD_HASH_COST": "12"}
    limits = {f"RATE_LIMIT_{name}": MANY for name in ("SIGNIN_ACCOUNT", "SIGNIN_ADDRESS", "REFRESH_SESSION")}
    ours = {
        **environment,
        **limits,
        "RATE_LIMITS": "on",
        "ENVIRONMENT": "staging",
        "WORKERS": str(workers),
        "MAX_CONNECTIONS": "2000",
    }
    with ExitStack() as stack:
        server = stack.enter_context(serving(folder, wait=True, **ours))
        others = [stack.enter_context(_uvicorn(folder, name, workers, environment)) for name in ("usual", "limit")]
        yield [Target("this service", server.url, server.process.pid), *others]


@contextmanager
def _uvicorn(folder: Path, name: str, workers: int, environment: dict[str, str]) -> Iterator[Target]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"tests.bench.{name}:app", "--port", str(port)]
    command += ["--workers", str(workers), *(["--no-access-log"] if name == "limit" else [])]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/")
        yield Target(name, f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} does not answer")


FIGURES = re.compile(r"^figures (\d+) (\d+) ([\d.]+) (\d+) (\d+)$", re.MULTILINE)


@dataclass
class Window:
    """What one run of wrk measured. Times are milliseconds."""

    requests: int
    errors: int
    seconds: float
    p50: float
    p99: float
    cpu_seconds: float
    database_cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_per_thousand(self) -> float:
        return self.cpu_seconds / max(self.requests, 1) * 1000

    @property
    def database_cpu_per_thousand(self) -> float:
        return self.database_cpu_seconds / max(self.requests, 1) * 1000


def load(target: Target, database: Target, requests: Path, *, connections: int, seconds: int) -> Window:
    """Send the requests of a file, over and over, from another process. Raises: CalledProcessError."""
    threads = min(2, connections)
    before, database_before = target.cpu_seconds(), database.cpu_seconds()
    command = [
        "wrk",
        f"-t{threads}",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(ROOT / "tests/bench/load.lua"),
    ]
    done = subprocess.run(
        [*command, target.url, "--", str(requests), str(threads)],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    found = FIGURES.search(done.stdout)
    assert found, done.stdout + done.stderr
    count, errors, duration, p50, p99 = found.groups()
    return Window(
        requests=int(count),
        errors=int(errors),
        seconds=float(duration),
        p50=int(p50) / 1000,
        p99=int(p99) / 1000,
        cpu_seconds=target.cpu_seconds() - before,
        database_cpu_seconds=database.cpu_seconds() - database_before,
    )
