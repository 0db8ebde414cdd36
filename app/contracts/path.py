"""`path`: tasks below `/api/{user_id}`, bare objects and arrays, errors with `error` beside `detail`."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.auth.dependencies import UserDb
from app.contracts.contract import Contract, document_errors, path_router, task_response
from app.contracts.login import login_router
from app.core.http.error_responses import Problem
from app.core.http.json import LongArray, RowWriter, parts_response
from app.core.http.problems import ErrorContext
from app.core.http.routing import put_and_patch
from app.tasks import service
from app.tasks.dependencies import Condition, IdempotencyKey, TaskId, task_limit
from app.tasks.models import TaskRow
from app.tasks.schemas import TaskCompletion, TaskCreate, TaskQuery, TaskUpdate


class PathTask(BaseModel):
    id: UUID
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime
    user_id: UUID


class PathRefusal(Problem):
    """`error` names the kind, `detail` is the sentence."""

    error: str


router = path_router("path", "/api/{user_id}/tasks")
writer = RowWriter(PathTask, TaskRow)


def render(context: ErrorContext, problem: dict[str, Any]) -> dict[str, Any]:
    """Return an error in this shape."""
    return {"error": problem["title"], **problem}


errors = document_errors(PathRefusal, render)


@router.get("", summary="List my tasks", response_model=list[PathTask], responses=errors.list)
async def list_tasks(db: UserDb, query: Annotated[TaskQuery, Query()]) -> Response:
    """Returns your tasks, newest first; an empty array if there are none."""
    page = await service.list_tasks(db, query)
    return await parts_response(LongArray(page.tasks, page.more, writer.members))


@router.post("", summary="Create a task", status_code=201, response_model=PathTask, responses=errors.create)
async def create_task(
    body: TaskCreate, db: UserDb, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Makes a task of yours."""
    task, _ = await service.create_task(db, body, task_limit(request), idempotency_key=idempotency_key)
    return task_response(task, writer.shape(task), 201)


@router.get("/{task_id}", summary="Show a task", response_model=PathTask, responses=errors.read)
async def get_task(task_id: TaskId, db: UserDb) -> Response:
    """Returns one of your tasks."""
    task = await service.get_task(db, task_id)
    return task_response(task, writer.shape(task))


async def _update(task_id: TaskId, body: TaskUpdate, db: UserDb, condition: Condition) -> Response:
    """Changes the fields that you send and leaves the others as they are."""
    task = await service.update_task(db, task_id, body, condition=condition)
    return task_response(task, writer.shape(task))


put_and_patch(router, "task", _update, response_model=PathTask, responses=errors.with_body)


@router.patch("/{task_id}/complete", summary="Toggle completion", response_model=PathTask, responses=errors.with_body)
async def toggle_task(
    task_id: TaskId, db: UserDb, condition: Condition, body: TaskCompletion | None = None
) -> Response:
    """Marks a task completed, or pending again if it was completed; with `completed` it gets that state."""
    task = await service.tick_task(db, task_id, body, condition=condition)
    return task_response(task, writer.shape(task))


@router.delete("/{task_id}", summary="Delete a task", status_code=204, responses=errors.no_body)
async def delete_task(task_id: TaskId, db: UserDb, condition: Condition) -> Response:
    """Deletes a task for good."""
    await service.delete_task(db, task_id, condition=condition)
    return Response(status_code=204)


contract = Contract(
    "path",
    [*router.routes, *login_router("path", PathRefusal, render).routes],
    re.compile(r"/api/(auth/login|[^/]+/tasks)(/|$)"),
    render,
    conflicts_with=frozenset({"path-enveloped"}),
)
