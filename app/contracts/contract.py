"""What a contract consists of, and the check that all of them share: the path names the user."""

import re
from http import HTTPStatus
from typing import Annotated, ClassVar, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute

from app.auth.dependencies import BEARER_ERRORS, authenticate, get_auth, user_database
from app.core.errors import BODY_ERRORS, ApiError, ValidationFailed
from app.core.fields import UUID_TEXT
from app.core.http.error_responses import Documented, error_responses
from app.core.http.json import json_response
from app.core.http.problems import ErrorRenderer
from app.core.http.routing import Guard, make_router
from app.tasks.dependencies import TaskRoute
from app.tasks.errors import CONDITION_ERRORS, TaskNotFound, TooManyTasks
from app.tasks.etags import etag
from app.tasks.models import TaskRow


class Contract(NamedTuple):
    """Routes, the paths whose errors have its shape, and the contracts that it cannot stand beside.

    `access_token_names` are further names of `access_token`, in every answer that has one.
    """

    name: str
    routes: list[BaseRoute]
    paths: re.Pattern[str]
    render: ErrorRenderer
    conflicts_with: frozenset[str] = frozenset()
    access_token_names: tuple[str, ...] = ()


NO_PATHS = re.compile(r"(?!)")


class PathUserMismatch(ApiError):
    """The path names another user. Nothing was looked up, so that the error reveals nothing about them."""

    status = HTTPStatus.FORBIDDEN
    code = "FORBIDDEN"
    message = "This path belongs to another user."


async def require_own_path(request: Request) -> None:
    """Compare the path's user with the token's; it is used for nothing else. Raises: PathUserMismatch."""
    principal = user_database(request).principal
    if request.path_params["user_id"].lower() != str(principal.user_id):
        auth = await get_auth(request)
        auth.record("foreign_path_refused", user_id=principal.user_id, session_id=principal.session_id)
        raise PathUserMismatch


class PathRoute(TaskRoute):
    """A route below a user's own path: 401, then 403, before the body is read."""

    guards: ClassVar[tuple[Guard, ...]] = (authenticate, require_own_path)


_NO_ID = str(UUID(int=0))


def _require_uuid(name: str) -> Guard:
    """Make a guard that raises ValidationFailed if this id in the path is no UUID."""

    async def check(request: Request) -> None:
        if not UUID_TEXT.fullmatch(request.path_params.get(name, _NO_ID)):
            raise ValidationFailed([{"field": name, "message": "must be a UUID", "code": "uuid_parsing"}])

    return check


class StrictPathRoute(PathRoute):
    """A path route where an id that is no UUID is 422, and not merely another user's or missing."""

    guards: ClassVar[tuple[Guard, ...]] = (
        authenticate,
        _require_uuid("user_id"),
        require_own_path,
        _require_uuid("task_id"),
    )


_UserId = Annotated[str, Path(description="Your own id.", json_schema_extra={"format": "uuid"})]


async def _document_user_id(user_id: _UserId) -> None:
    """Document the path's user, which a guard has checked."""


def path_router(name: str, prefix: str, route_class: type[PathRoute] = PathRoute) -> APIRouter:
    """Return a router below `…/{user_id}/tasks`, whose operation ids begin with the contract's name."""
    router = make_router(prefix=prefix, tag=name, route_class=route_class)
    router.generate_unique_id_function = lambda route: f"{name.replace('-', '_')}_{route.name}"
    router.dependencies.append(Depends(_document_user_id))
    return router


def task_response(task: TaskRow, content: object, status: int = 200) -> Response:
    """Return a task in a contract's shape, with its `ETag`."""
    return json_response(content, status, {"ETag": etag(task.version)})


class DocumentedErrors(NamedTuple):
    """The `responses=` of a contract's routes; the last two are for those that change a task."""

    list: Documented
    create: Documented
    read: Documented
    with_body: Documented
    no_body: Documented


def document_errors(model: type[BaseModel], render: ErrorRenderer, *of_one_task: type[ApiError]) -> DocumentedErrors:
    """Document every error in this shape; `of_one_task` are those besides a missing task."""

    def document(*errors: type[ApiError]) -> Documented:
        return error_responses(*BEARER_ERRORS, PathUserMismatch, *errors, model=model, render=render)

    return DocumentedErrors(
        list=document(ValidationFailed),
        create=document(*BODY_ERRORS, TooManyTasks),
        read=document(TaskNotFound, *of_one_task),
        with_body=document(TaskNotFound, *CONDITION_ERRORS, *BODY_ERRORS),
        no_body=document(TaskNotFound, *CONDITION_ERRORS, *of_one_task),
    )
