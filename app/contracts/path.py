"""`path`: tasks below `/api/{user_id}`, bare objects and arrays, errors with `error` beside `detail`."""

import re
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict

from app.auth.dependencies import CurrentCaller
from app.contracts.contract import Contract, list_response, path_router, responses_as
from app.contracts.login import login_router
from app.core.errors import Refused
from app.core.http.error_responses import Problem
from app.tasks import service
from app.tasks.dependencies import IdempotencyKey, IfMatch, TaskId
from app.tasks.repository import TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskUpdate, Timestamp


class PathTask(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    completed: bool
    created_at: Timestamp
    updated_at: Timestamp
    user_id: UUID


class PathRefusal(Problem):
    """`error` names the kind, `detail` is the sentence."""

    error: str


router = path_router("path", "/api/{user_id}/tasks")


def render(refused: Refused, problem: dict[str, Any]) -> dict[str, Any]:
    """Give a refusal in this shape."""
    return {"error": problem["title"], **problem}


answers = responses_as(PathRefusal, render)


@router.get("", summary="List my tasks", response_model=list[PathTask], responses=answers.listing)
async def list_tasks(caller: CurrentCaller, query: Annotated[TaskQuery, Query()]) -> Response:
    """Gives your tasks, newest first; an empty array if there are none."""
    return list_response(await service.list_tasks(caller, query), PathTask, "[", lambda count: "]")


@router.post(
    "",
    summary="Create a task",
    status_code=HTTPStatus.CREATED,
    response_model=PathTask,
    responses=answers.new,
)
async def create_task(body: TaskCreate, caller: CurrentCaller, idempotency_key: IdempotencyKey = None) -> TaskRow:
    """Makes a task of yours."""
    return (await service.create_task(caller, body, idempotency_key=idempotency_key)).task


@router.get("/{task_id}", summary="Show a task", response_model=PathTask, responses=answers.one)
async def get_task(task_id: TaskId, caller: CurrentCaller) -> TaskRow:
    """Gives one of your tasks."""
    return await service.get_task(caller, task_id)


async def _update(task_id: TaskId, body: TaskUpdate, caller: CurrentCaller, versions: IfMatch = None) -> TaskRow:
    """Changes the fields that you send and leaves the others as they are."""
    return await service.update_task(caller, task_id, body, versions=versions)


router.put(
    "/{task_id}", name="update_task", summary="Change a task", response_model=PathTask, responses=answers.changed
)(_update)
router.patch(
    "/{task_id}", name="patch_task", summary="Change a field", response_model=PathTask, responses=answers.changed
)(_update)


@router.patch("/{task_id}/complete", summary="Toggle completion", response_model=PathTask, responses=answers.written)
async def toggle_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> TaskRow:
    """Marks a task completed, or pending again if it was completed."""
    return await service.toggle_task(caller, task_id, versions=versions)


@router.delete("/{task_id}", summary="Delete a task", status_code=HTTPStatus.NO_CONTENT, responses=answers.written)
async def delete_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> Response:
    """Deletes a task for good."""
    await service.delete_task(caller, task_id, versions=versions)
    return Response(status_code=HTTPStatus.NO_CONTENT)


contract = Contract(
    "path",
    [*router.routes, *login_router(PathRefusal, render).routes],
    re.compile(r"/api/(auth/login|[^/]+/tasks)(/|$)"),
    render,
    conflicts_with=frozenset({"path-enveloped"}),
)
