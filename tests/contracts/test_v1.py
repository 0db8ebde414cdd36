"""`v1`, line by line of its specification (S0)."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Service
from tests.support import Person

FIELDS = {"id", "title", "description", "status", "priority", "completed", "created_at", "updated_at"}


@pytest.fixture
async def ada(service: Service) -> AsyncIterator[Person]:
    async with service(api_contracts="v1") as client:
        client.event_hooks["response"] = []  # these refusals have another shape
        yield await Person.sign_up(client)


def url(person: Person, rest: str = "") -> str:
    return f"/api/v1/{person.user['id']}/tasks{rest}"


async def make(person: Person, title: str = "Task", **body: Any) -> dict[str, Any]:
    answer = await person.send("POST", url(person), json={"title": title, **body})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()["data"]["task"]
    return task


def check_refusal(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """S0 6: the standard error format."""
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


async def test_creating_answers_201_with_the_eight_fields(ada: Person) -> None:
    """S0 4, POST: envelope, message, defaults."""
    answer = await ada.send("POST", url(ada), json={"title": "Buy milk"})
    body = answer.json()
    assert (answer.status_code, body["success"], body["message"]) == (201, True, "Task created successfully")
    task = body["data"]["task"]
    assert task.keys() == FIELDS
    assert (task["status"], task["priority"], task["completed"]) == ("pending", "medium", False)
    assert task["description"] is None


async def test_a_list_is_a_page_of_20_by_default(ada: Person) -> None:
    """S0 4, GET tasks: limit 20 by default, newest first, has_more right at the edges."""
    assert (await ada.get(url(ada))).json() == {
        "success": True,
        "data": {"tasks": [], "pagination": {"total": 0, "limit": 20, "offset": 0, "has_more": False}},
        "message": "Tasks retrieved successfully",
    }
    for number in range(21):
        await make(ada, f"Task {number}")
    cases = {"": (20, True), "?offset=1": (20, False), "?offset=20": (1, False), "?offset=21": (0, False)}
    cases |= {"?limit=21": (21, False), "?limit=1": (1, True), "?limit=100": (21, False)}
    for query, (length, has_more) in cases.items():
        data = (await ada.get(url(ada, query))).json()["data"]
        assert (len(data["tasks"]), data["pagination"]["has_more"], data["pagination"]["total"]) == (
            length,
            has_more,
            21,
        )
    newest = (await ada.get(url(ada))).json()["data"]["tasks"]
    assert [t["title"] for t in newest[:2]] == ["Task 20", "Task 19"]
    assert all(t.keys() == FIELDS for t in newest)


async def test_lists_filter_by_status_and_sort(ada: Person) -> None:
    """S0 4, GET tasks: status, sort, order."""
    for title, status, priority in (
        ("a", "completed", "low"),
        ("b", "pending", "high"),
        ("c", "in_progress", "medium"),
    ):
        await make(ada, title, status=status, priority=priority)

    async def titles(query: str) -> list[str]:
        return [t["title"] for t in (await ada.get(url(ada, query))).json()["data"]["tasks"]]

    assert await titles("?status=completed") == ["a"]
    assert await titles("?sort=priority") == ["b", "c", "a"]
    assert await titles("?sort=priority&order=asc") == ["a", "c", "b"]
    assert await titles("?order=asc") == ["a", "b", "c"]
    assert await titles("?sort=updated_at") == ["c", "b", "a"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "offset=-1", "status=done", "sort=title", "order=up"]
)
async def test_a_bad_query_is_422_with_every_field(ada: Person, query: str) -> None:
    """S0 4: validation rules; S0 6: field-specific errors."""
    body = check_refusal(await ada.get(url(ada, f"?{query}")), 422, "VALIDATION_FAILED")
    assert [e["field"] for e in body["details"]["errors"]] == [query.partition("=")[0]]


async def test_one_task_is_read_changed_toggled_and_deleted(ada: Person) -> None:
    """S0 4: GET, PUT, PATCH complete, DELETE with their messages."""
    task = await make(ada)
    one = url(ada, f"/{task['id']}")
    read = await ada.get(one)
    assert read.json() == {"success": True, "data": {"task": task}, "message": "Task retrieved successfully"}
    put = await ada.send("PUT", one, json={"priority": "high", "description": "d"})
    assert put.json()["message"] == "Task updated successfully"
    assert put.json()["data"]["task"] == task | {
        "priority": "high",
        "description": "d",
        "updated_at": put.json()["data"]["task"]["updated_at"],
    }
    for completed in (True, False):
        toggled = await ada.send("PATCH", f"{one}/complete")
        assert toggled.json()["message"] == "Task completion toggled successfully"
        assert toggled.json()["data"]["task"]["completed"] is completed
    gone = await ada.send("DELETE", one)
    assert (gone.status_code, gone.json()) == (
        200,
        {"success": True, "data": {}, "message": "Task deleted successfully"},
    )
    check_refusal(await ada.get(one), 404, "TASK_NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "x" * 201}, {"status": "done"}, {"priority": "urgent"}])
async def test_a_bad_body_is_422(ada: Person, body: dict[str, Any]) -> None:
    """S0 4, POST and PUT: at least one field; lengths; enums."""
    task = await make(ada)
    check_refusal(await ada.send("PUT", url(ada, f"/{task['id']}"), json=body), 422, "VALIDATION_FAILED")
    check_refusal(await ada.send("POST", url(ada), json=body), 422, "VALIDATION_FAILED")


async def test_the_path_must_be_ones_own(ada: Person) -> None:
    """S0 2: 401 without a token, 422 for no UUID, 403 for another user, before the body is read."""
    bob = await Person.sign_up(ada.client)
    task = await make(bob)
    for method, rest in (("GET", ""), ("POST", ""), ("GET", f"/{task['id']}"), ("DELETE", f"/{task['id']}")):
        foreign = url(bob, rest)
        check_refusal(await ada.client.request(method, foreign, content=b"{bad"), 401, "NOT_AUTHENTICATED")
        check_refusal(await ada.send(method, foreign, content=b"{bad"), 403, "FORBIDDEN")
    check_refusal(await ada.get("/api/v1/me/tasks"), 422, "VALIDATION_FAILED")
    check_refusal(await ada.get(url(ada, "/5")), 422, "VALIDATION_FAILED")
    check_refusal(await ada.get(url(bob, "/5")), 403, "FORBIDDEN")
    assert (await bob.get(url(bob, f"/{task['id']}"))).status_code == 200


async def test_a_foreign_task_under_ones_own_path_is_missing(ada: Person) -> None:
    """404 and not 403: every query names the owner, so nobody can know."""
    bob = await Person.sign_up(ada.client)
    task = await make(bob)
    for method, rest, body in (
        ("GET", "", None),
        ("PUT", "", {"title": "x"}),
        ("PATCH", "/complete", None),
        ("DELETE", "", None),
    ):
        for task_id in (task["id"], uuid4()):
            answer = await ada.send(method, url(ada, f"/{task_id}{rest}"), json=body)
            check_refusal(answer, 404, "TASK_NOT_FOUND")
    assert (await ada.get(url(ada))).json()["data"]["tasks"] == []


async def test_every_refusal_below_v1_has_its_shape(ada: Person) -> None:
    """400, 404, 405, 412, 413, 415; and elsewhere it is the usual one."""
    task = await make(ada)
    one = url(ada, f"/{task['id']}")
    check_refusal(await ada.send("POST", url(ada), content=b"{bad"), 400, "MALFORMED_BODY")
    check_refusal(await ada.get("/api/v1/nothing"), 404, "NOT_FOUND")
    wrong = await ada.send("PATCH", one)
    check_refusal(wrong, 405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "DELETE, GET, HEAD, PUT"
    for method, rest, body in (("PUT", "", {"title": "x"}), ("PATCH", "/complete", None), ("DELETE", "", None)):
        stale = await ada.send(method, one + rest, json=body, headers={"If-Match": '"9"'})
        check_refusal(stale, 412, "TASK_CHANGED")
    check_refusal(await ada.send("POST", url(ada), content=b"x" * 70_000), 413, "BODY_TOO_LARGE")
    plain = {"Content-Type": "text/plain"}
    check_refusal(await ada.send("POST", url(ada), content=b"x", headers=plain), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert "detail" in (await ada.get("/api/tasks/x")).json()


async def test_an_unforeseen_error_has_the_shape_too(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """S0 6: 500."""

    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.tasks.service.list_tasks", explode)
    check_refusal(await ada.get(url(ada)), 500, "INTERNAL_ERROR")
