"""What the task routes take from a request besides its body."""

from collections.abc import Awaitable, Callable
from typing import Annotated, ClassVar
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from app.auth.dependencies import BearerRoute
from app.auth.user_database import UserDatabase
from app.core.fields import empty_is_none, path_id
from app.tasks.errors import LiveIsOff
from app.tasks.etags import Precondition, read_precondition
from app.tasks.limit import TaskLimit


class TaskRoute(BearerRoute):
    """A route of tasks, which scripts may use that have its scope, `tasks:read` or `tasks:write`."""

    resource: ClassVar[str | None] = "tasks"


TaskId = Annotated[UUID, BeforeValidator(path_id, json_schema_input_type=UUID), Path(description="The task's id.")]
# Several lines of one header are one list (RFC 9110 5.3): FastAPI hands all of them to a sequence.
_Tags = Annotated[list[str] | None, BeforeValidator(list, json_schema_input_type=str | None)]
IfNoneMatch = Annotated[
    _Tags,
    Header(alias="If-None-Match", description="Answer 304 if the task still has this `ETag`.", examples=['"1"']),
]


async def get_precondition(
    if_match: Annotated[
        _Tags,
        Header(alias="If-Match", description="Write only if the task still has this `ETag`.", examples=['"1"']),
    ] = None,
    if_none_match: Annotated[
        _Tags,
        Header(alias="If-None-Match", description="Write only if the task has not this `ETag`.", examples=['"1"']),
    ] = None,
) -> Precondition:
    """Return the versions that a write is meant for."""
    return read_precondition(if_match, if_none_match)


def task_limit(request: Request) -> TaskLimit:
    """Return how many tasks a user may have. No dependency: that takes 8 % of a request."""
    limit: TaskLimit = request.app.state.task_limit
    return limit


Follow = Callable[[UserDatabase, Request, str | None], Awaitable[Response]]
"""Answers with a stream of what changes."""


async def refuse_to_follow(db: UserDatabase, request: Request, since: str | None) -> Response:
    """Say that there are no streams. Raises: LiveIsOff."""
    raise LiveIsOff


def follow(request: Request) -> Follow:
    """Return what answers with a stream here."""
    made: Follow = request.app.state.follow
    return made


def wants_events(request: Request) -> bool:
    """Return whether a client asks for a stream: whoever takes JSON, too, gets that."""
    for name, value in request.scope["headers"]:
        if name == b"accept" and b"text/event-stream" in value.lower():
            return b"json" not in value.lower()
    return False


Condition = Annotated[Precondition, Depends(get_precondition)]
"""The versions that a write is meant for, by `If-Match` and `If-None-Match`."""
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Any text of your own. Sending it again gives the task it made, with 200, instead of a second one. "
        "The task's id is the UUID of version 5 of this text in the namespace of your user id.",
    ),
]
Since = Annotated[
    Annotated[str, Field(max_length=1000)] | None,
    BeforeValidator(empty_is_none),
    Query(description="`next` of an earlier answer; without it you get everything."),
]
