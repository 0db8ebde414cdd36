"""The errors of tasks."""

from http import HTTPStatus

from app.core.errors import ApiError, ValidationFailed


class TaskNotFound(ApiError):
    """There is no such task, or it is somebody else's: nobody can tell which. Source: FR-019."""

    status = HTTPStatus.NOT_FOUND
    code = "TASK_NOT_FOUND"
    message = "Task not found."


class TaskChanged(ApiError):
    """The task is no longer what `If-Match` says. Source: RFC 9110 13.1.1."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "TASK_CHANGED"
    message = "The task has been changed since you read it. Read it again before you write."


class InvalidCursor(ValidationFailed):
    def __init__(self) -> None:
        super().__init__([{"field": "cursor", "message": "is not one that this list gave", "code": "cursor"}])
