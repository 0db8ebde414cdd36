"""Brings a local copy and the server together: first what the server has, then what waits, in order."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from auth_tasks_client.changes import Change, Task
from auth_tasks_client.errors import ApiError, OtherAccount
from auth_tasks_client.local_copy import LocalCopy

CHANGED = "The task has been changed elsewhere since."
DELETED = "The task has been deleted elsewhere."
_TRIES = 10
_COME_AGAIN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

Send = Callable[..., httpx.Response]
"""`send(method, path, **options)`, which raises ApiError, SignedOut and httpx.TransportError."""


@dataclass(frozen=True, slots=True)
class Synchronised:
    """How many changes were sent and taken, how many were refused, and how many tasks the server told of."""

    sent: int
    refused: int
    received: int


def check_owner(copy: LocalCopy, origin: str, user_id: str | None) -> None:
    """Raise OtherAccount if the copy is of another server or account, as far as it is known who is signed in.

    One that was made by 1.0 does not know its server.
    """
    if copy.known("origin") not in (None, origin):
        raise OtherAccount("The copy on this device is of another server.")
    if user_id and copy.known("user_id") not in (None, user_id):
        raise OtherAccount("The copy on this device is of another account.")


def synchronise(copy: LocalCopy, user_id: str, origin: str, send: Send) -> Synchronised:
    """Take what has changed on the server, send what waits, and take what came of it.

    Wherever it breaks off, the next one goes on: every request can be sent again. Raises: OtherAccount, and what
    `send` raises.
    """
    with copy.locked():
        check_owner(copy, origin, user_id)
        copy.know(user_id=user_id, origin=origin)
        received = _pull(copy, send)
        refused = len(copy.conflicts())
        sent = 0
        while changes := copy.changes(limit=1):
            _push(copy, changes[0], send)
            sent += 1
        return Synchronised(sent, len(copy.conflicts()) - refused, received)


def _pull(copy: LocalCopy, send: Send) -> int:
    cursor = copy.known("cursor")
    try:
        told = send("GET", "/api/tasks/changes", params={"since": cursor} if cursor else {}).json()
    except ApiError as error:
        if cursor is None or error.code not in ("SYNC_EXPIRED", "VALIDATION_FAILED"):
            raise
        cursor = None
        told = send("GET", "/api/tasks/changes").json()
    copy.take(told["tasks"], told["deleted"], told["next"], everything=cursor is None)
    return len(told["tasks"]) + len(told["deleted"])


def _push(copy: LocalCopy, change: Change, send: Send) -> None:
    copy.sending(change)
    try:
        if change.kind == "create":
            headers = {"Idempotency-Key": change.key}
            copy.made(change, send("POST", "/api/tasks", json=change.fields, headers=headers).json())
        else:
            _push_to_existing(copy, change, send)
    except ApiError as error:
        # Not an answer of the service, as before a hotel's sign-in page, or one that says to come again.
        if error.code is None or error.status in _COME_AGAIN or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        copy.refused(change, _read(change.task_id, send), error.detail)


def _push_to_existing(copy: LocalCopy, change: Change, send: Send) -> None:
    """Send a change for the version that it was made for; for a newer one if nobody else changed these fields."""
    task = _write(change, change.version, send)
    if task is not None:
        copy.made_alone(change, task)
        return
    for _ in range(_TRIES):
        task = _read(change.task_id, send)
        if task is None and change.kind == "delete":
            copy.made(change, None)  # now, or before an answer that was lost, or by somebody else
        elif task is None:
            copy.refused(change, None, DELETED)
        elif change.kind == "edit" and _has(task, change.fields):
            copy.made(change, task)  # the answer was lost, or somebody wanted the same
        elif change.kind == "delete" or not _untouched(task, change):
            copy.refused(change, task, CHANGED)
        elif merged := _write(change, task["version"], send):
            copy.made(change, merged)
        else:
            continue
        return
    raise ApiError(HTTPStatus.PRECONDITION_FAILED, None, "The task is being changed elsewhere at this moment.")


def _write(change: Change, version: int, send: Send) -> Task | None:
    """Return the task as it is after an edit; None after a deletion, and if the server has not got this version."""
    headers = {"If-Match": f'"{version}"'}
    try:
        if change.kind == "delete":
            send("DELETE", _path(change.task_id), headers=headers)
            return None
        task: Task = send("PATCH", _path(change.task_id), json=change.fields, headers=headers).json()
    except ApiError as error:
        if error.code in ("TASK_NOT_FOUND", "TASK_CHANGED"):
            return None
        raise
    return task


def _read(task_id: str, send: Send) -> Task | None:
    try:
        task: Task = send("GET", _path(task_id)).json()
    except ApiError as error:
        if error.code == "TASK_NOT_FOUND":
            return None
        raise
    return task


def _path(task_id: str) -> str:
    return f"/api/tasks/{quote(task_id, safe='')}"


def _has(task: Task, fields: dict[str, Any]) -> bool:
    return all(task.get(name) == value for name, value in fields.items())


def _untouched(task: Task, change: Change) -> bool:
    """Return whether nobody else has changed what this change is about.

    A field that the copy's task did not have, because its server did not know it yet, was empty.
    """
    return all(task.get(name) in (change.before.get(name), value) for name, value in change.fields.items())
