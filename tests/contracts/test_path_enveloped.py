"""The contract `path-enveloped`: tasks below the user's id, in an envelope of data and meta."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.tasks import pages
from tests.support.people import Person
from tests.support.server import Service

FIELDS = {"id", "title", "description", "completed", "user_id"}


@pytest.fixture
async def grace(service: Service) -> AsyncIterator[Person]:
    """Somebody of a service that mounts `path-enveloped`."""
    async with service(api_contracts="path-enveloped") as client:
        client.event_hooks["response"] = []  # errors have another shape here
        yield await Person.sign_up(client)


def url(person: Person, rest: str = "") -> str:
    return f"/api/{person.user['id']}/tasks{rest}"


def opened(answer: httpx.Response, status: int = 200) -> Any:
    """Check that an answer is an envelope of data and meta, and return its data. Source: ENVELOPE-001."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"data", "meta"}
    assert body["meta"]["request_id"] == answer.headers["x-request-id"]
    assert datetime.fromisoformat(body["meta"]["timestamp"]).utcoffset() is not None
    return body["data"]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is an error in the envelope, and return the error. Source: ENVELOPE-003."""
    body = answer.json()
    assert (answer.status_code, body["data"], body["error"]["code"]) == (status, None, code)
    assert body.keys() == {"data", "meta", "error"}
    assert isinstance(body["error"]["message"], str)
    assert body["meta"]["request_id"] == answer.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error


async def test_tasks_have_five_fields_in_an_envelope(grace: Person) -> None:
    """A client of `path-enveloped` gets exactly the fields it knows, in data, from every operation.

    Source: ENVELOPE-001, ENVELOPE-002.
    """
    task = opened(await grace.send("POST", url(grace), json={"title": "A", "description": "B"}), 201)
    assert task.keys() == FIELDS
    assert (task["completed"], task["user_id"]) == (False, grace.user["id"])
    one = url(grace, f"/{task['id']}")
    assert opened(await grace.get(one)) == task
    for method in ("PUT", "PATCH"):
        changed = opened(await grace.send(method, one, json={"title": method, "completed": True}))
        assert changed == task | {"title": method, "completed": True}
    assert opened(await grace.send("PATCH", f"{one}/complete"))["completed"] is False
    assert opened(await grace.send("DELETE", one)) is None
    refused(await grace.get(one), 404, "TASK_NOT_FOUND")


async def test_a_lists_meta_counts_and_pages(grace: Person) -> None:
    """A client counts and pages by meta; with a limit the count is of all tasks. Source: ENVELOPE-004."""
    assert opened(await grace.get(url(grace))) == []
    for number in range(3):
        await grace.add_task(str(number))
    whole = await grace.get(url(grace))
    assert [t["title"] for t in opened(whole)] == ["2", "1", "0"]
    assert whole.json()["meta"]["count"] == 3
    assert whole.json()["meta"]["page"] == {"limit": None, "offset": 0, "next_cursor": None}
    page = (await grace.get(url(grace, "?limit=2"))).json()
    assert (len(page["data"]), page["meta"]["count"], page["meta"]["page"]["limit"]) == (2, 3, 2)
    rest = await grace.get(url(grace, f"?limit=2&cursor={page['meta']['page']['next_cursor']}"))
    assert [t["title"] for t in opened(rest)] == ["0"]


async def test_a_long_list_is_whole_and_counted(grace: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gets the whole list and its count, though it is read and written in batches."""
    monkeypatch.setattr(pages, "BATCH", 2)
    titles = [(await grace.add_task(str(number)))["title"] for number in range(5)]
    whole = await grace.get(url(grace))
    assert [t["title"] for t in opened(whole)] == titles[::-1]
    assert whole.json()["meta"]["count"] == 5


async def test_refusals_have_the_envelope_too(grace: Person) -> None:
    """A client finds every error in the envelope, with a status and a code to tell them by. Source: ENVELOPE-003."""
    bob = await Person.sign_up(grace.client)
    task = await bob.add_task()
    refused(await grace.client.get(url(grace)), 401, "NOT_AUTHENTICATED")
    refused(await grace.get(url(grace), headers={"Authorization": "Bearer x"}), 401, "INVALID_TOKEN")
    refused(await grace.get(url(bob)), 403, "FORBIDDEN")
    refused(await grace.get("/api/nobody/tasks"), 403, "FORBIDDEN")
    refused(await grace.get(url(grace, f"/{task['id']}")), 404, "TASK_NOT_FOUND")
    refused(await grace.get(url(grace, f"/{uuid4()}")), 404, "TASK_NOT_FOUND")
    refused(await grace.send("DELETE", url(grace)), 405, "METHOD_NOT_ALLOWED")
    own = await grace.add_task()
    for method, rest, body in (("PUT", "", {"title": "x"}), ("PATCH", "/complete", None), ("DELETE", "", None)):
        one = url(grace, f"/{own['id']}{rest}")
        refused(await grace.send(method, one, json=body, headers={"If-Match": '"9"'}), 412, "TASK_CHANGED")
    error = refused(await grace.send("POST", url(grace), json={"title": ""}), 422, "VALIDATION_FAILED")
    assert [e["field"] for e in error["errors"]] == ["title"]
    assert "errors" not in refused(await grace.send("POST", url(grace), content=b"{"), 400, "MALFORMED_BODY")
