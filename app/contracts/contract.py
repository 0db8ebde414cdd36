"""What a contract consists of, and the check that all of them share: the path names the caller."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from app.auth.dependencies import BearerRoute, authenticate
from app.auth.errors import InvalidToken, NotAuthenticated
from app.core.errors import BODY_ERRORS, ApiError, ErrorRenderer, InternalError, Invalid, ServiceUnavailable
from app.core.fields import UUID_TEXT
from app.core.http.error_responses import Documented, refusals
from app.core.http.routing import Gate, router
from app.tasks.errors import TaskChanged, TaskNotFound
from app.tasks.list_repository import ListedTask
from app.tasks.service import Page


class Contract(NamedTuple):
    """Routes, the paths whose refusals have its shape, and what it cannot stand beside."""

    name: str
    routes: list[BaseRoute]
    paths: re.Pattern[str]
    render: ErrorRenderer
    conflicts_with: frozenset[str] = frozenset()


class PathUserMismatch(ApiError):
    """The path names somebody else. Nothing was looked up, so this says nothing about them."""

    status = HTTPStatus.FORBIDDEN
    code = "FORBIDDEN"
    message = "This path belongs to another user."


async def require_own_path(request: Request) -> None:
    """Compare the path's user with the token's; it is used for nothing else. Raises: NotYourPath."""
    caller = await authenticate(request)
    if request.path_params["user_id"].lower() != str(caller.user_id):
        raise PathUserMismatch


class PathRoute(BearerRoute):
    """A route below a user's own path: 401, then 403, before the body is read."""

    gates: tuple[Gate, ...] = (authenticate, require_own_path)


_NO_ID = str(UUID(int=0))


def _well_formed(name: str) -> Gate:
    """Make a gate that raises Invalid if this id in the path is no UUID."""

    async def check(request: Request) -> None:
        if not UUID_TEXT.fullmatch(request.path_params.get(name, _NO_ID)):
            raise Invalid([{"field": name, "message": "must be a UUID", "code": "uuid_parsing"}])

    return check


class StrictPathRoute(PathRoute):
    """The same, where an id that is no UUID is 422 and not merely nobody's or missing."""

    gates = (authenticate, _well_formed("user_id"), require_own_path, _well_formed("task_id"))


_Named = Annotated[str, Path(description="Your own id.", json_schema_extra={"format": "uuid"})]


async def _document_user_id(user_id: _Named) -> None:
    """Documents the path's user; the gate has checked it."""


def path_router(name: str, prefix: str, route_class: type[PathRoute] = PathRoute) -> APIRouter:
    """Make a router below `…/{user_id}/tasks`, whose operation ids begin with the contract's name."""
    made = router(prefix=prefix, tag=name, route_class=route_class)
    made.generate_unique_id_function = lambda route: f"{name.replace('-', '_')}_{route.name}"
    made.dependencies.append(Depends(_document_user_id))
    return made


def list_response(
    page: Page[Sequence[ListedTask]], model: type[BaseModel], opening: str, ending: Callable[[int], str]
) -> Response:
    """Write the tasks of a list in this shape, batch by batch; `ending` is told how many there are in all."""

    def members(tasks: Sequence[ListedTask]) -> str:
        return ",".join(model.model_validate(task).model_dump_json() for task in tasks)

    async def written(more: AsyncIterator[Sequence[ListedTask]]) -> AsyncIterator[str]:
        count = len(page.tasks)
        yield opening + members(page.tasks)
        async for tasks in more:
            count += len(tasks)
            yield "," + members(tasks)
        yield ending(count)

    if page.more:
        return StreamingResponse(written(page.more), media_type="application/json")
    total = len(page.tasks) if page.total is None else page.total
    return Response(opening + members(page.tasks) + ending(total), media_type="application/json")


AUTH_ERRORS = (NotAuthenticated, InvalidToken, PathUserMismatch, InternalError, ServiceUnavailable)


class Responses(NamedTuple):
    """The `responses=` of the routes of one shape."""

    listing: Documented
    new: Documented
    one: Documented
    changed: Documented
    written: Documented


def responses_as(model: type[BaseModel], render: ErrorRenderer, *of_one_task: type[ApiError]) -> Responses:
    """Document every refusal in this shape; `of_one_task` are those besides a missing task."""

    def document(*errors: type[ApiError]) -> Documented:
        return refusals(*AUTH_ERRORS, *errors, model=model, render=render)

    return Responses(
        listing=document(Invalid),
        new=document(*BODY_ERRORS),
        one=document(TaskNotFound, *of_one_task),
        changed=document(TaskNotFound, TaskChanged, *BODY_ERRORS),
        written=document(TaskNotFound, TaskChanged, *of_one_task),
    )
