"""The shapes that tasks are served in, so that one test can be passed by all of them."""

from typing import Any, NamedTuple

import httpx

from tests.support.people import Person


class Shape(NamedTuple):
    """What a client of one shape must know: where tasks are, how one is ticked off, and where a task stands."""

    contracts: str
    tasks: str = "/api/tasks"
    tick: str = "complete"
    data: tuple[str, ...] = ()
    change: tuple[str, ...] = ("PUT", "PATCH")

    def url(self, person: Person, rest: str = "") -> str:
        """Return where this person's tasks are, or with `rest` one of them."""
        return self.tasks.format(user_id=person.user["id"]) + rest

    def task(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the task in an answer."""
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        for name in self.data:
            found = found[name]
        return found

    def code(self, answer: httpx.Response) -> str:
        """Return the constant of an error."""
        body = answer.json()
        code: str = (body.get("error") if self.contracts == "path-enveloped" else body)["code"]
        return code

    def writes(self) -> list[tuple[str, str, Any]]:
        """Return every write of one task: method, what follows its URL, and a body."""
        changes = [(method, "", {"title": "New"}) for method in self.change]
        ticks = [("PATCH", f"/{self.tick}", body) for body in (None, {"completed": True})]
        return [*changes, *ticks, ("DELETE", "", None)]


SHAPES = {
    "canonical": Shape("", tick="toggle"),
    "v1": Shape("v1", "/api/v1/{user_id}/tasks", data=("data", "task"), change=("PUT",)),
    "path": Shape("path", "/api/{user_id}/tasks"),
    "aliases": Shape("aliases"),
    "path-enveloped": Shape("path-enveloped", "/api/{user_id}/tasks", data=("data",)),
}
