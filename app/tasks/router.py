"""`/api/tasks`: the caller's own tasks. The user comes from the access token and nowhere else."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from app.auth.dependencies import BearerRoute, CurrentUser
from app.auth.errors import InvalidToken, NotAuthenticated
from app.core.errors import COMMON_REFUSALS, InternalError, Invalid, ServiceUnavailable, refusals
from app.core.routing import router as make_router
from app.tasks import service
from app.tasks.conditions import etag, is_unchanged, versions_to_match
from app.tasks.dependencies import IdempotencyKey, IfMatch, IfNoneMatch, Now, TaskId, Tasks
from app.tasks.errors import TaskChanged, TaskNotFound
from app.tasks.repository import TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskRead, TaskUpdate

router = make_router(prefix="/api/tasks", tag="tasks", route_class=BearerRoute)

_ALWAYS = (NotAuthenticated, InvalidToken, InternalError, ServiceUnavailable)
_LIST = refusals(*_ALWAYS, Invalid)
_CREATE = refusals(*_ALWAYS, *COMMON_REFUSALS)
_READ = refusals(*_ALWAYS, TaskNotFound)
_WRITE = refusals(*_ALWAYS, TaskNotFound, TaskChanged)
_UPDATE = refusals(*_ALWAYS, *COMMON_REFUSALS, TaskNotFound, TaskChanged)


@router.get("", summary="List my tasks", response_model=list[TaskRead], responses=_LIST)
async def list_tasks(
    user: CurrentUser, tasks: Tasks, request: Request, response: Response, query: Annotated[TaskQuery, Query()]
) -> object:
    """Gives your tasks, newest first, as an array; an empty one if there are none.

    With `limit`, `X-Total-Count` says how many there are in all, and `Link: rel="next"` leads to the next page.
    """
    page = await service.list_tasks(tasks, user.id, query)
    if page.total is not None:
        response.headers["X-Total-Count"] = str(page.total)
    if page.next_cursor:
        parameters = {**request.query_params, "cursor": page.next_cursor}
        parameters.pop("offset", None)
        response.headers["Link"] = f'<{request.scope["path"]}?{urlencode(parameters)}>; rel="next"'
    return page.tasks


@router.post(
    "",
    summary="Create a task",
    status_code=HTTPStatus.CREATED,
    response_model=TaskRead,
    responses=_CREATE | {200: {"model": TaskRead, "description": "The task that this `Idempotency-Key` made before."}},
)
async def create_task(
    body: TaskCreate,
    user: CurrentUser,
    tasks: Tasks,
    now: Now,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> TaskRow:
    """Makes a task of yours. With an `Idempotency-Key` you can safely send the request again."""
    task, new = await service.create_task(tasks, now, user.id, body, idempotency_key=idempotency_key)
    response.status_code = HTTPStatus.CREATED if new else HTTPStatus.OK
    response.headers["Location"] = f"/api/tasks/{task.id}"
    return _tagged(task, response)


@router.get(
    "/{task_id}",
    summary="Show a task",
    response_model=TaskRead,
    responses=_READ | {304: {"description": "You have the current version already."}},
)
async def get_task(
    task_id: TaskId, user: CurrentUser, tasks: Tasks, response: Response, if_none_match: IfNoneMatch = None
) -> object:
    """Gives one of your tasks; its `ETag` can be sent back to notice changes."""
    task = await service.get_task(tasks, user.id, task_id)
    if is_unchanged(if_none_match, task.version):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag(task.version)})
    return _tagged(task, response)


async def _update(
    task_id: TaskId,
    body: TaskUpdate,
    user: CurrentUser,
    tasks: Tasks,
    now: Now,
    response: Response,
    if_match: IfMatch = None,
) -> TaskRow:
    """Changes the fields that you send and leaves the others as they are; send at least one.

    `completed` and `status` are one fact: setting either moves the other. PUT and PATCH do the same.
    """
    versions = versions_to_match(if_match)
    return _tagged(await service.update_task(tasks, now, user.id, task_id, body, versions=versions), response)


router.put("/{task_id}", name="update_task", summary="Change a task", response_model=TaskRead, responses=_UPDATE)(
    _update
)
router.patch(
    "/{task_id}", name="patch_task", summary="Change some fields of a task", response_model=TaskRead, responses=_UPDATE
)(_update)


@router.patch("/{task_id}/toggle", summary="Toggle completion", response_model=TaskRead, responses=_WRITE)
async def toggle_task(
    task_id: TaskId, user: CurrentUser, tasks: Tasks, now: Now, response: Response, if_match: IfMatch = None
) -> TaskRow:
    """Marks a task completed, or pending again if it was completed."""
    versions = versions_to_match(if_match)
    return _tagged(await service.toggle_task(tasks, now, user.id, task_id, versions=versions), response)


@router.delete("/{task_id}", summary="Delete a task", status_code=HTTPStatus.NO_CONTENT, responses=_WRITE)
async def delete_task(task_id: TaskId, user: CurrentUser, tasks: Tasks, if_match: IfMatch = None) -> Response:
    """Deletes a task for good."""
    await service.delete_task(tasks, user.id, task_id, versions=versions_to_match(if_match))
    return Response(status_code=HTTPStatus.NO_CONTENT)  # FastAPI's own 204 would have a Content-Type


def _tagged(task: TaskRow, response: Response) -> TaskRow:
    response.headers["ETag"] = etag(task.version)
    return task
