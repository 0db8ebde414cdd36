"""How the service starts and stops: it builds what the operations need, connects, and migrates."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
from fastapi import FastAPI

from app import __version__
from app.auth.auth import Auth
from app.auth.fingerprints import make_fingerprints
from app.auth.passwords import PasswordHasher
from app.auth.tokens import make_codec
from app.belongings import BELONGINGS
from app.core.config import Settings
from app.core.logging import configure_logging, get_logger
from app.core.rate_limits.database import DatabaseRateLimiter
from app.core.rate_limits.limiter import NoRateLimiter, RateLimiter
from app.operations.migrations import upgrade
from app.operations.older_processes import OlderProcesses

logger = get_logger("app")

# Requests leave few cycles behind, so that it is enough to look for them ten times less often.
GARBAGE_THRESHOLD = 7_000
MIGRATION_RETRY_SECONDS = 0.5


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the service, and stop it at the end."""
    settings: Settings = app.state.settings
    configure_logging(settings.log_level, settings.log_format)
    for warning in settings.warnings():
        logger.warning(warning)
    app.state.auth = auth = await asyncio.to_thread(_make_auth, app)
    await app.state.database.open()
    background = [asyncio.create_task(_watch_metrics(app))]
    if settings.migrate_on_start == "on" and not await _try_upgrade(settings):
        # The service runs meanwhile, and is not ready.
        background.append(asyncio.create_task(_upgrade_later(settings)))
    gc.collect()
    gc.freeze()  # the collector skips these lasting objects from now on: p99 falls to a fifth
    gc.set_threshold(GARBAGE_THRESHOLD)
    logger.info("started", extra={"environment": settings.environment, "version": __version__})
    try:
        yield
    finally:
        logger.info("stopping")
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        auth.passwords.close()
        await auth.limiter.close()
        await app.state.database.close()


def _make_auth(app: FastAPI) -> Auth:
    settings: Settings = app.state.settings
    return Auth(
        database=app.state.database,
        settings=settings,
        tokens=make_codec(settings),
        fingerprints=make_fingerprints(settings),
        passwords=PasswordHasher(cost=settings.password_hash_cost, queue_seconds=settings.hash_queue_seconds),
        limiter=_make_limiter(app),
        belongings=BELONGINGS,
        clock=app.state.clock,
        count_event=app.state.metrics.count_event if app.state.metrics else lambda event: None,
    )


def _make_limiter(app: FastAPI) -> RateLimiter:
    settings: Settings = app.state.settings
    if settings.rate_limits == "off":
        return NoRateLimiter()
    if settings.rate_limit_storage is None:
        return DatabaseRateLimiter(app.state.database, app.state.clock)
    from app.core.rate_limits.redis import RedisRateLimiter  # an extra that most do without

    return RedisRateLimiter(settings.rate_limit_storage.get_secret_value())


async def _watch_metrics(app: FastAPI) -> None:
    if app.state.metrics:
        await app.state.metrics.watch(app.state.database.pool)


async def _upgrade_later(settings: Settings) -> None:
    while not await _try_upgrade(settings):  # noqa: ASYNC110  # only the database could set an event
        await asyncio.sleep(MIGRATION_RETRY_SECONDS)


async def _try_upgrade(settings: Settings) -> bool:
    try:
        await asyncio.to_thread(upgrade, settings.dsn)
    except psycopg.OperationalError as error:
        logger.warning("database_not_reachable", extra={"error": type(error).__name__})
        return False
    except OlderProcesses as error:  # the service is not ready until they have stopped
        logger.warning("older_processes_running", extra={"error": str(error)})
        return False
    return True
