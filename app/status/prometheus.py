"""What Prometheus reads about this process and, behind `python -m app serve`, about the other workers."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.applications import Starlette

from app import __version__
from app.core.logging import RequestRecord

BUCKETS_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SAMPLE_SECONDS = 1
HINT_OUTCOMES = ("sent", "failed", "heard", "unheard")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counts in this process. Labels are templates and constants: never a raw path, an e-mail or a token."""

    def __init__(self, events: tuple[str, ...], *, sends_mail: bool = False) -> None:
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
        if sends_mail:
            self.mails = Counter("mails", "Mails, by what has become of them.", ["outcome"], registry=registry)
            for outcome in ("sent", "delayed", "failed"):
                self.mails.labels(outcome)
        self.denylist_rows = Gauge(
            "auth_denylist_rows", "Rows of the denylist.", multiprocess_mode="mostrecent", registry=registry
        )
        self.errors = Counter("http_errors", "Errors answered, by their code.", ["code"], registry=registry)
        self.refused = Counter(
            "http_refused", "Connections and requests that were refused unread.", ["code"], registry=registry
        )
        self.hashes = Histogram(
            "hash_seconds", "How long a password took to hash.", buckets=BUCKETS_SECONDS, registry=registry
        )
        self.hashes_waiting = Gauge(
            "hash_queue_waiting", "Passwords that wait to be hashed.", multiprocess_mode="livesum", registry=registry
        )
        self.database_up = Gauge(
            "database_up",
            "Whether the database answered this scrape.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        Gauge(
            "build_info", "1, of the release that runs.", ["version"], multiprocess_mode="livemax", registry=registry
        ).labels(__version__).set(1)
        self.process = ProcessFigures(registry)
        self.streams = Gauge(
            "live_streams", "Streams of changes that are open.", multiprocess_mode="livesum", registry=registry
        )
        self.hints = Counter("live_hints", "Hints to streams, by what became of them.", ["outcome"], registry=registry)
        for outcome in HINT_OUTCOMES:
            self.hints.labels(outcome)
        self.connections = Gauge(
            "database_connections",
            "Connections of the pools, and requests that wait for one.",
            ["state"],
            multiprocess_mode="livesum",
            registry=registry,
        )

    def count_request(self, method: str, route: str | None, status: int, seconds: float, record: RequestRecord) -> None:
        """Count one answer; status 0 is a client that left."""
        method = method if method in _METHODS else "other"
        route = route or "none"
        self.requests.labels(method, route, status).inc()
        self.durations.labels(method, route).observe(seconds)
        if record.code:
            self.errors.labels(record.code).inc()
        if record.hashing:
            self.hashes.observe(record.hashing)

    def count_refused(self, code: str) -> None:
        """Count what never became a request."""
        self.refused.labels(code).inc()

    def count_event(self, event: str) -> None:
        """Count something that happened to a session."""
        self.events.labels(event).inc()

    def count_hint(self, outcome: str) -> None:
        """Count a hint to streams by what became of it."""
        self.hints.labels(outcome).inc()

    def count_mail(self, outcome: str) -> None:
        """Count what has become of a mail."""
        self.mails.labels("sent" if outcome == "withheld" else outcome).inc()

    async def watch(self, app: Starlette) -> NoReturn:
        """Look once a second: a scrape reaches one worker, but reports on all of them."""
        while True:
            self.look_at(app)
            await asyncio.sleep(SAMPLE_SECONDS)

    def look_at(self, app: Starlette) -> None:
        """Note what is in use, what waits and what the process takes."""
        state = app.state
        self.hashes_waiting.set(state.auth.passwords.waiting)
        self.streams.set(state.live.streams if state.live else 0)
        self.process.look()
        stats = state.database.pool.get_stats()
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


class ProcessFigures:
    """What prometheus_client tells of one process, of all workers: its own collector tells only of the one scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._collector = ProcessCollector(registry=None)
        self._gauges = {
            gauge._name: gauge
            for gauge in (
                Gauge(
                    "process_resident_memory_bytes",
                    "Memory of all workers.",
                    multiprocess_mode="livesum",
                    registry=registry,
                ),
                Gauge(
                    "process_open_fds",
                    "Descriptors of the worker that has most.",
                    multiprocess_mode="livemax",
                    registry=registry,
                ),
                Gauge(
                    "process_max_fds",
                    "Descriptors that each worker may open.",
                    multiprocess_mode="livemin",
                    registry=registry,
                ),
                Gauge(
                    "process_start_time_seconds",
                    "When the newest worker began, since 1970.",
                    multiprocess_mode="livemax",
                    registry=registry,
                ),
            )
        }
        self._cpu = Counter("process_cpu_seconds", "Time of processors, of all workers.", registry=registry)
        self._cpu_before = 0.0

    def look(self) -> None:
        """Note the figures of this process; there are none where there is no /proc."""
        found = {sample.name: sample.value for family in self._collector.collect() for sample in family.samples}
        for name in self._gauges.keys() & found.keys():
            self._gauges[name].set(found[name])
        cpu = found.get("process_cpu_seconds_total", 0.0)
        self._cpu.inc(max(0.0, cpu - self._cpu_before))
        self._cpu_before = cpu


def _forget_gauges_of_the_dead(folder: Path) -> None:
    """Remove the gauges of killed workers, which use no connections; what they counted stays counted."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        with suppress(PermissionError):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # it has no types yet
