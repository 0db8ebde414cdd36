"""`path-enveloped`: tasks below `/api/{user_id}`, everything in `{data, meta}`."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.auth.dependencies import UserDb
from app.contracts.contract import Contract, document_errors, path_router, task_response
from app.core.http.error_responses import FieldError
from app.core.http.json import LongArray, RowWriter, encode, instant, json_response, parts_response
from app.core.http.problems import ErrorContext
from app.core.http.routing import put_and_patch
from app.core.logging import current_request_id
from app.tasks import service
from app.tasks.dependencies import Condition, IdempotencyKey, TaskId, task_limit
from app.tasks.models import TaskRow
from app.tasks.schemas import TaskCompletion, TaskCreate, TaskQuery, TaskUpdate


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
    data: None = None  # always sent; not required, because FastAPI 0.165 leaves what is null out of examples
    meta: EnvelopedMeta
    error: EnvelopedError


router = path_router("path-enveloped", "/api/{user_id}/tasks")
writer = RowWriter(EnvelopedTask, TaskRow)


def render(context: ErrorContext, problem: dict[str, Any]) -> dict[str, Any]:
    """Return an error in this shape."""
    of_fields = {"errors": problem["errors"]} if "errors" in problem else {}
    error = EnvelopedError(code=problem["code"], message=problem["detail"], **of_fields)
    meta = EnvelopedMeta(request_id=problem["request_id"], timestamp=context.at)
    refusal = EnvelopedRefusal(data=None, meta=meta, error=error).model_dump(mode="json", exclude_unset=True)
    refusal["meta"]["timestamp"] = instant(context.at)
    return refusal


errors = document_errors(EnvelopedRefusal, render)


def _meta(db: UserDb) -> dict[str, Any]:
    return {"request_id": current_request_id(), "timestamp": db.principal.now}


def _one(task: TaskRow, db: UserDb, status: int = 200) -> Response:
    return task_response(task, {"data": writer.shape(task), "meta": _meta(db)}, status)


@router.get("", summary="List my tasks", response_model=EnvelopedTaskList, responses=errors.list)
async def list_tasks(db: UserDb, query: Annotated[TaskQuery, Query()]) -> Response:
    """Returns your tasks, newest first; `meta.count` says how many there are in all."""
    page = await service.list_tasks(db, query)
    where = {"limit": query.limit, "offset": query.offset, "next_cursor": page.next_cursor}

    def ending(written: int) -> bytes:
        count = written if page.total is None else page.total
        return b',"meta":%b}' % encode({**_meta(db), "count": count, "page": where})

    return await parts_response(b'{"data":', LongArray(page.tasks, page.more, writer.members), ending)


@router.post("", summary="Create a task", status_code=201, response_model=EnvelopedTaskAnswer, responses=errors.create)
async def create_task(
    body: TaskCreate, db: UserDb, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Makes a task of yours."""
    task, _ = await service.create_task(db, body, task_limit(request), idempotency_key=idempotency_key)
    return _one(task, db, 201)


@router.get("/{task_id}", summary="Show a task", response_model=EnvelopedTaskAnswer, responses=errors.read)
async def get_task(task_id: TaskId, db: UserDb) -> Response:
    """Returns one of your tasks."""
    return _one(await service.get_task(db, task_id), db)


async def _update(task_id: TaskId, body: TaskUpdate, db: UserDb, condition: Condition) -> Response:
    """Changes the fields that you send and leaves the others as they are."""
    return _one(await service.update_task(db, task_id, body, condition=condition), db)


put_and_patch(router, "task", _update, response_model=EnvelopedTaskAnswer, responses=errors.with_body)


@router.patch(
    "/{task_id}/complete", summary="Toggle completion", response_model=EnvelopedTaskAnswer, responses=errors.with_body
)
async def toggle_task(
    task_id: TaskId, db: UserDb, condition: Condition, body: TaskCompletion | None = None
) -> Response:
    """Marks a task completed, or pending again if it was completed; with `completed` it gets that state."""
    return _one(await service.tick_task(db, task_id, body, condition=condition), db)


@router.delete("/{task_id}", summary="Delete a task", response_model=EnvelopedNothing, responses=errors.no_body)
async def delete_task(task_id: TaskId, db: UserDb, condition: Condition) -> Response:
    """Deletes a task for good."""
    await service.delete_task(db, task_id, condition=condition)
    return json_response({"data": None, "meta": _meta(db)})


contract = Contract(
    "path-enveloped", router.routes, re.compile(r"/api/[^/]+/tasks(/|$)"), render, conflicts_with=frozenset({"path"})
)
