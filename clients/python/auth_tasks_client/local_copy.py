"""A copy of one account's tasks in a file, and the changes to it that the server does not have yet.

SQLite keeps both: what a method has written when it returns survives `kill -9`, and processes may share the file.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4, uuid5

from auth_tasks_client.changes import FIELDS, Change, Conflict, Kind, Task, newest_first, now, wanted, with_changes
from auth_tasks_client.store import locked

WAIT_SECONDS = 10
_SCHEMA = """
CREATE TABLE IF NOT EXISTS known (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, version INTEGER NOT NULL, task TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, task_id TEXT NOT NULL,
    version INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0, more TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS conflicts (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, task TEXT NOT NULL,
    fields TEXT NOT NULL, reason TEXT NOT NULL);
"""


class NotSynchronised(Exception):
    """The copy does not know yet whose tasks it has."""


class LocalCopy:
    """The tasks as they are once everything that waits is sent. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # the mode of SQLite's other files too
        self._db = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def delete(self) -> None:
        """Delete the file, with what waits in it."""
        self.close()
        for ending in ("", "-wal", "-shm", ".lock"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    def known(self, name: str) -> str | None:
        """Return whose tasks these are (`user_id`, `origin`), the server's `cursor`, or when it was `asked_at`."""
        row = self._db.execute("SELECT value FROM known WHERE name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def know(self, **values: str) -> None:
        """Write down one of these."""
        self._db.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", values.items())

    # For people.

    def tasks(self, *, status: str | None = None, priority: str | None = None, q: str | None = None) -> list[Task]:
        """Return the tasks, newest first."""
        return newest_first(self._shown(), status=status, priority=priority, q=q)

    def get(self, task_id: str) -> Task | None:
        """Return one task."""
        return self._shown().get(task_id)

    def add(self, title: str, **fields: Any) -> Task:
        """Make a task, whose id is known at once. Raises: NotSynchronised."""
        with self._transaction():
            return self._create(wanted({"title": title, **fields}))

    def edit(self, task_id: str, **fields: Any) -> Task:
        """Change these fields of a task and return it. Raises: KeyError."""
        with self._transaction():
            task = self._shown()[task_id]
            if new := wanted(fields, task):
                self._append("edit", task_id, new, task)
            return self._shown()[task_id]

    def remove(self, task_id: str) -> None:
        """Delete a task. Raises: KeyError."""
        with self._transaction():
            self._append("delete", task_id, {}, self._shown()[task_id])

    def conflicts(self) -> list[Conflict]:
        """Return what the server did not take."""
        rows = self._db.execute("SELECT number, kind, task, fields, reason FROM conflicts ORDER BY number")
        return [Conflict(n, kind, json.loads(task), json.loads(fields), why) for n, kind, task, fields, why in rows]

    def settle(self, number: int, *, mine: bool) -> None:
        """End a conflict: make the change over what the server has, or let it be. Raises: KeyError."""
        with self._transaction():
            conflict = {it.number: it for it in self.conflicts()}[number]
            self._db.execute("DELETE FROM conflicts WHERE number = ?", [number])
            task = self._shown().get(conflict.task["id"])
            if not mine:
                return
            if task is not None:
                self._append("edit" if conflict.fields else "delete", task["id"], conflict.fields, task)
            elif conflict.fields:  # deleted elsewhere: made again, under another id
                self._create({name: conflict.task[name] for name in FIELDS if name in conflict.task})

    # For the synchronisation.

    def locked(self) -> AbstractContextManager[bool]:
        """Wait until no other process synchronises this copy, and keep others from it."""
        return locked(self.path.with_name(self.path.name + ".lock"))

    def changes(self, *, limit: int = -1) -> list[Change]:
        """Return what waits, in the order in which it was done; with a limit the first of it."""
        query = "SELECT number, kind, task_id, version, more FROM changes ORDER BY number LIMIT ?"
        rows = self._db.execute(query, [limit])  # a negative one is none (SQLite)
        return [Change(*row, **json.loads(more)) for *row, more in rows]

    def take(self, tasks: Iterable[Task], deleted: Iterable[str], cursor: str, *, everything: bool) -> None:
        """Take what the server has told."""
        with self._transaction():
            if everything:
                self._db.execute("DELETE FROM tasks")
            for task in tasks:
                self._keep(task)
            for task_id in deleted:
                self._db.execute("DELETE FROM tasks WHERE id = ?", [task_id])
                # Its answer was lost, and somebody has deleted the task since: sent again, it would rise.
                self._db.execute("DELETE FROM changes WHERE task_id = ? AND kind = 'create' AND sent", [task_id])
            self.know(cursor=cursor, asked_at=now())

    def sending(self, change: Change) -> None:
        """Write down that the server may have a change from now on."""
        self._db.execute("UPDATE changes SET sent = 1 WHERE number = ?", [change.number])

    def made(self, change: Change, task: Task | None) -> None:
        """Take a change for made, and the task as the server has it now."""
        with self._transaction():
            self._end(change, task)

    def made_alone(self, change: Change, task: Task) -> None:
        """Do the same where nobody else has changed the task: what waits for it is meant for the new version."""
        with self._transaction():
            self._end(change, task)
            self._db.execute("UPDATE changes SET version = ? WHERE task_id = ?", [task["version"], task["id"]])

    def refused(self, change: Change, task: Task | None, reason: str) -> None:
        """Make a conflict of a change that waits, and take the task as the server has it now.

        Without a lock another process may have made it meanwhile.
        """
        with self._transaction():
            if not self._end(change, task):
                return
            row = [change.kind, json.dumps(change.looked_like()), json.dumps(change.fields), reason]
            self._db.execute("INSERT INTO conflicts (kind, task, fields, reason) VALUES (?, ?, ?, ?)", row)

    def _end(self, change: Change, task: Task | None) -> bool:
        has_waited = self._db.execute("DELETE FROM changes WHERE number = ?", [change.number]).rowcount > 0
        if task is None:
            self._db.execute("DELETE FROM tasks WHERE id = ?", [change.task_id])
        else:
            self._keep(task)
        return has_waited

    def _keep(self, task: Task) -> None:
        self._db.execute(
            "INSERT INTO tasks VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version, "
            "task = excluded.task WHERE excluded.version >= tasks.version",
            [task["id"], task["version"], json.dumps(task)],
        )

    def _of_server(self) -> dict[str, Task]:
        return {task_id: json.loads(task) for task_id, task in self._db.execute("SELECT id, task FROM tasks")}

    def _shown(self) -> dict[str, Task]:
        return with_changes(self._of_server(), self.changes(), self.known("user_id"))

    def _create(self, fields: dict[str, Any]) -> Task:
        user_id = self.known("user_id")
        if user_id is None:
            raise NotSynchronised("Synchronise once before you work offline.")
        key = str(uuid4())
        task_id = str(uuid5(UUID(user_id), key))  # as the server does it
        self._append("create", task_id, fields, {}, key=key)
        return self._shown()[task_id]

    def _append(self, kind: Kind, task_id: str, fields: dict[str, Any], task: Task, *, key: str | None = None) -> None:
        before = {name: task[name] for name in FIELDS if name in task}
        more = json.dumps({"fields": fields, "before": before, "made_at": now(), "key": key})
        known = self._db.execute("SELECT version FROM tasks WHERE id = ?", [task_id]).fetchone()
        row = [kind, task_id, known[0] if known else 1, more]  # 1: its creation waits itself
        self._db.execute("INSERT INTO changes (kind, task_id, version, more) VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
