"""Tasks by way of the local copy: what is done is kept at once, and the server has it when it can be reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from auth_tasks_client.api import TasksClient
from auth_tasks_client.changes import Task
from auth_tasks_client.errors import ApiError
from auth_tasks_client.local_copy import LocalCopy
from auth_tasks_client.store import TokenStore


def copy_path(store: TokenStore) -> Path:
    """Return where the copy of the account is whose tokens are in this store."""
    return store.path.with_name("tasks.db")


@contextmanager
def copy_of(client: TasksClient, *, make: bool = False) -> Iterator[LocalCopy | None]:
    """Yield the copy of this account on this device, if there is one or one is to be made."""
    path = copy_path(client.store)
    if not make and not path.exists():
        yield None
        return
    with LocalCopy(path) as copy:
        yield copy


class OfflineTasks:
    """The operations on tasks of `TasksClient`, which never fail for want of a server.

    `said` is what somebody should know: that the server was not reached, what waits, what it did not take. Raises: what
    the server answers besides, once the change is kept.
    """

    def __init__(self, client: TasksClient, copy: LocalCopy) -> None:
        self.said: list[str] = []
        self._client = client
        self._copy = copy

    def sync(self) -> None:
        """Bring the copy and the server together, if it can be reached."""
        reached = True
        try:
            self._client.sync(self._copy)
        except httpx.TransportError:
            reached = False
        except ApiError as error:
            if error.code is not None and error.status < httpx.codes.INTERNAL_SERVER_ERROR:
                raise
            reached = False
        waiting, conflicts = len(self._copy.changes()), len(self._copy.conflicts())
        if not reached:
            since = (self._copy.known("asked_at") or "never")[:16]
            self.said.append(f"Offline. This is the copy of {since}Z; {_count(waiting, 'change')} not sent yet.")
        if conflicts:
            self.said.append(f"{_count(conflicts, 'change')} not taken by the server: see `conflicts`.")

    def tasks(self, **filters: Any) -> list[Task]:
        """Return all tasks, or those that pass the filters `status`, `priority` and `q`."""
        self.sync()
        return self._copy.tasks(**filters)

    def add(self, title: str, **fields: Any) -> Task:
        """Make a task."""
        return self._sent(self._copy.add(title, **fields))

    def edit(self, task_id: str, **fields: Any) -> Task:
        """Change these fields of a task and return it."""
        return self._sent(self._copy.edit(task_id, **fields))

    def remove(self, task_id: str) -> None:
        """Delete a task."""
        self._copy.remove(task_id)
        self.sync()

    def _sent(self, task: Task) -> Task:
        self.sync()
        return self._copy.get(task["id"]) or task


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"
