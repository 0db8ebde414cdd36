"""The table of contents: what the service is made of, and how it starts and stops."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
from fastapi import FastAPI

from app import __version__
from app.auth import router as auth_routes
from app.auth.passwords import PasswordHasher
from app.auth.service import AUTH_EVENTS, Auth
from app.auth.tokens import TokenCodec
from app.contracts.registry import choose
from app.core.clock import Clock, system_clock
from app.core.config import Settings, SettingsError, load_settings
from app.core.database.migrations import upgrade
from app.core.database.pool import Database
from app.core.errors import install_error_handlers
from app.core.http.docs import document_errors, install_docs
from app.core.http.middleware import install_middleware
from app.core.logging import configure_logging, get_logger
from app.core.rate_limits.database import DatabaseRateLimiter, NoRateLimiter, RateLimiter
from app.status import health
from app.tasks.router import router as task_routes

if TYPE_CHECKING:
    from app.status.prometheus import Metrics

logger = get_logger("app")

# Requests leave few cycles behind, so that it is enough to look for them ten times less often.
GARBAGE_THRESHOLD = 7_000

DESCRIPTION = """\
Accounts, tokens and private task lists.

**Try it:** create an account with `POST /api/auth/signup`, press **Authorize**, enter its e-mail address and
password, and the task routes work as you.

Every refusal has a sentence for people in `detail` and a constant for programs in `code`. Every answer has an
`X-Request-ID`; the logs have it too.
"""
TAGS = [
    {"name": "tasks", "description": "Your own tasks; nobody else's can be seen."},
    {"name": "auth", "description": "Your account, and the tokens that sign you in."},
    {"name": "service", "description": "What this is, and whether it is well."},
]


def create_app(settings: Settings, *, clock: Clock = system_clock) -> FastAPI:
    """Build the service. Nothing is connected before it starts. Raises: SettingsError for what cannot be built."""
    app = FastAPI(
        title="Auth + Tasks API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.database = Database(
        settings.dsn, pool_min=settings.database_pool_min, pool_max=settings.database_pool_max
    )
    for router in (task_routes, auth_routes.public, auth_routes.protected, auth_routes.oauth, health.router):
        # Not include_router: FastAPI 0.165 would match every request twice, and 405 would not know all methods.
        app.router.routes.extend(router.routes)
    contracts = choose(settings.api_contracts)
    for contract in contracts:
        app.router.routes.extend(contract.routes)
    app.state.error_shapes = [(contract.paths, contract.render) for contract in contracts]
    document_errors(app)
    if settings.docs_enabled:
        install_docs(app)
    install_error_handlers(app)
    production = settings.environment == "production"
    metrics = app.state.metrics = _metrics(app) if settings.metrics_enabled else None
    observe = metrics.count_request if metrics else None
    install_middleware(app, origins=settings.frontend_url, https_only=production, observe=observe)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    configure_logging(settings.log_level, settings.log_format)
    for warning in settings.warnings():
        logger.warning(warning)
    app.state.auth = auth = await asyncio.to_thread(_make_auth, app)
    await app.state.database.open()
    migrating = await _migrate(settings)
    watching = asyncio.create_task(_watch(app))
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked through again: p99 falls to a fifth
    gc.set_threshold(GARBAGE_THRESHOLD)
    logger.info("started", extra={"environment": settings.environment, "version": __version__})
    try:
        yield
    finally:
        logger.info("stopping")
        for task in (migrating, watching):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        auth.passwords.close()
        await auth.limiter.close()
        await app.state.database.close()


def _make_auth(app: FastAPI) -> Auth:
    settings: Settings = app.state.settings
    previous = settings.better_auth_secret_previous
    return Auth(
        database=app.state.database,
        settings=settings,
        tokens=TokenCodec(
            settings.better_auth_secret.get_secret_value(),
            previous.get_secret_value() if previous else None,
            access_seconds=settings.access_token_seconds,
            refresh_seconds=settings.refresh_token_seconds,
        ),
        passwords=PasswordHasher(cost=settings.password_hash_cost, queue_seconds=settings.hash_queue_seconds),
        limiter=_limiter(settings, app.state.database, app.state.clock),
        clock=app.state.clock,
        count=app.state.metrics.count_event if app.state.metrics else lambda event: None,
    )


async def _watch(app: FastAPI) -> None:
    if app.state.metrics:
        await app.state.metrics.watch(app.state.database.pool)


def _metrics(app: FastAPI) -> "Metrics":
    from app.status.metrics import router
    from app.status.prometheus import Metrics  # an extra that many do without

    app.router.routes.extend(router.routes)
    return Metrics(AUTH_EVENTS)


def _limiter(settings: Settings, database: Database, clock: Clock) -> RateLimiter:
    if settings.rate_limits == "off":
        return NoRateLimiter()
    if settings.rate_limit_storage is None:
        return DatabaseRateLimiter(database, clock)
    from app.core.rate_limits.redis import RedisRateLimiter  # an extra that most do without

    return RedisRateLimiter(settings.rate_limit_storage.get_secret_value())


async def _migrate(settings: Settings) -> "asyncio.Task[None]":
    """Migrate now, or as soon as the database is there: until then the service runs and is not ready."""
    migrated = settings.migrate_on_start == "off" or await _try_upgrade(settings)
    return asyncio.create_task(asyncio.sleep(0) if migrated else _upgrade_later(settings))


async def _upgrade_later(settings: Settings) -> None:
    while not await _try_upgrade(settings):  # noqa: ASYNC110  # nobody but the database could set an event
        await asyncio.sleep(0.5)


async def _try_upgrade(settings: Settings) -> bool:
    try:
        await asyncio.to_thread(upgrade, settings.dsn)
    except psycopg.OperationalError as error:
        logger.warning("database_not_reachable", extra={"error": type(error).__name__})
        return False
    return True


def __getattr__(name: str) -> FastAPI:
    """Build `app` when `uvicorn app.main:app` asks for it, not at import."""
    if name != "app":
        raise AttributeError(name)
    try:
        return create_app(load_settings())
    except SettingsError as error:
        raise SystemExit(str(error)) from None
