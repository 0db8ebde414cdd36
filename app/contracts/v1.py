"""`v1`: tasks below `/api/v1/{user_id}`, everything in `{success, data, message}`."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from app.auth.dependencies import CurrentCaller
from app.contracts.contract import Contract, StrictPathRoute, path_router, responses_as
from app.core.errors import Invalid, Refused
from app.tasks import service
from app.tasks.dependencies import IfMatch, TaskId
from app.tasks.models import Order, Priority, Status
from app.tasks.repository import TaskRow
from app.tasks.schemas import Digits, TaskCreate, TaskQuery, TaskUpdate, Timestamp


class V1Task(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    status: Status
    priority: Priority
    completed: bool
    created_at: Timestamp
    updated_at: Timestamp


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


class ListQuery(BaseModel):
    limit: Annotated[int, Field(ge=1, le=100), Digits] = 20
    offset: Annotated[int, Field(ge=0, le=2**31 - 1), Digits] = 0
    status: Status | None = None
    sort: Literal["created_at", "updated_at", "priority"] = "created_at"
    order: Order = "desc"


class V1Refusal(BaseModel):
    """`details` has the moment, the path, the method and, for a 422, every field's error."""

    success: Literal[False] = False
    error: str
    code: str
    details: dict[str, Any]


router = path_router("v1", "/api/v1/{user_id}/tasks", StrictPathRoute)


def render(refused: Refused, problem: dict[str, Any]) -> dict[str, Any]:
    """Give a refusal in this shape."""
    details: dict[str, Any] = {"timestamp": refused.at, "path": refused.path, "method": refused.method}
    if "errors" in problem:
        details["errors"] = problem["errors"]
    return V1Refusal(error=problem["detail"], code=problem["code"], details=details).model_dump(mode="json")


answers = responses_as(V1Refusal, render, Invalid)


def _one(task: TaskRow, message: str) -> V1TaskAnswer:
    return V1TaskAnswer(data=V1OneTask(task=V1Task.model_validate(task)), message=message)


@router.get("", summary="List my tasks", responses=answers.listing)
async def list_tasks(caller: CurrentCaller, query: Annotated[ListQuery, Query()]) -> V1TaskListAnswer:
    """Gives a page of your tasks, 20 unless you ask for another number, with how many there are in all."""
    page = await service.list_tasks(caller, TaskQuery(**query.model_dump()))
    pagination = V1Pagination(
        total=page.total or 0, limit=query.limit, offset=query.offset, has_more=page.next_cursor is not None
    )
    shown = [V1Task.model_validate(task) for task in page.tasks]
    return V1TaskListAnswer(data=V1TaskList(tasks=shown, pagination=pagination), message="Tasks retrieved successfully")


@router.post("", summary="Create a task", status_code=HTTPStatus.CREATED, responses=answers.new)
async def create_task(body: TaskCreate, caller: CurrentCaller) -> V1TaskAnswer:
    """Makes a task of yours."""
    return _one((await service.create_task(caller, body)).task, "Task created successfully")


@router.get("/{task_id}", summary="Show a task", responses=answers.one)
async def get_task(task_id: TaskId, caller: CurrentCaller) -> V1TaskAnswer:
    """Gives one of your tasks."""
    return _one(await service.get_task(caller, task_id), "Task retrieved successfully")


@router.put("/{task_id}", summary="Change a task", responses=answers.changed)
async def update_task(
    task_id: TaskId, body: TaskUpdate, caller: CurrentCaller, versions: IfMatch = None
) -> V1TaskAnswer:
    """Changes what you send, at least one field."""
    return _one(await service.update_task(caller, task_id, body, versions=versions), "Task updated successfully")


@router.delete("/{task_id}", summary="Delete a task", responses=answers.written)
async def delete_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> V1DeletedAnswer:
    """Deletes a task for good."""
    await service.delete_task(caller, task_id, versions=versions)
    return V1DeletedAnswer(message="Task deleted successfully")


@router.patch("/{task_id}/complete", summary="Toggle completion", responses=answers.written)
async def toggle_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> V1TaskAnswer:
    """Marks a task completed, or pending again if it was completed."""
    return _one(await service.toggle_task(caller, task_id, versions=versions), "Task completion toggled successfully")


contract = Contract("v1", router.routes, re.compile(r"/api/v1(/|$)"), render)
