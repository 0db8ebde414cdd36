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
from app.belongings import BELONGINGS, ENDED_BY_RESET
from app.core.config import Settings
from app.core.database.trouble import why
from app.core.logging import configure_logging, get_logger
from app.core.operator_error import OperatorError
from app.core.rate_limits.limits import make_limiter
from app.mail.post import Post
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
    post = app.state.post = Post() if settings.mail_url else None
    app.state.auth = auth = await asyncio.to_thread(_make_auth, app)
    await app.state.database.open()
    if app.state.live:
        await app.state.live.start()
    if post:
        from app.mail.start import start_post  # mail is off for many

        start_post(post, auth, app.state.mail_texts, app.state.metrics.count_mail if app.state.metrics else None)
    background = [asyncio.create_task(_watch_metrics(app))]
    if settings.migrate_on_start == "on" and (reason := await _try_upgrade(settings)):
        # The service runs meanwhile, and is not ready.
        background.append(asyncio.create_task(_upgrade_later(settings, reason)))
    gc.collect()
    gc.freeze()  # the collector skips these lasting objects from now on: p99 falls to a fifth
    gc.set_threshold(GARBAGE_THRESHOLD)
    logger.info("started", extra={"environment": settings.environment, "version": __version__})
    try:
        with app.state.draining.on_signals():
            yield
    finally:
        logger.info("stopping")
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if app.state.live:
            await app.state.live.stop()
        if post:
            await post.close()
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
        limiter=make_limiter(settings, app.state.database, app.state.clock),
        belongings=BELONGINGS,
        ended_by_reset=ENDED_BY_RESET,
        clock=app.state.clock,
        count_event=app.state.metrics.count_event if app.state.metrics else lambda event: None,
        tell_owner=app.state.post.tell if app.state.post else lambda notice: None,
        prove_by_passkey=app.state.passkeys.prove if app.state.passkeys else None,
    )


async def _watch_metrics(app: FastAPI) -> None:
    if app.state.metrics:
        await app.state.metrics.watch(app)


async def _upgrade_later(settings: Settings, reason: str) -> None:
    while told := await _try_upgrade(settings, told_before=reason):
        reason = told
        await asyncio.sleep(MIGRATION_RETRY_SECONDS)  # only the database could set an event


async def _try_upgrade(settings: Settings, *, told_before: str = "") -> str:
    """Return why the database is not migrated, or nothing if it is; log that unless it was told before."""
    try:
        await asyncio.to_thread(upgrade, settings.dsn)
    except OlderProcesses as error:  # the service is not ready until they have stopped
        event, reason = "older_processes_running", str(error)
    except OperatorError as error:
        event, reason = "database_not_usable", str(error)
    except psycopg.Error as error:
        event = "database_not_usable" if error.sqlstate else "database_not_reachable"
        reason = f"The database {why(error, settings.dsn)}."
    else:
        return ""
    if reason != told_before:
        logger.warning(event, extra={"reason": reason})
    return reason
