"""`/api/tasks`: the user's own tasks. The user comes from the access token and nowhere else."""

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request
from starlette.responses import Response

from app.auth.dependencies import BEARER_ERRORS, UserDb
from app.core.errors import BODY_ERRORS, TooManyRequests, ValidationFailed
from app.core.http.error_responses import error_responses
from app.core.http.json import LongArray, RowWriter, encode, json_response, parts_response
from app.core.http.root_path import public_path
from app.core.http.routing import make_router, put_and_patch
from app.tasks import changes, service
from app.tasks.dependencies import (
    Condition,
    IdempotencyKey,
    IfNoneMatch,
    Since,
    TaskId,
    TaskRoute,
    follow,
    task_limit,
    wants_events,
)
from app.tasks.errors import CONDITION_ERRORS, LiveIsOff, SyncExpired, TaskNotFound, TooManyTasks
from app.tasks.etags import etag, is_unchanged
from app.tasks.models import TaskRow
from app.tasks.pages import Page
from app.tasks.schemas import TaskChanges, TaskCompletion, TaskCreate, TaskQuery, TaskRead, TaskUpdate

router = make_router(prefix="/api/tasks", tag="tasks", route_class=TaskRoute)
writer = RowWriter(TaskRead, TaskRow)


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


_ETAG = {"ETag": _header("The task's version, for `If-Match` and `If-None-Match`.")}
_LOCATION = {"Location": _header("Where the task is.")}
_PAGING = {
    "X-Total-Count": _header("With `limit`: how many there are in all.", "integer"),
    "Link": _header('With `limit`: the next page, if there is one, as `rel="next"`.'),
}

# Only documented: reading it would take time of each request for the answer that ends. Of the stream the text alone is
# documented: with its media type beside JSON, generators make clients that know the stream and not the answer.
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 1000},
    "description": "Of a stream: the `id` of the last event, in the place of `since`.",
}
_LIST = error_responses(*BEARER_ERRORS, ValidationFailed) | {200: {"headers": _PAGING}}
_CHANGES = error_responses(*BEARER_ERRORS, ValidationFailed, SyncExpired, TooManyRequests, LiveIsOff)
_CREATE = error_responses(*BEARER_ERRORS, *BODY_ERRORS, TooManyTasks) | {
    200: {
        "model": TaskRead,
        "description": "The task that this `Idempotency-Key` made before.",
        "headers": _ETAG | _LOCATION,
    },
    201: {"headers": _ETAG | _LOCATION},
}
_READ = error_responses(*BEARER_ERRORS, TaskNotFound) | {
    200: {"headers": _ETAG},
    304: {"description": "You have the current version already.", "headers": _ETAG},
}
_DELETE = error_responses(*BEARER_ERRORS, TaskNotFound, *CONDITION_ERRORS)
_UPDATE = error_responses(*BEARER_ERRORS, *BODY_ERRORS, TaskNotFound, *CONDITION_ERRORS) | {200: {"headers": _ETAG}}


@router.get("", summary="List my tasks", response_model=list[TaskRead], responses=_LIST)
async def list_tasks(db: UserDb, request: Request, query: Annotated[TaskQuery, Query()]) -> Response:
    """Returns your tasks, newest first, as an array; an empty one if there are none.

    With `limit`, `X-Total-Count` says how many there are in all, and `Link: rel="next"` leads to the next page.
    """
    page = await service.list_tasks(db, query)
    return await parts_response(LongArray(page.tasks, page.more, writer.members), headers=_paging(page, request))


def _paging(page: Page, request: Request) -> dict[str, str]:
    headers = {} if page.total is None else {"X-Total-Count": str(page.total)}
    if page.next_cursor:
        parameters = {name: value for name, value in request.query_params.items() if value}
        parameters["cursor"] = page.next_cursor
        parameters.pop("offset", None)
        headers["Link"] = f'<{public_path(request, request.scope["path"])}?{urlencode(parameters)}>; rel="next"'
    return headers


@router.post("", summary="Create a task", status_code=HTTPStatus.CREATED, response_model=TaskRead, responses=_CREATE)
async def create_task(
    body: TaskCreate, db: UserDb, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Makes a task of yours. With an `Idempotency-Key` you can safely send the request again."""
    task, new = await service.create_task(db, body, task_limit(request), idempotency_key=idempotency_key)
    status = HTTPStatus.CREATED if new else HTTPStatus.OK
    return _task_response(task, status, {"Location": public_path(request, f"/api/tasks/{task.id}")})


@router.get(
    "/changes",
    summary="List what has changed",
    response_model=TaskChanges,
    responses=_CHANGES,
    openapi_extra={"parameters": [_LAST_EVENT_ID]},
)
async def list_changes(db: UserDb, request: Request, since: Since = None) -> Response:
    """Returns your tasks that have changed since an earlier answer, and the ids of those that were deleted.

    Keep a copy by ids: put `tasks` into it, except where the copy has a higher `version`, remove `deleted`, then keep
    `next` and send it as `since` the next time. A task may come twice, and none is left out. On 410 ask without
    `since`, and put the answer in the place of the copy.

    With `Accept: text/event-stream` the answer goes on with what happens, until the access token expires: events with
    `tasks` and `deleted` as `data` and with `next` as `id`, to which you come back by `since` or `Last-Event-ID`.
    `event: end` says why it closes. This page would wait for the end: read it with `curl -N`, or with `fetch`.
    """
    if wants_events(request):
        return await follow(request)(db, request, since)
    return await _changes_response(await changes.read_changes(db, since))


async def _changes_response(found: changes.Changes) -> Response:
    tasks = LongArray(found.tasks, found.more_tasks, writer.members)
    deleted = LongArray(found.deleted, found.more_deleted, lambda ids: encode(ids)[1:-1])
    return await parts_response(b'{"tasks":', tasks, b',"deleted":', deleted, b',"next":%b}' % encode(found.next))


@router.get("/{task_id}", summary="Show a task", response_model=TaskRead, responses=_READ)
async def get_task(task_id: TaskId, db: UserDb, if_none_match: IfNoneMatch = None) -> Response:
    """Returns one of your tasks; its `ETag` can be sent back to notice changes."""
    task = await service.get_task(db, task_id)
    if is_unchanged(if_none_match, task.version):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(task.version)})
    return _task_response(task)


async def _update(task_id: TaskId, body: TaskUpdate, db: UserDb, condition: Condition) -> Response:
    """Changes the fields that you send and leaves the others as they are; send at least one.

    `completed` and `status` are one fact: setting either moves the other. Where they contradict each other, as in a
    whole task that is sent back with one of the two changed, the one that differs from what is stored counts; a
    `version` in such a body must be the stored one. PUT and PATCH do the same.
    """
    return _task_response(await service.update_task(db, task_id, body, condition=condition))


put_and_patch(
    router, "task", _update, patch_summary="Change some fields of a task", response_model=TaskRead, responses=_UPDATE
)


@router.patch("/{task_id}/toggle", summary="Toggle completion", response_model=TaskRead, responses=_UPDATE)
async def toggle_task(
    task_id: TaskId, db: UserDb, condition: Condition, body: TaskCompletion | None = None
) -> Response:
    """Marks a task completed, or pending again if it was completed.

    With `{"completed": true}` or `{"completed": false}` it gets that state, and one that has it already is not changed:
    send it so after a lost answer, and while offline. Without it, sending twice undoes what was done.
    """
    return _task_response(await service.tick_task(db, task_id, body, condition=condition))


@router.delete("/{task_id}", summary="Delete a task", status_code=HTTPStatus.NO_CONTENT, responses=_DELETE)
async def delete_task(task_id: TaskId, db: UserDb, condition: Condition) -> Response:
    """Deletes a task for good. After a lost answer, 404 says that it is done."""
    await service.delete_task(db, task_id, condition=condition)
    return Response(status_code=HTTPStatus.NO_CONTENT)  # FastAPI's own 204 would have a Content-Type


def _task_response(
    task: TaskRow, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    return json_response(writer.shape(task), status, {"ETag": etag(task.version), **(headers or {})})
