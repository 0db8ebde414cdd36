"""The bodies and the query of the task routes. A list of rows is written by `core/http/json.py`, not by these."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self
from uuid import UUID

from pydantic import MISSING, AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.core.fields import NO_NUL, VISIBLE, QueryFields, storable, visible
from app.tasks.models import DESCRIPTION_LENGTH, TITLE_LENGTH, Order, Priority, Sort, Status

MAX_LIMIT = 100
MAX_OFFSET = 2**31 - 1
MAX_VERSION = 2**31 - 1

Title = Annotated[
    str,
    Field(
        min_length=1,
        max_length=TITLE_LENGTH,
        description="1 to 200 characters, kept as they are; not blank.",
        json_schema_extra={"pattern": VISIBLE},
    ),
    AfterValidator(storable),
    AfterValidator(visible),
]
Description = Annotated[
    str, Field(max_length=DESCRIPTION_LENGTH, json_schema_extra={"pattern": NO_NUL}), AfterValidator(storable)
]


def _digits(value: Any) -> Any:
    """Take plain digits only: Python's int() also takes 1_0, +5, 5.0 and digits of other scripts."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,10}", value, re.ASCII):
        raise PydanticCustomError("own_int_parsing", "must be a whole number")
    return value


def _true_or_false(value: Any) -> Any:
    if isinstance(value, str) and value not in ("true", "false"):
        raise PydanticCustomError("own_bool_parsing", "must be true or false")
    return value


Digits = BeforeValidator(_digits)
Flag = Annotated[bool, BeforeValidator(_true_or_false)]


# Documents what the validator of a new task rejects. Written as `not`, which generators of clients leave out: from
# `anyOf` they make a type in which no field is required.
_CONTRADICTIONS: list[Any] = [
    {"required": ["completed", "status"], "properties": {"completed": {"const": completed}, "status": {"enum": others}}}
    for completed, others in ((True, ["pending", "in_progress"]), (False, ["completed"]))
]


def _document_update(schema: dict[str, Any]) -> None:
    """Document an example, and that at least one field is needed."""
    schema["example"] = {"title": "Water all the plants", "status": "in_progress"}
    # Not `False`, which openapi-python-client 0.29 cannot read.
    schema["not"] = {"properties": {name: {"not": {}} for name in schema["properties"] if name != "version"}}


class _TaskBody(BaseModel):
    """What can be written of a task. `completed` and `status` are one fact, said in two ways."""

    model_config = ConfigDict(strict=True)

    if TYPE_CHECKING:  # declared below, in the order in which they are documented
        status: Status | MISSING
        completed: bool | MISSING

    @property
    def contradicts_itself(self) -> bool:
        """Return whether the two say different things."""
        return MISSING not in (self.status, self.completed) and self.completed != (self.status == "completed")

    def values(self) -> dict[str, Any]:
        """Return the fields to write, with `completed` expressed as a status."""
        values = self.model_dump(exclude={"completed", "version"})
        return {"status": "completed", **values} if self.completed is True else values


CONTRADICTION = {
    "field": "body",
    "message": "has a completed that contradicts its status",
    "code": "contradiction",
}
"""The error of a body in which `completed` and `status` say different things and nothing tells which is meant."""


class TaskCreate(_TaskBody):
    """A new task. `completed: true` is another way to say `status: completed`. Source: FR-015, FR-026."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"title": "Water the plants", "description": "The fern first", "priority": "high"},
            "not": {"anyOf": _CONTRADICTIONS},
        },
    )

    title: Title
    description: Description | None = None
    status: Status | MISSING = MISSING
    priority: Priority = "medium"
    completed: bool | MISSING = MISSING

    @model_validator(mode="after")
    def _is_one_fact(self) -> Self:
        if self.contradicts_itself:
            raise PydanticCustomError("own_contradiction", CONTRADICTION["message"])
        return self

    def values(self) -> dict[str, Any]:
        """Return the new task's fields."""
        return {"status": "pending", **super().values()}


def _version_read(value: Any) -> Any:
    """Return a version that a task can have, 0 for another number; anything else counts as not sent."""
    if type(value) is not int:
        return MISSING
    return value if 0 < value <= MAX_VERSION else 0


class Contradiction(NamedTuple):
    """A `completed` that contradicts the `status` beside it, and the version that they were read with, if known."""

    completed: bool
    status: Status
    version_read: int | None

    def is_decided_by(self, stored: Status) -> bool:
        """Return whether one of the two is as it is stored, so that the other one is what changes."""
        return self.status == stored or self.completed == (stored == "completed")


class TaskUpdate(_TaskBody):
    """What is to change; what is not sent stays as it is. Source: FR-020."""

    model_config = ConfigDict(json_schema_extra=_document_update)

    title: Title | MISSING = MISSING
    description: Description | None | MISSING = MISSING
    status: Status | MISSING = MISSING
    priority: Priority | MISSING = MISSING
    completed: bool | MISSING = MISSING
    version: Annotated[
        int | MISSING,
        BeforeValidator(_version_read),
        Field(description="Of a whole task that is sent back: where `completed` contradicts `status`, it must be its."),
    ] = MISSING

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set - {"version"}:
            raise PydanticCustomError("own_empty_update", "must have at least one field to change")
        return self

    @property
    def reopens(self) -> bool:
        """Return whether a completed task becomes pending, and any other stays as it is."""
        return self.completed is False and self.status is MISSING

    @property
    def contradiction(self) -> Contradiction | None:
        """Return what only the stored task can decide: the one of the two that differs from it counts."""
        if not self.contradicts_itself:
            return None
        version = None if self.version is MISSING else self.version
        return Contradiction(bool(self.completed), self.status, version)  # type: ignore[arg-type]  # both were sent


class TaskCompletion(BaseModel):
    """The state that a task is to have. Without `completed` it gets the other one. Source: FR-021."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"completed": True}})

    completed: bool | MISSING = MISSING


class TaskRead(BaseModel):
    """A task. `version` grows by one at every change."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0b9e9f0e-6c1f-4d5b-9f2a-6f8f2f6f3f61",
                "user_id": "9b2d8b1e-3a53-4c3f-8a6e-0f1f0c7f2a10",
                "title": "Water the plants",
                "description": "The fern first",
                "completed": False,
                "status": "pending",
                "priority": "high",
                "version": 1,
                "created_at": "2026-01-07T10:00:00.123456Z",
                "updated_at": "2026-01-07T10:00:00.123456Z",
            }
        },
    )

    id: UUID
    user_id: UUID
    title: str
    description: str | None
    completed: bool
    status: Status
    priority: Priority
    version: int
    created_at: datetime
    updated_at: datetime


class TaskChanges(BaseModel):
    """What has changed: tasks as they are now, ids of those that were deleted, and what to send as `since` next."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "tasks": [TaskRead.model_json_schema()["example"]],
                "deleted": ["3f0c6f6e-1e0b-4c39-9d0e-2f3f3d9f4a77"],
                "next": "WyI5YjJkOGIxZS0zYTUzLTRjM2YtOGE2ZS0wZjFmMGM3ZjJhMTAiLC4uLl0=",
            }
        }
    )

    tasks: list[TaskRead]
    deleted: list[UUID]
    next: str


class TaskQuery(QueryFields):
    """Which tasks, in which order, and how many at a time."""

    completed: Annotated[Flag | None, Field(description="Only completed tasks, or only the others.")] = None
    status: Annotated[Status | None, Field(description="Only tasks with this status.")] = None
    priority: Annotated[Priority | None, Field(description="Only tasks with this priority.")] = None
    q: Annotated[
        str | None,
        Field(
            max_length=TITLE_LENGTH,
            description="Only tasks whose title contains this, in any case and any canonically equal spelling. "
            "No other name is read: with `search` everything comes.",
            json_schema_extra={"pattern": NO_NUL},
        ),
        AfterValidator(lambda text: text and storable(text)),
    ] = None
    sort: Annotated[
        Sort, Field(description="What to sort by; priority goes by rank, title without regard to case.")
    ] = "created_at"
    order: Annotated[Order, Field(description="Newest, highest or last first with desc.")] = "desc"
    limit: Annotated[
        Annotated[int, Field(ge=1, le=MAX_LIMIT), Digits] | None,
        Field(description="At most so many; without it the whole list."),
    ] = None
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Leave out so many."), Digits] = 0
    cursor: Annotated[
        str | None, Field(max_length=4000, description="Go on where a page ended: from its `Link: rel=next`.")
    ] = None
