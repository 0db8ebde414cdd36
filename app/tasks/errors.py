"""The errors of tasks."""

from http import HTTPStatus

from app.core.errors import ApiError


class TaskNotFound(ApiError):
    """There is no such task, or it is somebody else's: nobody can tell which. Source: FR-019."""

    status = HTTPStatus.NOT_FOUND
    code = "TASK_NOT_FOUND"
    message = "Task not found."


class TooManyTasks(ApiError):
    """The user has as many tasks as `MAX_TASKS_PER_USER` allows."""

    status = HTTPStatus.CONFLICT
    code = "TOO_MANY_TASKS"
    message = "You have as many tasks as this service allows. Delete some that you no longer need."


class TaskChanged(ApiError):
    """The task is no longer what `If-Match` says. Source: RFC 9110 13.1.1."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "TASK_CHANGED"
    message = "The task has been changed since you read it. Read it again before you write."


class NoVersionInTag(ApiError):
    """`If-Match` has no version of ours in it: nobody has changed the task, the client has sent something else."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "NO_VERSION_IN_TAG"
    message = 'There is no version in `If-Match`. Send the `version` of the task in quotation marks, such as "2".'


class TaskExcluded(ApiError):
    """The task is what `If-None-Match` says that it must not be. Source: RFC 9110 13.1.2."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "PRECONDITION_FAILED"
    message = "The task is one that `If-None-Match` excludes. Nothing was written."


CONDITION_ERRORS = (TaskChanged, NoVersionInTag, TaskExcluded)
"""The errors of any write of a task: why it was not meant for the task as it is."""


class LiveIsOff(ApiError):
    """`LIVE_STREAMS` is 0."""

    status = HTTPStatus.NOT_IMPLEMENTED
    code = "LIVE_IS_OFF"
    message = "This service has no stream of changes. Ask now and then, with `since`."


class SyncExpired(ApiError):
    """What has changed since then cannot be told: it is too long ago, or the database is another. Source: FR-059."""

    status = HTTPStatus.GONE
    code = "SYNC_EXPIRED"
    message = "What has changed since then cannot be told any more. Ask without `since`, for everything."
