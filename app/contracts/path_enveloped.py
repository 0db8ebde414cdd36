"""`path-enveloped`: tasks below `/api/{user_id}`, everything in `{data, meta}`."""

import re
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict

from app.auth.dependencies import CurrentCaller
from app.contracts.contract import Contract, list_response, path_router, responses_as
from app.core.errors import Refused
from app.core.http.error_responses import FieldError
from app.core.logging import current_request_id
from app.tasks import service
from app.tasks.dependencies import IdempotencyKey, IfMatch, TaskId
from app.tasks.repository import TaskRow
from app.tasks.schemas import TaskCreate, TaskQuery, TaskUpdate


class EnvelopedMeta(BaseModel):
    request_id: str
    timestamp: datetime


class EnvelopedPage(BaseModel):
    limit: int | None
    offset: int
    next_cursor: str | None


class EnvelopedListMeta(EnvelopedMeta):
    count: int
    page: EnvelopedPage


class EnvelopedTask(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    completed: bool
    user_id: UUID


class EnvelopedTaskList(BaseModel):
    data: list[EnvelopedTask]
    meta: EnvelopedListMeta


class EnvelopedTaskAnswer(BaseModel):
    data: EnvelopedTask
    meta: EnvelopedMeta


class EnvelopedNothing(BaseModel):
    data: None
    meta: EnvelopedMeta


class EnvelopedError(BaseModel):
    code: str
    message: str
    errors: list[FieldError] | None = None


class EnvelopedRefusal(BaseModel):
    data: None
    meta: EnvelopedMeta
    error: EnvelopedError


router = path_router("path-enveloped", "/api/{user_id}/tasks")


def render(refused: Refused, problem: dict[str, Any]) -> dict[str, Any]:
    """Give a refusal in this shape."""
    errors = {"errors": problem["errors"]} if "errors" in problem else {}
    error = EnvelopedError(code=problem["code"], message=problem["detail"], **errors)
    meta = EnvelopedMeta(request_id=problem["request_id"], timestamp=refused.at)
    return EnvelopedRefusal(data=None, meta=meta, error=error).model_dump(mode="json", exclude_unset=True)


answers = responses_as(EnvelopedRefusal, render)


def _meta(timestamp: datetime) -> EnvelopedMeta:
    return EnvelopedMeta(request_id=current_request_id(), timestamp=timestamp)


def _one(task: TaskRow, timestamp: datetime) -> EnvelopedTaskAnswer:
    return EnvelopedTaskAnswer(data=EnvelopedTask.model_validate(task), meta=_meta(timestamp))


@router.get("", summary="List my tasks", response_model=EnvelopedTaskList, responses=answers.listing)
async def list_tasks(caller: CurrentCaller, query: Annotated[TaskQuery, Query()]) -> Response:
    """Gives your tasks, newest first; `meta.count` says how many there are in all."""
    page = await service.list_tasks(caller, query)
    where = EnvelopedPage(limit=query.limit, offset=query.offset, next_cursor=page.next_cursor)
    meta = partial(EnvelopedListMeta, **_meta(caller.now).model_dump(), page=where)
    return list_response(page, EnvelopedTask, '{"data":[', lambda n: f'],"meta":{meta(count=n).model_dump_json()}}}')


@router.post("", summary="Create a task", status_code=HTTPStatus.CREATED, responses=answers.new)
async def create_task(
    body: TaskCreate, caller: CurrentCaller, idempotency_key: IdempotencyKey = None
) -> EnvelopedTaskAnswer:
    """Makes a task of yours."""
    return _one((await service.create_task(caller, body, idempotency_key=idempotency_key)).task, caller.now)


@router.get("/{task_id}", summary="Show a task", responses=answers.one)
async def get_task(task_id: TaskId, caller: CurrentCaller) -> EnvelopedTaskAnswer:
    """Gives one of your tasks."""
    return _one(await service.get_task(caller, task_id), caller.now)


async def _update(
    task_id: TaskId, body: TaskUpdate, caller: CurrentCaller, versions: IfMatch = None
) -> EnvelopedTaskAnswer:
    """Changes the fields that you send and leaves the others as they are."""
    return _one(await service.update_task(caller, task_id, body, versions=versions), caller.now)


router.put("/{task_id}", name="update_task", summary="Change a task", responses=answers.changed)(_update)
router.patch("/{task_id}", name="patch_task", summary="Change a field", responses=answers.changed)(_update)


@router.patch("/{task_id}/complete", summary="Toggle completion", responses=answers.written)
async def toggle_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> EnvelopedTaskAnswer:
    """Marks a task completed, or pending again if it was completed."""
    return _one(await service.toggle_task(caller, task_id, versions=versions), caller.now)


@router.delete("/{task_id}", summary="Delete a task", responses=answers.written)
async def delete_task(task_id: TaskId, caller: CurrentCaller, versions: IfMatch = None) -> EnvelopedNothing:
    """Deletes a task for good."""
    await service.delete_task(caller, task_id, versions=versions)
    return EnvelopedNothing(data=None, meta=_meta(caller.now))


contract = Contract(
    "path-enveloped", router.routes, re.compile(r"/api/[^/]+/tasks(/|$)"), render, conflicts_with=frozenset({"path"})
)
