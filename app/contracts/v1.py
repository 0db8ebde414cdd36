"""`v1`: tasks below `/api/v1/{user_id}`, everything in `{success, data, message}`."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.auth.dependencies import UserDb
from app.contracts.contract import Contract, StrictPathRoute, document_errors, path_router, task_response
from app.core.errors import ValidationFailed
from app.core.fields import QueryFields
from app.core.http.json import LongArray, RowWriter, encode, instant, json_response, parts_response
from app.core.http.problems import ErrorContext
from app.tasks import service
from app.tasks.dependencies import Condition, IdempotencyKey, TaskId, task_limit
from app.tasks.models import Order, Priority, Status, TaskRow
from app.tasks.schemas import Digits, TaskCompletion, TaskCreate, TaskQuery, TaskUpdate


class V1Task(BaseModel):
    id: UUID
    title: str
    description: str | None
    status: Status
    priority: Priority
    completed: bool
    created_at: datetime
    updated_at: datetime


class V1OneTask(BaseModel):
    task: V1Task


class V1Pagination(BaseModel):
    total: int
    limit: int
    offset: int
    has_more: bool


class V1TaskList(BaseModel):
    tasks: list[V1Task]
    pagination: V1Pagination


class V1Answer(BaseModel):
    success: Literal[True] = True
    message: str


class V1TaskAnswer(V1Answer):
    data: V1OneTask


class V1TaskListAnswer(V1Answer):
    data: V1TaskList


class V1DeletedAnswer(V1Answer):
    data: dict[str, str] = {}


class ListQuery(QueryFields):
    """Which tasks, in which order, and which page."""

    limit: Annotated[int, Field(ge=1, le=100), Digits] = 20
    offset: Annotated[int, Field(ge=0, le=2**31 - 1), Digits] = 0
    status: Status | None = None
    sort: Literal["created_at", "updated_at", "priority"] = "created_at"
    order: Order = "desc"


class V1Refusal(BaseModel):
    """`details` has the time, the path, the method and, for a 422, every field's error."""

    success: Literal[False] = False
    error: str
    code: str
    details: dict[str, Any]


router = path_router("v1", "/api/v1/{user_id}/tasks", StrictPathRoute)
writer = RowWriter(V1Task, TaskRow)


def render(context: ErrorContext, problem: dict[str, Any]) -> dict[str, Any]:
    """Return an error in this shape."""
    details: dict[str, Any] = {"timestamp": instant(context.at), "path": context.path, "method": context.method}
    if "errors" in problem:
        details["errors"] = problem["errors"]
    return V1Refusal(error=problem["detail"], code=problem["code"], details=details).model_dump(mode="json")


errors = document_errors(V1Refusal, render, ValidationFailed)


_LIST_OPENING = b'{"success":true,"message":"Tasks retrieved successfully","data":{"tasks":'


def _one(task: TaskRow, message: str, status: int = 200) -> Response:
    return task_response(task, {"success": True, "message": message, "data": {"task": writer.shape(task)}}, status)


@router.get("", summary="List my tasks", response_model=V1TaskListAnswer, responses=errors.list)
async def list_tasks(db: UserDb, query: Annotated[ListQuery, Query()]) -> Response:
    """Returns a page of your tasks, 20 unless you ask for another number, with how many there are in all."""
    page = await service.list_tasks(db, TaskQuery(**query.model_dump()))
    where = {"limit": query.limit, "offset": query.offset, "has_more": page.next_cursor is not None}
    ending = b',"pagination":%b}}' % encode({"total": page.total, **where})
    return await parts_response(_LIST_OPENING, LongArray(page.tasks, None, writer.members), ending)


@router.post("", summary="Create a task", status_code=201, response_model=V1TaskAnswer, responses=errors.create)
async def create_task(
    body: TaskCreate, db: UserDb, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Makes a task of yours."""
    task, _ = await service.create_task(db, body, task_limit(request), idempotency_key=idempotency_key)
    return _one(task, "Task created successfully", 201)


@router.get("/{task_id}", summary="Show a task", response_model=V1TaskAnswer, responses=errors.read)
async def get_task(task_id: TaskId, db: UserDb) -> Response:
    """Returns one of your tasks."""
    return _one(await service.get_task(db, task_id), "Task retrieved successfully")


@router.put("/{task_id}", summary="Change a task", response_model=V1TaskAnswer, responses=errors.with_body)
async def update_task(task_id: TaskId, body: TaskUpdate, db: UserDb, condition: Condition) -> Response:
    """Changes what you send, at least one field."""
    return _one(await service.update_task(db, task_id, body, condition=condition), "Task updated successfully")


@router.delete("/{task_id}", summary="Delete a task", response_model=V1DeletedAnswer, responses=errors.no_body)
async def delete_task(task_id: TaskId, db: UserDb, condition: Condition) -> Response:
    """Deletes a task for good."""
    await service.delete_task(db, task_id, condition=condition)
    return json_response({"success": True, "message": "Task deleted successfully", "data": {}})


@router.patch(
    "/{task_id}/complete", summary="Toggle completion", response_model=V1TaskAnswer, responses=errors.with_body
)
async def toggle_task(
    task_id: TaskId, db: UserDb, condition: Condition, body: TaskCompletion | None = None
) -> Response:
    """Marks a task completed, or pending again if it was completed; with `completed` it gets that state."""
    return _one(await service.tick_task(db, task_id, body, condition=condition), "Task completion toggled successfully")


contract = Contract("v1", router.routes, re.compile(r"/api/v1(/|$)"), render)
