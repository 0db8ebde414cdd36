"""`path-enveloped`: tasks below `/api/{user_id}`, everything in `{data, meta}`."""

import re
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict

from app.contracts.contract import Contract, Own, path_router, responses_as
from app.core.errors import FieldError
from app.core.logging import current_request_id
from app.tasks.dependencies import IdempotencyKey, IfMatch, TaskId
from app.tasks.repository import TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskUpdate

DataT = TypeVar("DataT")


class Meta(BaseModel):
    request_id: str
    timestamp: datetime


class Page(BaseModel):
    limit: int | None
    offset: int
    next_cursor: str | None


class ListMeta(Meta):
    count: int
    page: Page


class Envelope(BaseModel, Generic[DataT]):
    data: DataT
    meta: Meta


class Task(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    completed: bool
    user_id: UUID


class TaskList(BaseModel):
    data: list[Task]
    meta: ListMeta


class Error(BaseModel):
    code: str
    message: str
    errors: list[FieldError] | None = None


class Refusal(BaseModel):
    data: None
    meta: Meta
    error: Error


router = path_router("path-enveloped", "/api/{user_id}/tasks")

answers = responses_as(Refusal)


def _meta(timestamp: datetime) -> Meta:
    return Meta(request_id=current_request_id(), timestamp=timestamp)


def _one(task: TaskRow, timestamp: datetime) -> Envelope[Task]:
    return Envelope(data=Task.model_validate(task), meta=_meta(timestamp))


@router.get("", summary="List my tasks", responses=answers.listing)
async def list_tasks(own: Own, query: Annotated[TaskQuery, Query()]) -> TaskList:
    """Gives your tasks, newest first; `meta.count` says how many there are in all."""
    page = await own.list(query)
    shown = [Task.model_validate(task) for task in page.tasks]
    count = len(shown) if page.total is None else page.total
    where = Page(limit=query.limit, offset=query.offset, next_cursor=page.next_cursor)
    return TaskList(data=shown, meta=ListMeta(**_meta(own.now()).model_dump(), count=count, page=where))


@router.post(
    "",
    summary="Create a task",
    status_code=HTTPStatus.CREATED,
    responses=answers.new,
)
async def create_task(body: TaskCreate, own: Own, idempotency_key: IdempotencyKey = None) -> Envelope[Task]:
    """Makes a task of yours."""
    return _one(await own.create(body, idempotency_key), own.now())


@router.get("/{task_id}", summary="Show a task", responses=answers.one)
async def get_task(task_id: TaskId, own: Own) -> Envelope[Task]:
    """Gives one of your tasks."""
    return _one(await own.get(task_id), own.now())


async def _update(task_id: TaskId, body: TaskUpdate, own: Own, if_match: IfMatch = None) -> Envelope[Task]:
    """Changes the fields that you send and leaves the others as they are."""
    return _one(await own.update(task_id, body, if_match), own.now())


router.put("/{task_id}", name="update_task", summary="Change a task", responses=answers.changed)(_update)
router.patch("/{task_id}", name="patch_task", summary="Change a field", responses=answers.changed)(_update)


@router.patch("/{task_id}/complete", summary="Toggle completion", responses=answers.one)
async def toggle_task(task_id: TaskId, own: Own) -> Envelope[Task]:
    """Marks a task completed, or pending again if it was completed."""
    return _one(await own.toggle(task_id), own.now())


@router.delete("/{task_id}", summary="Delete a task", responses=answers.one)
async def delete_task(task_id: TaskId, own: Own) -> Envelope[None]:
    """Deletes a task for good."""
    await own.delete(task_id)
    return Envelope(data=None, meta=_meta(own.now()))


def render(request: Request, problem: dict[str, Any]) -> dict[str, Any]:
    """Give a refusal in this shape."""
    error = Error(code=problem["code"], message=problem["detail"], errors=problem.get("errors"))
    refusal = Refusal(data=None, meta=_meta(request.app.state.clock()), error=error)
    return refusal.model_dump(mode="json", exclude={"error": {"errors"}} if error.errors is None else None)


contract = Contract(
    "path-enveloped", router.routes, re.compile(r"/api/[^/]+/tasks(/|$)"), render, excludes=frozenset({"path"})
)
