"""What Prometheus reads about this process and, behind `python -m app serve`, about the other workers."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

BUCKETS_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SAMPLE_SECONDS = 1

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts in this process. Labels are templates and constants: never a raw path, an e-mail or a token."""

    def __init__(self, events: tuple[str, ...]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
        self.durations = Histogram(
            "http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self.events = Counter("auth_events", "What happened to sessions.", ["event"], registry=registry)
        for event in events:
            self.events.labels(event)  # from 0, so that the first one is an increase
        self.denylist_rows = Gauge(
            "auth_denylist_rows", "Rows of the denylist.", multiprocess_mode="mostrecent", registry=registry
        )
        self.connections = Gauge(
            "database_connections",
            "Connections of the pools, and requests that wait for one.",
            ["state"],
            multiprocess_mode="livesum",
            registry=registry,
        )

    def count_request(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one answer; status 0 is a client that left."""
        method = method if method in _METHODS else "other"
        route = route or "none"
        self.requests.labels(method, route, status).inc()
        self.durations.labels(method, route).observe(seconds)

    def count_event(self, event: str) -> None:
        """Count something that happened to a session."""
        self.events.labels(event).inc()

    async def watch(self, pool: Any) -> NoReturn:
        """Look at the pool once a second: a scrape reaches one worker, but reports on all of them."""
        while True:
            self.look_at(pool)
            await asyncio.sleep(SAMPLE_SECONDS)

    def look_at(self, pool: Any) -> None:
        """Note how many of a psycopg_pool's connections are in use."""
        stats = pool.get_stats()
        size, available = stats.get("pool_size", 0), stats.get("pool_available", 0)
        self.connections.labels("in_use").set(size - available)
        self.connections.labels("idle").set(available)
        self.connections.labels("waited_for").set(stats.get("requests_waiting", 0))

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format, added up over the workers if there are several."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not folder:
            return generate_latest(self.registry)
        _forget_gauges_of_the_dead(Path(folder))
        everything = CollectorRegistry()
        MultiProcessCollector(everything, folder)  # type: ignore[no-untyped-call]  # it has no types yet
        return generate_latest(everything)


def _forget_gauges_of_the_dead(folder: Path) -> None:
    """Remove the gauges of killed workers, which use no connections; what they counted stays counted."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        with suppress(PermissionError):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # it has no types yet
