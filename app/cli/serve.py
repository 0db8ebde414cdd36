"""Serves until it is told to stop, with an embedded database where none is set."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import uvicorn

from app.core.config import Settings, load_settings
from app.core.logging import configure_logging
from app.operations.embedded_postgres.paths import EmbeddedUnavailable
from app.operations.embedded_postgres.server import EmbeddedPostgres

RELOADED = [str(Path(__file__).parents[2] / folder) for folder in ("app", "migrations")]
GRACE_SECONDS = 10
# Longer than balancers keep their connections, 60 seconds as a rule: if this side closes first, a request that the
# balancer has just sent is lost.
KEEP_ALIVE_SECONDS = 75
# Descriptors that are not for clients: the database's come on top. Some of them are for answering 503 to clients beyond
# the limit.
RESERVED_DESCRIPTORS = 64


def echo(text: str) -> None:
    """Print to the terminal at once; a terminal that is gone is no reason to stop."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def database_running(settings: Settings) -> Iterator[Settings]:
    """Yield settings that name a database: the one that is set, or an embedded one that runs meanwhile."""
    if settings.database_url is not None:
        yield settings
        return
    postgres = EmbeddedPostgres(settings.embedded_data_dir, echo=echo)
    done = threading.Event()
    os.environ["DATABASE_URL"] = postgres.start()  # the worker processes read it there
    watch = threading.Thread(target=_keep_running, args=(postgres, done), daemon=True)
    watch.start()
    try:
        yield load_settings()
    finally:
        done.set()
        watch.join()
        postgres.stop()


def _keep_running(postgres: EmbeddedPostgres, done: threading.Event) -> None:
    said = ""
    while not done.wait(0.5):
        trouble = ""
        try:
            if postgres.ensure_running():
                echo("The embedded PostgreSQL had stopped and was started again.")
        except EmbeddedUnavailable as error:
            trouble = str(error)
        except OSError as error:  # too many open files, no memory: that passes, so keep watching
            trouble = f"The embedded PostgreSQL cannot be looked after ({error.strerror}): trying again …"
        if trouble and trouble != said:
            echo(trouble)
        said = trouble


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM; a reload starts one worker anew, and the embedded database stays."""
    # uvicorn raises the signal again when it has stopped; without this the embedded database would stay.
    signal.signal(signal.SIGTERM, _exit)
    configure_logging(settings.log_level, settings.log_format)
    with database_running(settings) as ready:
        base = f"http://{f'[{ready.host}]' if ':' in ready.host else ready.host}:{ready.port}"
        echo(f"Serving on {base}" + (f", try it at {base}/docs" if ready.docs_enabled else "") + " (Ctrl-C stops)")
        with _metrics_of_the_workers(ready):
            uvicorn.run(
                "app.main:app",
                host=ready.host,
                port=ready.port,
                workers=ready.workers,
                reload=reload,
                reload_dirs=RELOADED if reload else None,
                log_config=None,
                access_log=False,
                server_header=False,
                http="app.core.http.server:BoundedProtocol",
                ws="none",
                limit_concurrency=_connection_limit(ready.max_connections, ready.database_pool_max),
                proxy_headers=False,  # TRUSTED_PROXIES decides whose X-Forwarded-For counts
                timeout_graceful_shutdown=GRACE_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
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
