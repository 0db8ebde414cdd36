"""What holds for tasks in every shape in which they are served."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.people import Person
from tests.support.server import Service
from tests.support.shapes import SHAPES, Shape


class Speaker(NamedTuple):
    """Somebody who speaks one shape."""

    person: Person
    shape: Shape

    async def add(self, **body: Any) -> dict[str, Any]:
        """Make a task, and return it as the canonical API shows it."""
        return await self.person.add_task(**body)

    async def stored(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return the whole task as it is now."""
        found: dict[str, Any] = (await self.person.get(f"/api/tasks/{task['id']}")).json()
        return found

    async def send(self, method: str, task: dict[str, Any], rest: str = "", **options: Any) -> httpx.Response:
        return await self.person.send(method, self.shape.url(self.person, f"/{task['id']}{rest}"), **options)

    async def tick(self, task: dict[str, Any], **options: Any) -> httpx.Response:
        return await self.send("PATCH", task, f"/{self.shape.tick}", **options)


@pytest.fixture(params=SHAPES)
async def grace(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[Speaker]:
    """Somebody of a service that mounts the shape."""
    shape = SHAPES[request.param]
    async with service(api_contracts=shape.contracts) as client:
        client.event_hooks["response"] = []  # errors have other shapes here
        yield Speaker(await Person.sign_up(client), shape)


class TestTicking:
    """A client says which state it wants, or asks for the other one."""

    @pytest.mark.parametrize(
        ("before", "completed", "after", "version"),
        [
            ("pending", True, "completed", 2),
            ("in_progress", True, "completed", 2),
            ("completed", False, "pending", 2),
            ("completed", True, "completed", 1),
            ("pending", False, "pending", 1),
            ("in_progress", False, "in_progress", 1),
        ],
    )
    async def test_a_state_that_is_asked_for_is_set(
        self, grace: Speaker, before: str, completed: bool, after: str, version: int
    ) -> None:
        """A client that states what it wants gets that; what is so already does not change. Source: FR-021."""
        task = await grace.add(status=before)
        answer = await grace.tick(task, json={"completed": completed})
        now = await grace.stored(task)
        assert grace.shape.task(answer)["completed"] is completed
        assert answer.headers["etag"] == f'"{version}"'
        assert (now["status"], now["version"]) == (after, version)
        assert (now["updated_at"] == task["updated_at"]) is (version == 1)

    async def test_a_double_click_and_a_retry_do_not_undo(self, grace: Speaker) -> None:
        """A tick that is sent several times, one after the other or at once, is one tick."""
        task = await grace.add()
        for _ in range(2):
            assert (await grace.tick(task, json={"completed": True})).is_success
        assert ((now := await grace.stored(task))["completed"], now["version"]) == (True, 2)
        answers = await asyncio.gather(*(grace.tick(task, json={"completed": False}) for _ in range(20)))
        assert {grace.shape.task(answer)["completed"] for answer in answers} == {False}
        assert {answer.headers["etag"] for answer in answers} == {'"3"'}
        assert ((now := await grace.stored(task))["completed"], now["version"]) == (False, 3)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"json": {}},
            {"content": b"null"},
            {"json": {"other": 1}},
            *({"headers": {"Content-Type": kind}} for kind in ("application/json", "text/plain", "x", "")),
            {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "content": b""},
        ],
    )
    async def test_without_a_state_it_is_toggled(self, grace: Speaker, options: dict[str, Any]) -> None:
        """A client that names no state gets the other one, whatever it declares of the body that it does not send."""
        task = await grace.add()
        for completed in (True, False):
            assert grace.shape.task(await grace.tick(task, **options))["completed"] is completed

    @pytest.mark.parametrize("completed", [None, 1, 0, "true", "", [], {}])
    async def test_a_state_that_is_none_is_422(self, grace: Speaker, completed: Any) -> None:
        """A client that sends something else than true or false is told so, and nothing changes."""
        task = await grace.add()
        answer = await grace.tick(task, json={"completed": completed})
        assert (answer.status_code, grace.shape.code(answer)) == (422, "VALIDATION_FAILED")
        assert await grace.stored(task) == task

    @pytest.mark.parametrize("completed", [True, False])
    async def test_it_may_be_meant_for_one_version(self, grace: Speaker, completed: bool) -> None:
        """`If-Match` holds also where nothing would have to change."""
        task = await grace.add()
        stale = await grace.tick(task, json={"completed": completed}, headers={"If-Match": '"9"'})
        assert (stale.status_code, grace.shape.code(stale)) == (412, "TASK_CHANGED")
        assert await grace.stored(task) == task
        answer = await grace.tick(task, json={"completed": completed}, headers={"If-Match": '"1"'})
        assert grace.shape.task(answer)["completed"] is completed

    async def test_of_a_missing_task_it_is_404(self, grace: Speaker) -> None:
        """A tick of a task that is gone is no success, whichever state it asks for."""
        task = await grace.add()
        await grace.send("DELETE", task)
        for completed in (True, False):
            answer = await grace.tick(task, json={"completed": completed})
            assert (answer.status_code, grace.shape.code(answer)) == (404, "TASK_NOT_FOUND")
