"""`v1`: tasks below `/api/v1/{user_id}`, everything in `{success, data, message}`."""

import re
from http import HTTPStatus
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from app.contracts.contract import Contract, Own, StrictPathRoute, path_router, responses_as
from app.core.errors import Invalid
from app.tasks.dependencies import IfMatch, TaskId
from app.tasks.models import Order, Priority, Status
from app.tasks.repository import TaskRow
from app.tasks.schemas import Digits, TaskCreate, TaskQuery, TaskUpdate, Timestamp

DataT = TypeVar("DataT")


class Envelope(BaseModel, Generic[DataT]):
    success: Literal[True] = True
    data: DataT
    message: str


class Task(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    status: Status
    priority: Priority
    completed: bool
    created_at: Timestamp
    updated_at: Timestamp


class OneTask(BaseModel):
    task: Task


class Pagination(BaseModel):
    total: int
    limit: int
    offset: int
    has_more: bool


class TaskList(BaseModel):
    tasks: list[Task]
    pagination: Pagination


class ListQuery(BaseModel):
    limit: Annotated[int, Field(ge=1, le=100), Digits] = 20
    offset: Annotated[int, Field(ge=0, le=2**31 - 1), Digits] = 0
    status: Status | None = None
    sort: Literal["created_at", "updated_at", "priority"] = "created_at"
    order: Order = "desc"


class Refusal(BaseModel):
    """`details` has the moment, the path, the method and, for a 422, every field's error."""

    success: Literal[False] = False
    error: str
    code: str
    details: dict[str, Any]


router = path_router("v1", "/api/v1/{user_id}/tasks", StrictPathRoute)

answers = responses_as(Refusal, Invalid)


def _one(task: TaskRow, message: str) -> Envelope[OneTask]:
    return Envelope(data=OneTask(task=Task.model_validate(task)), message=message)


@router.get("", summary="List my tasks", responses=answers.listing)
async def list_tasks(own: Own, query: Annotated[ListQuery, Query()]) -> Envelope[TaskList]:
    """Gives a page of your tasks, 20 unless you ask for another number, with how many there are in all."""
    page = await own.list(TaskQuery(**query.model_dump()))
    pagination = Pagination(
        total=page.total or 0, limit=query.limit, offset=query.offset, has_more=page.next_cursor is not None
    )
    shown = [Task.model_validate(task) for task in page.tasks]
    return Envelope(data=TaskList(tasks=shown, pagination=pagination), message="Tasks retrieved successfully")


@router.post(
    "",
    summary="Create a task",
    status_code=HTTPStatus.CREATED,
    responses=answers.new,
)
async def create_task(body: TaskCreate, own: Own) -> Envelope[OneTask]:
    """Makes a task of yours."""
    return _one(await own.create(body), "Task created successfully")


@router.get("/{task_id}", summary="Show a task", responses=answers.one)
async def get_task(task_id: TaskId, own: Own) -> Envelope[OneTask]:
    """Gives one of your tasks."""
    return _one(await own.get(task_id), "Task retrieved successfully")


@router.put("/{task_id}", summary="Change a task", responses=answers.changed)
async def update_task(task_id: TaskId, body: TaskUpdate, own: Own, if_match: IfMatch = None) -> Envelope[OneTask]:
    """Changes what you send, at least one field."""
    return _one(await own.update(task_id, body, if_match), "Task updated successfully")


@router.delete("/{task_id}", summary="Delete a task", responses=answers.one)
async def delete_task(task_id: TaskId, own: Own) -> Envelope[dict[str, str]]:
    """Deletes a task for good."""
    await own.delete(task_id)
    return Envelope(data={}, message="Task deleted successfully")


@router.patch("/{task_id}/complete", summary="Toggle completion", responses=answers.one)
async def toggle_task(task_id: TaskId, own: Own) -> Envelope[OneTask]:
    """Marks a task completed, or pending again if it was completed."""
    return _one(await own.toggle(task_id), "Task completion toggled successfully")


def render(request: Request, problem: dict[str, Any]) -> dict[str, Any]:
    """Give a refusal in this shape."""
    details = {"timestamp": request.app.state.clock(), "path": request.url.path, "method": request.method}
    if "errors" in problem:
        details["errors"] = problem["errors"]
    return Refusal(error=problem["detail"], code=problem["code"], details=details).model_dump(mode="json")


contract = Contract("v1", router.routes, re.compile(r"/api/v1(/|$)"), render)
