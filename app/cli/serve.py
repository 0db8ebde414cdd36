"""Serves until it is told to stop, with an embedded database where none is set."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import psycopg
import uvicorn

from app.cli.supervising import FORKING, FORKS, read_ahead, require_free, run
from app.core.config import Settings, load_settings
from app.core.http.draining import STOPS
from app.core.logging import configure_logging
from app.operations.embedded_postgres.paths import EmbeddedUnavailable
from app.operations.embedded_postgres.server import EmbeddedPostgres
from app.operations.usable import look_at, require_schema

RELOADED = [str(Path(__file__).parents[2] / folder) for folder in ("app", "migrations")]
PROTOCOL = "app.core.http.server"
SERVING = ("app.main", PROTOCOL, "uvicorn.lifespan.on", "uvicorn.loops.auto")
GRACE_SECONDS = 10
# Descriptors that are not for clients: the database's come on top. Some of them are for answering 503 to clients beyond
# the limit.
RESERVED_DESCRIPTORS = 64


def echo(text: str) -> None:
    """Print to the terminal at once; a terminal that is gone is no reason to stop."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def database_running(settings: Settings, meanwhile: Callable[[], None] = lambda: None) -> Iterator[Settings]:
    """Yield settings that name a database: the one that is set, or an embedded one that runs until the end.

    `meanwhile` is done while that one starts, or at once.
    """
    if settings.database_url is not None:
        meanwhile()
        yield settings
        return
    postgres = EmbeddedPostgres(settings.embedded_data_dir, echo=echo)
    done = threading.Event()
    watch = threading.Thread(target=_keep_running, args=(postgres, done), daemon=True)
    try:
        with ThreadPoolExecutor(1) as beside:
            starting = beside.submit(postgres.start)
            meanwhile()
        os.environ["DATABASE_URL"] = starting.result()  # the worker processes read it there
        watch.start()
        yield load_settings()
    finally:
        done.set()
        if watch.ident:
            watch.join()
        postgres.stop()


def _keep_running(postgres: EmbeddedPostgres, done: threading.Event) -> None:
    said = ""
    while not done.wait(0.5):
        trouble = ""
        try:
            with FORKING:
                restarted = postgres.ensure_running()
            if restarted:
                echo("The embedded PostgreSQL had stopped and was started again.")
        except EmbeddedUnavailable as error:
            trouble = str(error)
        except OSError as error:  # too many open files, no memory: that passes, so keep watching
            trouble = f"The embedded PostgreSQL cannot be looked after ({error.strerror}): trying again …"
        if trouble and trouble != said:
            echo(trouble)
        said = trouble


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP; a reload starts one worker anew, and the embedded database stays."""
    # uvicorn raises the signal again when it has stopped; without this the embedded database would stay.
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)
    configure_logging(settings.log_level, settings.log_format)
    require_free(settings.host, settings.port)
    modules = SERVING if (settings.workers == 1 or FORKS) and not reload else ()
    with _metrics_of_the_workers(settings), database_running(settings, partial(read_ahead, *modules)) as ready:
        _require_usable(ready)
        run(_server_config(ready, reload=reload), lambda: echo(_where(ready)))


def _require_usable(settings: Settings) -> None:
    """Raise OperatorError if waiting will not help. What may come yet, the service waits for."""
    with suppress(psycopg.Error):
        found = look_at(settings.dsn)
        if settings.migrate_on_start == "on" and found.revision is None:
            require_schema(found)


def _where(settings: Settings) -> str:
    base = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    return f"Serving on {base}" + (f", try it at {base}/docs" if settings.docs_enabled else "") + " (Ctrl-C stops)"


def _server_config(settings: Settings, *, reload: bool) -> uvicorn.Config:
    return uvicorn.Config(
        "app.main:app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        reload=reload,
        reload_dirs=RELOADED if reload else None,
        log_config=None,
        access_log=False,
        server_header=False,
        http=f"{PROTOCOL}:BoundedProtocol",
        ws="none",
        limit_concurrency=_connection_limit(settings.max_connections, settings.database_pool_max),
        proxy_headers=False,  # TRUSTED_PROXIES decides whose X-Forwarded-For counts
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=settings.keep_alive_seconds,
    )


def _connection_limit(wanted: int, database_connections: int) -> int:
    """Return how many clients a process can have: as many as wanted, if it may open so many descriptors."""
    try:
        import resource
    except ImportError:  # Windows counts them otherwise
        return wanted
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, descriptors - database_connections - RESERVED_DESCRIPTORS))


@contextmanager
def _metrics_of_the_workers(settings: Settings) -> Iterator[None]:
    """Let prometheus_client add up over processes, if it has to: it asks the environment at its import."""
    if not settings.metrics_enabled or settings.workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="auth-tasks-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def _exit(signum: int, frame: object) -> NoReturn:
    raise SystemExit(0)
