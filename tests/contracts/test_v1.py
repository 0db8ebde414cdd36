"""The contract `v1`: tasks below the user's id, in an envelope of success, data and message."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.people import Person
from tests.support.server import Service

FIELDS = {"id", "title", "description", "status", "priority", "completed", "created_at", "updated_at"}


@pytest.fixture
async def grace(service: Service) -> AsyncIterator[Person]:
    """Somebody of a service that mounts `v1`."""
    async with service(api_contracts="v1") as client:
        client.event_hooks["response"] = []  # errors have another shape here
        yield await Person.sign_up(client)


def url(person: Person, rest: str = "") -> str:
    return f"/api/v1/{person.user['id']}/tasks{rest}"


async def make(person: Person, title: str = "Task", **body: Any) -> dict[str, Any]:
    answer = await person.send("POST", url(person), json={"title": title, **body})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()["data"]["task"]
    return task


def check_refusal(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is an error in the shape of `v1`, and return its body. Source: V1-005."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert body.keys() == {"success", "error", "code", "details"}
    assert body["success"] is False
    assert isinstance(body["error"], str)
    assert {"timestamp", "path", "method"} <= body["details"].keys()
    assert datetime.fromisoformat(body["details"]["timestamp"])
    assert body["details"]["path"] == answer.request.url.path
    assert body["details"]["method"] == answer.request.method
    return body


async def test_creating_answers_201_with_the_eight_fields(grace: Person) -> None:
    """A client of `v1` gets exactly the fields it knows, with their defaults. Source: V1-001, V1-002."""
    answer = await grace.send("POST", url(grace), json={"title": "Buy milk"})
    body = answer.json()
    assert (answer.status_code, body["success"], body["message"]) == (201, True, "Task created successfully")
    task = body["data"]["task"]
    assert task.keys() == FIELDS
    assert (task["status"], task["priority"], task["completed"]) == ("pending", "medium", False)
    assert task["description"] is None


async def test_a_list_is_a_page_of_20_by_default(grace: Person) -> None:
    """A client gets 20 tasks at a time, newest first, and knows whether there are more. Source: V1-003."""
    assert (await grace.get(url(grace))).json() == {
        "success": True,
        "data": {"tasks": [], "pagination": {"total": 0, "limit": 20, "offset": 0, "has_more": False}},
        "message": "Tasks retrieved successfully",
    }
    for number in range(21):
        await make(grace, f"Task {number}")
    cases = {"": (20, True), "?offset=1": (20, False), "?offset=20": (1, False), "?offset=21": (0, False)}
    cases |= {"?limit=21": (21, False), "?limit=1": (1, True), "?limit=100": (21, False)}
    for query, (length, has_more) in cases.items():
        data = (await grace.get(url(grace, query))).json()["data"]
        assert (len(data["tasks"]), data["pagination"]["has_more"], data["pagination"]["total"]) == (
            length,
            has_more,
            21,
        )
    newest = (await grace.get(url(grace))).json()["data"]["tasks"]
    assert [t["title"] for t in newest[:2]] == ["Task 20", "Task 19"]
    assert all(t.keys() == FIELDS for t in newest)


async def test_lists_filter_by_status_and_sort(grace: Person) -> None:
    """A client chooses by status, and the order. Source: V1-004."""
    for title, status, priority in (
        ("a", "completed", "low"),
        ("b", "pending", "high"),
        ("c", "in_progress", "medium"),
    ):
        await make(grace, title, status=status, priority=priority)

    async def titles(query: str) -> list[str]:
        return [t["title"] for t in (await grace.get(url(grace, query))).json()["data"]["tasks"]]

    assert await titles("?status=completed") == ["a"]
    assert await titles("?sort=priority") == ["b", "c", "a"]
    assert await titles("?sort=priority&order=asc") == ["a", "c", "b"]
    assert await titles("?order=asc") == ["a", "b", "c"]
    assert await titles("?sort=updated_at") == ["c", "b", "a"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "offset=-1", "status=done", "sort=title", "order=up"]
)
async def test_a_bad_query_is_422_with_every_field(grace: Person, query: str) -> None:
    """A client is told which parameter is wrong. Source: V1-004, V1-006."""
    body = check_refusal(await grace.get(url(grace, f"?{query}")), 422, "VALIDATION_FAILED")
    assert [e["field"] for e in body["details"]["errors"]] == [query.partition("=")[0]]


async def test_one_task_is_read_changed_toggled_and_deleted(grace: Person) -> None:
    """A client reads, changes, toggles and deletes a task, each with its message. Source: V1-001, V1-007."""
    task = await make(grace)
    one = url(grace, f"/{task['id']}")
    read = await grace.get(one)
    assert read.json() == {"success": True, "data": {"task": task}, "message": "Task retrieved successfully"}
    put = await grace.send("PUT", one, json={"priority": "high", "description": "d"})
    assert put.json()["message"] == "Task updated successfully"
    assert put.json()["data"]["task"] == task | {
        "priority": "high",
        "description": "d",
        "updated_at": put.json()["data"]["task"]["updated_at"],
    }
    for completed in (True, False):
        toggled = await grace.send("PATCH", f"{one}/complete")
        assert toggled.json()["message"] == "Task completion toggled successfully"
        assert toggled.json()["data"]["task"]["completed"] is completed
    gone = await grace.send("DELETE", one)
    assert (gone.status_code, gone.json()) == (
        200,
        {"success": True, "data": {}, "message": "Task deleted successfully"},
    )
    check_refusal(await grace.get(one), 404, "TASK_NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "x" * 201}, {"status": "done"}, {"priority": "urgent"}])
async def test_a_bad_body_is_422(grace: Person, body: dict[str, Any]) -> None:
    """A client is told of an empty change, a wrong length and an unknown value. Source: V1-006, V1-007."""
    task = await make(grace)
    check_refusal(await grace.send("PUT", url(grace, f"/{task['id']}"), json=body), 422, "VALIDATION_FAILED")
    check_refusal(await grace.send("POST", url(grace), json=body), 422, "VALIDATION_FAILED")


async def test_the_path_must_be_ones_own(grace: Person) -> None:
    """Only the token's own path opens: 401 without a token, 422 for no UUID, 403 for another user.

    The body is not read before. Source: V1-008.
    """
    bob = await Person.sign_up(grace.client)
    task = await make(bob)
    for method, rest in (("GET", ""), ("POST", ""), ("GET", f"/{task['id']}"), ("DELETE", f"/{task['id']}")):
        foreign = url(bob, rest)
        check_refusal(await grace.client.request(method, foreign, content=b"{bad"), 401, "NOT_AUTHENTICATED")
        check_refusal(await grace.send(method, foreign, content=b"{bad"), 403, "FORBIDDEN")
    check_refusal(await grace.get("/api/v1/me/tasks"), 422, "VALIDATION_FAILED")
    check_refusal(await grace.get(url(grace, "/5")), 422, "VALIDATION_FAILED")
    check_refusal(await grace.get(url(bob, "/5")), 403, "FORBIDDEN")
    assert (await bob.get(url(bob, f"/{task['id']}"))).status_code == 200


async def test_a_foreign_task_under_ones_own_path_is_missing(grace: Person) -> None:
    """Somebody else's task is 404 and not 403: nobody can know that it exists. Source: V1-009."""
    bob = await Person.sign_up(grace.client)
    task = await make(bob)
    for method, rest, body in (
        ("GET", "", None),
        ("PUT", "", {"title": "x"}),
        ("PATCH", "/complete", None),
        ("DELETE", "", None),
    ):
        for task_id in (task["id"], uuid4()):
            answer = await grace.send(method, url(grace, f"/{task_id}{rest}"), json=body)
            check_refusal(answer, 404, "TASK_NOT_FOUND")
    assert (await grace.get(url(grace))).json()["data"]["tasks"] == []


async def test_every_refusal_below_v1_has_its_shape(grace: Person) -> None:
    """A client finds every error below `/api/v1` in the shape it knows, and elsewhere in the usual one.

    Source: V1-005.
    """
    task = await make(grace)
    one = url(grace, f"/{task['id']}")
    check_refusal(await grace.send("POST", url(grace), content=b"{bad"), 400, "MALFORMED_BODY")
    check_refusal(await grace.get("/api/v1/nothing"), 404, "NOT_FOUND")
    wrong = await grace.send("PATCH", one)
    check_refusal(wrong, 405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "DELETE, GET, PUT"
    for method, rest, body in (("PUT", "", {"title": "x"}), ("PATCH", "/complete", None), ("DELETE", "", None)):
        stale = await grace.send(method, one + rest, json=body, headers={"If-Match": '"9"'})
        check_refusal(stale, 412, "TASK_CHANGED")
    check_refusal(await grace.send("POST", url(grace), content=b"x" * 70_000), 413, "BODY_TOO_LARGE")
    plain = {"Content-Type": "text/plain"}
    check_refusal(await grace.send("POST", url(grace), content=b"x", headers=plain), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert "detail" in (await grace.get("/api/tasks/x")).json()


async def test_an_unforeseen_error_has_the_shape_too(grace: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client finds an error of the server in the shape it knows too. Source: V1-005."""

    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.tasks.service.list_tasks", explode)
    check_refusal(await grace.get(url(grace)), 500, "INTERNAL_ERROR")


async def test_a_create_can_be_sent_again(grace: Person) -> None:
    """A client whose answer was lost sends the create again with its `Idempotency-Key`, and gets the same task."""
    url, headers = f"/api/v1/{grace.user['id']}/tasks", {"Idempotency-Key": "k"}
    first, second = [await grace.send("POST", url, json={"title": "x"}, headers=headers) for _ in range(2)]
    assert first.json()["data"]["task"]["id"] == second.json()["data"]["task"]["id"]
    assert first.headers["etag"] == '"1"'
