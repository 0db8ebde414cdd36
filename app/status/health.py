"""`/` and `/health`: what the service is, whether the process runs, whether it can serve."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import RedirectResponse, Response

from app import __version__
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.database.sql import plain
from app.core.database.statement import Statement
from app.core.errors import Stopping
from app.core.http.error_responses import error_responses
from app.core.http.root_path import public_path
from app.core.http.routing import make_router
from app.operations.migrations import head_revision, is_newer
from app.operations.usable import OWN_TABLES

router = make_router(tag="service")


# In SQL's own words, because Alembic's table is no model.
SELECT_REVISION = Statement(plain("SELECT version_num FROM alembic_version", version_num=str), str)
SELECT_IS_OURS = Statement(plain(f"SELECT {OWN_TABLES} AS is_ours", is_ours=bool), bool)


class NotMigrated(DatabaseUnavailable):
    """The database is reachable, at an older revision."""

    code = "DATABASE_NOT_MIGRATED"
    message = "The database is not at the version that this service needs."


class About(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "Auth + Tasks API", "version": __version__, "status": "ok", "links": {"docs": "/docs"}}
        }
    )

    name: str
    version: str
    status: Literal["ok"]
    links: dict[str, str]


class Health(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"status": "ready"}})

    status: Literal["ok", "ready"]


@router.get(
    "/",
    summary="What this is",
    response_model=About,
    responses={307: {"description": "To the documentation, for a browser."}},
)
async def show_about(request: Request) -> About | Response:
    """Names the service and where to go from here. A browser is shown the documentation instead."""
    if request.app.openapi_url and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(public_path(request, "/docs"))
    links = {"tasks": "/api/tasks", "sign_up": "/api/auth/signup", "sign_in": "/api/auth/signin", "health": "/health"}
    if request.app.openapi_url:
        links |= {"docs": "/docs", "redoc": "/redoc", "openapi": "/openapi.json"}
    links = {name: public_path(request, path) for name, path in links.items()}
    return About(name=request.app.title, version=__version__, status="ok", links=links)


@router.get("/health", summary="Does the process run?")
@router.get("/health/live", name="show_liveness", summary="Does the process run?")
async def show_health() -> Health:
    """Answers as long as the process runs, whatever the database does."""
    return Health(status="ok")


@router.get(
    "/health/ready",
    summary="Can it serve?",
    responses=error_responses(DatabaseUnavailable, NotMigrated, Stopping),
)
async def show_readiness(request: Request) -> Health:
    """Says yes while the database is reachable and at this code's migration or a later one: a balancer's question."""
    if request.app.state.draining.begun:
        raise Stopping
    await require_ready(request.app.state.database)
    return Health(status="ready")


async def require_ready(database: Database) -> None:
    """Raise DatabaseUnavailable or NotMigrated unless the service can serve."""
    revision = await database.fetch_value(SELECT_REVISION)
    if revision == head_revision():
        return
    if not is_newer(revision) or not await database.fetch_value(SELECT_IS_OURS):
        raise NotMigrated
