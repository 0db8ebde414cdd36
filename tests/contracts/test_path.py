"""The contract `path`: tasks below the user's id, as bare objects."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from operator import itemgetter
from typing import Any
from uuid import uuid4

import pytest

from app.tasks import pages
from tests.support.people import PASSWORD, Person
from tests.support.server import Service

FIELDS = {"id", "title", "description", "completed", "created_at", "updated_at", "user_id"}


@pytest.fixture
async def grace(service: Service) -> AsyncIterator[Person]:
    """Somebody of a service that mounts `path`, and `v1` beside it."""
    async with service(api_contracts="path, v1") as client:
        yield await Person.sign_up(client)


def url(person: Person, rest: str = "") -> str:
    return f"/api/{person.user['id']}/tasks{rest}"


async def make(person: Person, title: str = "Task") -> dict[str, Any]:
    answer = await person.send("POST", url(person), json={"title": title})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def test_tasks_are_bare_objects_with_seven_fields(grace: Person) -> None:
    """A client of `path` gets exactly the fields it knows, and an array of them. Source: PATH-001."""
    assert (await grace.get(url(grace))).json() == []
    answer = await grace.send("POST", url(grace), json={"title": "New Task", "description": "Task description"})
    task = answer.json()
    assert (answer.status_code, task.keys()) == (201, FIELDS)
    assert (task["completed"], task["user_id"]) == (False, grace.user["id"])
    assert (await grace.get(url(grace))).json() == [task]
    assert (await grace.get(url(grace, f"/{task['id']}"))).json() == task


async def test_a_long_list_is_whole(grace: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gets the whole list, though it is read and written in batches."""
    monkeypatch.setattr(pages, "BATCH", 2)
    made = [await make(grace, str(number)) for number in range(5)]
    assert (await grace.get(url(grace))).json() == made[::-1]
    assert (await grace.get(url(grace, "?order=asc&offset=1"))).json() == made[1:]
    assert (await grace.get(url(grace, "?sort=title"))).json() == made[::-1]
    assert (await grace.get(url(grace, "?sort=priority&order=asc"))).json() == sorted(made, key=itemgetter("id"))


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_put_and_patch_change_what_is_sent(grace: Person, method: str) -> None:
    """A client changes one field or several, by either verb. Source: PATH-002."""
    task = await make(grace)
    changed = (await grace.send(method, url(grace, f"/{task['id']}"), json={"completed": True})).json()
    assert changed == task | {"completed": True, "updated_at": changed["updated_at"]}
    whole = {"title": "A", "description": "B", "completed": False}
    changed = (await grace.send(method, url(grace, f"/{task['id']}"), json=whole)).json()
    assert {name: changed[name] for name in whole} == whole


async def test_completion_toggles(grace: Person) -> None:
    """A client completes a task by one request and opens it again by another. Source: PATH-003."""
    task = await make(grace)
    for completed in (True, False):
        answer = await grace.send("PATCH", url(grace, f"/{task['id']}/complete"))
        assert (answer.status_code, answer.json()["completed"]) == (200, completed)


async def test_deleting_answers_204(grace: Person) -> None:
    """A client gets 204 without a body, and the task is gone. Source: PATH-004."""
    task = await make(grace)
    answer = await grace.send("DELETE", url(grace, f"/{task['id']}"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await grace.send("DELETE", url(grace, f"/{task['id']}"))).status_code == 404


async def test_errors_have_error_beside_detail(grace: Person) -> None:
    """A client that reads `error` finds it beside `detail`, on every kind of error. Source: PATH-005."""
    bob = await Person.sign_up(grace.client)
    cases = [
        (await grace.client.get(url(grace)), 401, "Unauthorized"),
        (await grace.get(url(bob)), 403, "Forbidden"),
        (await grace.get("/api/me/tasks"), 403, "Forbidden"),
        (await grace.get(url(grace, f"/{uuid4()}")), 404, "Not Found"),
        (await grace.get(url(grace, "/5")), 404, "Not Found"),
        (await grace.send("POST", url(grace, "/5")), 405, "Method Not Allowed"),
        (await grace.send("POST", url(grace), json={}), 422, HTTPStatus(422).phrase),
        (await grace.send("POST", url(grace), content=b"{"), 400, "Bad Request"),
    ]
    for answer, status, error in cases:
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert isinstance(answer.json()["detail"], str)


async def test_nobody_reaches_anothers_tasks(grace: Person) -> None:
    """Another user's path is 403, and another user's task below one's own path is 404. Source: PATH-006."""
    bob = await Person.sign_up(grace.client)
    task = await make(bob)
    for method, rest, body in (
        ("GET", "", None),
        ("PUT", "", {"title": "x"}),
        ("PATCH", "", {"title": "x"}),
        ("PATCH", "/complete", None),
        ("DELETE", "", None),
    ):
        one = f"/{task['id']}{rest}"
        assert (await grace.send(method, url(bob, one), json=body)).status_code == 403
        assert (await grace.send(method, url(grace, one), json=body)).status_code == 404
    assert (await grace.send("POST", url(bob), json={"title": "x"})).status_code == 403
    assert (await grace.get(url(bob))).status_code == 403
    assert (await bob.get(url(bob))).json() == [task]


async def test_login_takes_json_and_the_oauth_form(grace: Person) -> None:
    """A client signs in by JSON or the OAuth form, and gets what sign-in answers. Source: PATH-007."""
    json = await grace.client.post("/api/auth/login", json={"email": grace.email, "password": PASSWORD})
    form = await grace.client.post("/api/auth/login", data={"username": grace.email, "password": PASSWORD})
    for answer in (json, form):
        assert (answer.status_code, answer.json()["user"]) == (200, grace.user)
        assert (await grace.keep(answer).get(url(grace))).status_code == 200
    wrong = await grace.client.post("/api/auth/login", data={"username": grace.email, "password": "wrong"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "Unauthorized")
    blank = await grace.client.post("/api/auth/login", data={"username": grace.email, "password": ""})
    assert (blank.status_code, blank.json()["error"]) == (401, "Unauthorized")
    assert (await grace.client.post("/api/auth/login", data={"password": "x"})).status_code == 422
    assert (await grace.client.post("/api/auth/login", data={"password": "x" * 70_000})).status_code == 413
    assert (await grace.client.get("/api/auth/login")).status_code == 405


async def test_the_other_routes_are_as_ever(grace: Person) -> None:
    """Clients of the token-scoped API and of `v1` notice nothing of the contract beside them."""
    task = await make(grace)
    assert (await grace.get(f"/api/tasks/{task['id']}")).json()["version"] == 1
    assert (await grace.get("/api/tasks")).status_code == 200
    assert (await grace.get(f"/api/v1/{grace.user['id']}/tasks")).json()["data"]["pagination"]["total"] == 1
    assert "error" not in (await grace.get("/api/tasks/x")).json()


async def test_a_path_of_two_shapes_is_refused_in_one(service: Service) -> None:
    """`/api/v1/tasks` has one answer, whichever contract is named first, and never a 500.

    To one contract it is a user called v1, to the other it is unknown.
    """
    for names in ("v1,path", "path,v1", "v1,path-enveloped"):
        async with service(api_contracts=names) as client:
            client.event_hooks["response"] = []
            answer = await client.get("/api/v1/tasks")
            assert (answer.status_code, answer.json()["success"]) == (401, False)


async def test_a_stale_write_is_refused(grace: Person) -> None:
    """A client does not overwrite what it has not seen, by any verb (`If-Match`)."""
    task = await make(grace)
    for method, rest, body in (
        ("PUT", "", {"title": "x"}),
        ("PATCH", "", {"title": "x"}),
        ("PATCH", "/complete", None),
        ("DELETE", "", None),
    ):
        stale = await grace.send(method, url(grace, f"/{task['id']}{rest}"), json=body, headers={"If-Match": '"9"'})
        assert (stale.status_code, stale.json()["error"]) == (412, "Precondition Failed")
    gone = await grace.send("DELETE", url(grace, f"/{task['id']}"), headers={"If-Match": '"1"'})
    assert gone.status_code == 204
