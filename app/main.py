"""The table of contents: what the service is made of."""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from app import __version__
from app.accounts import router as accounts
from app.auth.events import AUTH_EVENTS
from app.contracts.registry import choose
from app.core.clock import Clock, system_clock
from app.core.config import Settings, SettingsError, load_settings
from app.core.database.pool import Database
from app.core.http.docs import install_docs, tell_what_is_sent
from app.core.http.draining import Draining
from app.core.http.fixed_paths import keep_fixed_paths
from app.core.http.middleware import Service, install_middleware
from app.core.http.problems import install_error_handlers
from app.lifespan import lifespan
from app.mail import router as mail
from app.passkeys import router as passkeys
from app.public_keys import router as public_keys
from app.script_tokens import router as script_tokens
from app.sessions import router as sessions
from app.status import health
from app.tasks import router as tasks
from app.tasks.dependencies import refuse_to_follow
from app.tasks.limit import TaskLimit

if TYPE_CHECKING:
    from app.live.live import Live
    from app.mail.texts import Texts
    from app.passkeys.service import Passkeys
    from app.status.prometheus import Metrics

DESCRIPTION = """\
Accounts, tokens and private task lists.

**Try it:** create an account with `POST /api/auth/signup`, press **Authorize**, enter its e-mail address and
password, and the task routes work as you.

Every error has a sentence for people in `detail` and a constant for programs in `code`. Every response has an
`X-Request-ID`; the logs have it too.
"""
TAGS = [
    {"name": "tasks", "description": "Your own tasks; nobody else's can be seen."},
    {"name": "auth", "description": "Your account, the tokens that sign you in, and the sessions that they belong to."},
    {"name": "service", "description": "What this is, and whether it works."},
]
# In the order of the documentation.
ROUTERS = (
    *(tasks.router, accounts.public, mail.public, passkeys.public, accounts.oauth, sessions.public),
    *(accounts.revocation, sessions.router, script_tokens.router, mail.router, passkeys.router, accounts.router),
    *(public_keys.router, health.router),
)


def create_app(settings: Settings, *, clock: Clock = system_clock) -> FastAPI:
    """Build the service. Nothing is connected before it starts. Raises: SettingsError for what cannot be built."""
    app = Service(
        title="Auth + Tasks API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        servers=[{"url": settings.root_path or "/"}],
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry=_telemetry(settings),
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.database = Database(
        settings.dsn, pool_min=settings.database_pool_min, pool_max=settings.database_pool_max
    )
    app.state.task_limit = TaskLimit(settings.max_tasks_per_user)
    app.state.mail_texts = _mail_texts(settings)
    app.state.passkeys = _passkeys(settings)
    for router in ROUTERS:
        # Not include_router: FastAPI 0.165 would match every request twice, and 405 would not know all methods.
        app.router.routes.extend(router.routes)
    contracts = choose(settings.api_contracts)
    for contract in contracts:
        served = {path for route in app.routes if (path := getattr(route, "path", None))}
        app.router.routes.extend(route for route in contract.routes if getattr(route, "path", None) not in served)
    app.state.access_token_names = [name for contract in contracts for name in contract.access_token_names]
    app.state.error_shapes = [(contract.paths, contract.render) for contract in contracts]
    tell_what_is_sent(app, root=settings.root_path)
    if settings.docs_enabled:
        install_docs(app, root=settings.root_path)
    install_error_handlers(app)
    production = settings.environment == "production"
    metrics = app.state.metrics = _metrics(app) if settings.metrics_enabled else None
    observe = metrics.count_request if metrics else None
    keep_fixed_paths(app.router.routes)
    draining = app.state.draining = Draining(settings.drain_seconds)
    app.state.live = _live(app) if settings.live_streams else None
    app.state.follow = app.state.live.follow if app.state.live else refuse_to_follow
    install_middleware(
        app,
        origins=settings.frontend_url,
        https_only=production,
        draining=draining,
        observe=observe,
        trusted_proxies=settings.trusted_proxies,
    )
    return app


def _telemetry(settings: Settings) -> TelemetryConfig:
    """Return what FastAPI sends to a collector. Never its logs: they would hold what people sent."""
    on = settings.opentelemetry == "on"
    return {"auto_configure": on, "tracing": on, "metrics": on, "logs": False, "operation_spans": False}


def _mail_texts(settings: Settings) -> "Texts | None":
    """Return the texts of mails, if there are any. Raises: SettingsError."""
    if settings.mail_url is None:
        return None
    from app.mail.texts import load_texts  # mail is off for many

    return load_texts(settings.mail_templates)


def _passkeys(settings: Settings) -> "Passkeys | None":
    if settings.passkeys == "off":
        return None
    from app.passkeys.service import Passkeys  # an extra that many do without

    return Passkeys(settings)


def _metrics(app: FastAPI) -> "Metrics":
    from app.status.metrics import router
    from app.status.prometheus import Metrics  # an extra that many do without

    app.router.routes.extend(router.routes)
    return Metrics(AUTH_EVENTS, sends_mail=app.state.settings.mail_url is not None)


def _live(app: FastAPI) -> "Live":
    from app.live.live import Live

    count = app.state.metrics.count_hint if app.state.metrics else lambda outcome: None
    return Live(app.state.settings, app.state.database, app.state.draining, count)


def __getattr__(name: str) -> FastAPI:
    """Build `app` when `uvicorn app.main:app` asks for it, not at import."""
    if name != "app":
        raise AttributeError(name)
    try:
        return create_app(load_settings())
    except SettingsError as error:
        raise SystemExit(str(error)) from None
