"""A client's copy of a task list, kept by asking what has changed."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.people import Person

CHANGES = "/api/tasks/changes"
ADD_MANY = (
    "INSERT INTO tasks (id, user_id, title, changed) "
    "SELECT gen_random_uuid(), %s, 'Task ' || n, pg_current_xact_id() FROM generate_series(1, %s) AS n"
)
"""Adds so many tasks to a user's, as the service does."""


@dataclass
class Copy:
    """Applies what is told as the contract says: by id, the higher version stays; after 410 it starts anew."""

    person: Person
    cursor: str | None = None
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def question(self) -> dict[str, str]:
        return {"since": self.cursor} if self.cursor else {}

    async def pull(self) -> dict[str, Any]:
        """Ask what has changed and return what was told."""
        answer = await self.person.get(CHANGES, params=self.question)
        return self.apply(answer) or await self.pull()

    def apply(self, answer: httpx.Response) -> dict[str, Any] | None:
        """Put an answer into the copy; give nothing if it has to be asked again."""
        if answer.status_code == 410:
            self.cursor, self.tasks = None, {}
            return None
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        self.take(told)
        self.cursor = told["next"]
        return told

    def take(self, told: dict[str, Any]) -> None:
        """Put what was told into the copy."""
        for task in told["tasks"]:
            have = self.tasks.get(task["id"])
            if have is None or have["version"] <= task["version"]:
                self.tasks[task["id"]] = task
        for task_id in told["deleted"]:
            self.tasks.pop(task_id, None)

    async def truth(self) -> dict[str, dict[str, Any]]:
        """Return the tasks as the list shows them."""
        return {task["id"]: task for task in (await self.person.get("/api/tasks")).json()}
