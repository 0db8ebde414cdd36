"""What somebody does to tasks while the server is away, and how the tasks look with it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from unicodedata import normalize

Task = dict[str, Any]
"""A task as the server shows it; with `pending` where the server does not have all of it yet."""

Kind = Literal["create", "edit", "delete"]
FIELDS = ("title", "description", "priority", "status")
"""What can be written of a task. `completed` is written as a status."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that waits for the server: `fields` are wanted, `before` is what they were, in that `version`.

    `key` is the idempotency key of a new task.
    """

    number: int
    kind: Kind
    task_id: str
    version: int
    fields: dict[str, Any]
    before: dict[str, Any]
    made_at: str
    key: str | None

    def looked_like(self) -> Task:
        """Return the task as it looked with this change, as far as is known."""
        return {"id": self.task_id, **self.before, **self.fields}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A change that the server did not take, and why, in a sentence. `task` is how the task looked with it."""

    number: int
    kind: Kind
    task: Task
    fields: dict[str, Any]
    reason: str


def wanted(fields: dict[str, Any], task: Task | None = None) -> dict[str, Any]:
    """Return the fields as states that can be sent twice: `completed` becomes the status that it stands for.

    Of a `completed` and a `status` that contradict each other, the one that differs from the task counts, as on the
    server. Raises: ValueError if both do, or if there is no task.
    """
    given = {name: fields[name] for name in FIELDS if name in fields}
    if "completed" not in fields:
        return given
    completed, stored = fields["completed"], task["status"] if task else "pending"
    if "status" in given:
        agree = completed == (given["status"] == "completed")
        if agree or (task and completed == (stored == "completed")):
            return given
        if not task or given["status"] != stored:
            raise ValueError("`completed` contradicts `status`")
    reopened = "pending" if stored == "completed" else stored
    return given | {"status": "completed" if completed else reopened}


def with_changes(tasks: dict[str, Task], changes: list[Change], user_id: str | None) -> dict[str, Task]:
    """Return the server's tasks, by id, as they are once all changes are made."""
    shown = dict(tasks)
    for change in changes:
        task = shown.get(change.task_id)
        if change.kind == "create":
            task = task or _new(change, user_id)
        elif change.kind == "delete" or task is None:  # without it: somebody has deleted it elsewhere
            shown.pop(change.task_id, None)
            continue
        task = {**task, **change.fields, "pending": True}
        shown[change.task_id] = {**task, "completed": task["status"] == "completed"}
    return shown


def _new(change: Change, user_id: str | None) -> Task:
    return {
        "id": change.task_id,
        "user_id": user_id,
        "title": "",
        "description": None,
        "completed": False,
        "status": "pending",
        "priority": "medium",
        "version": 0,
        "created_at": change.made_at,
        "updated_at": change.made_at,
    }


def newest_first(tasks: dict[str, Task], *, status: str | None, priority: str | None, q: str | None) -> list[Task]:
    """Return what passes the filters, as the server sorts it."""
    found = [
        task
        for task in tasks.values()
        if status in (None, task["status"])
        and priority in (None, task["priority"])
        and (q is None or _searched(q) in _searched(task["title"]))
    ]
    return sorted(found, key=lambda task: (task["created_at"], task["id"]), reverse=True)


def _searched(text: str) -> str:
    """Return text in the form that the server compares."""
    return normalize("NFC", text).lower()


def now() -> str:
    """Return the time as the server writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
