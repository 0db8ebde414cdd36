"""`/api/tasks`: the caller's own tasks. The user comes from the access token and nowhere else."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from app.auth.dependencies import BearerRoute, CurrentCaller
from app.auth.errors import InvalidToken, NotAuthenticated
from app.core.errors import BODY_ERRORS, InternalError, Invalid, ServiceUnavailable
from app.core.http.error_responses import refusals
from app.core.http.routing import router as make_router
from app.tasks import service
from app.tasks.dependencies import IdempotencyKey, IfMatch, IfNoneMatch, TaskId
from app.tasks.errors import TaskChanged, TaskNotFound
from app.tasks.etags import etag, is_unchanged
from app.tasks.repository import TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskRead, TaskUpdate

router = make_router(prefix="/api/tasks", tag="tasks", route_class=BearerRoute)

_ETAG = {
    "ETag": {"description": "The task's version, for `If-Match` and `If-None-Match`.", "schema": {"type": "string"}}
}
_LOCATION = {"Location": {"description": "Where the task is.", "schema": {"type": "string"}}}
_PAGING = {
    "X-Total-Count": {"description": "With `limit`: how many there are in all.", "schema": {"type": "integer"}},
    "Link": {
        "description": 'With `limit`: the next page, if there is one, as `rel="next"`.',
        "schema": {"type": "string"},
    },
}

AUTH_ERRORS = (NotAuthenticated, InvalidToken, InternalError, ServiceUnavailable)
_LIST = refusals(*AUTH_ERRORS, Invalid) | {200: {"headers": _PAGING}}
_CREATE = refusals(*AUTH_ERRORS, *BODY_ERRORS) | {
    200: {
        "model": TaskRead,
        "description": "The task that this `Idempotency-Key` made before.",
        "headers": _ETAG | _LOCATION,
    },
    201: {"headers": _ETAG | _LOCATION},
}
_READ = refusals(*AUTH_ERRORS, TaskNotFound) | {
    200: {"headers": _ETAG},
    304: {"description": "You have the current version already.", "headers": _ETAG},
}
_DELETE = refusals(*AUTH_ERRORS, TaskNotFound, TaskChanged)
_TOGGLE = _DELETE | {200: {"headers": _ETAG}}
_UPDATE = refusals(*AUTH_ERRORS, *BODY_ERRORS, TaskNotFound, TaskChanged) | {200: {"headers": _ETAG}}


@router.get("", summary="List my tasks", response_model=list[TaskRead], responses=_LIST)
async def list_tasks(caller: CurrentCaller, request: Request, query: Annotated[TaskQuery, Query()]) -> Response:
    """Gives your tasks, newest first, as an array; an empty one if there are none.

    With `limit`, `X-Total-Count` says how many there are in all, and `Link: rel="next"` leads to the next page.
    """
    page = await service.list_tasks_as_json(caller, query)
    if page.more:
        return StreamingResponse(_array(page.tasks, page.more), media_type="application/json")
    return Response(b"[%b]" % page.tasks, headers=_paging(page, request), media_type="application/json")


async def _array(first: bytes, more: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"[" + first
    async for members in more:
        yield b"," + members
    yield b"]"


def _paging(page: service.Page[bytes], request: Request) -> dict[str, str]:
    headers = {} if page.total is None else {"X-Total-Count": str(page.total)}
    if page.next_cursor:
        parameters = {**request.query_params, "cursor": page.next_cursor}
        parameters.pop("offset", None)
        headers["Link"] = f'<{request.scope["path"]}?{urlencode(parameters)}>; rel="next"'
    return headers


@router.post(
    "",
    summary="Create a task",
    status_code=HTTPStatus.CREATED,
    response_model=TaskRead,
    responses=_CREATE,
)
async def create_task(
    body: TaskCreate,
    caller: CurrentCaller,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> TaskRow:
    """Makes a task of yours. With an `Idempotency-Key` you can safely send the request again."""
    task, new = await service.create_task(caller, body, idempotency_key=idempotency_key)
    response.status_code = HTTPStatus.CREATED if new else HTTPStatus.OK
    response.headers["Location"] = f"/api/tasks/{task.id}"
    return _tagged(task, response)


@router.get(
    "/{task_id}",
    summary="Show a task",
    response_model=TaskRead,
    responses=_READ,
)
async def get_task(
    task_id: TaskId, caller: CurrentCaller, response: Response, if_none_match: IfNoneMatch = None
) -> object:
    """Gives one of your tasks; its `ETag` can be sent back to notice changes."""
    task = await service.get_task(caller, task_id)
    if is_unchanged(if_none_match, task.version):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(task.version)})
    return _tagged(task, response)


async def _update(
    task_id: TaskId,
    body: TaskUpdate,
    caller: CurrentCaller,
    response: Response,
    versions: IfMatch = None,
) -> TaskRow:
    """Changes the fields that you send and leaves the others as they are; send at least one.

    `completed` and `status` are one fact: setting either moves the other. PUT and PATCH do the same.
    """
    return _tagged(await service.update_task(caller, task_id, body, versions=versions), response)


router.put("/{task_id}", name="update_task", summary="Change a task", response_model=TaskRead, responses=_UPDATE)(
    _update
)
router.patch(
    "/{task_id}", name="patch_task", summary="Change some fields of a task", response_model=TaskRead, responses=_UPDATE
)(_update)


@router.patch("/{task_id}/toggle", summary="Toggle completion", response_model=TaskRead, responses=_TOGGLE)
async def toggle_task(task_id: TaskId, caller: CurrentCaller, response: Response, versions: IfMatch = None) -> TaskRow:
    """Marks a task completed, or pending again if it was completed."""
    return _tagged(await service.toggle_task(caller, task_id, versions=versions), response)


@router.delete("/{task_id}", summary="Delete a task", status_code=HTTPStatus.NO_CONTENT, responses=_DELETE)
async def delete_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> Response:
    """Deletes a task for good."""
    await service.delete_task(caller, task_id, versions=versions)
    return Response(status_code=HTTPStatus.NO_CONTENT)  # FastAPI's own 204 would have a Content-Type


def _tagged(task: TaskRow, response: Response) -> TaskRow:
    response.headers["ETag"] = etag(task.version)
    return task
