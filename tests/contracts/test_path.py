"""`path`, line by line of its specifications (S1 and S3)."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from operator import itemgetter
from typing import Any
from uuid import uuid4

import pytest

from app.tasks import pages
from tests.conftest import Service
from tests.support import PASSWORD, Person

FIELDS = {"id", "title", "description", "completed", "created_at", "updated_at", "user_id"}


@pytest.fixture
async def ada(service: Service) -> AsyncIterator[Person]:
    async with service(api_contracts="path, v1") as client:
        yield await Person.sign_up(client)


def url(person: Person, rest: str = "") -> str:
    return f"/api/{person.user['id']}/tasks{rest}"


async def make(person: Person, title: str = "Task") -> dict[str, Any]:
    answer = await person.send("POST", url(person), json={"title": title})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def test_tasks_are_bare_objects_with_seven_fields(ada: Person) -> None:
    """S1, create and list: 201 and the task; 200 and an array, [] when empty; no fewer, no more fields."""
    assert (await ada.get(url(ada))).json() == []
    answer = await ada.send("POST", url(ada), json={"title": "New Task", "description": "Task description"})
    task = answer.json()
    assert (answer.status_code, task.keys()) == (201, FIELDS)
    assert (task["completed"], task["user_id"]) == (False, ada.user["id"])
    assert (await ada.get(url(ada))).json() == [task]
    assert (await ada.get(url(ada, f"/{task['id']}"))).json() == task


async def test_a_long_list_is_whole(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and written in batches."""
    monkeypatch.setattr(pages, "BATCH", 2)
    made = [await make(ada, str(number)) for number in range(5)]
    assert (await ada.get(url(ada))).json() == made[::-1]
    assert (await ada.get(url(ada, "?order=asc&offset=1"))).json() == made[1:]
    assert (await ada.get(url(ada, "?sort=title"))).json() == made[::-1]
    assert (await ada.get(url(ada, "?sort=priority&order=asc"))).json() == sorted(made, key=itemgetter("id"))


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_put_and_patch_change_what_is_sent(ada: Person, method: str) -> None:
    """S1 US3: several fields or one; updated_at moves."""
    task = await make(ada)
    changed = (await ada.send(method, url(ada, f"/{task['id']}"), json={"completed": True})).json()
    assert changed == task | {"completed": True, "updated_at": changed["updated_at"]}
    whole = {"title": "A", "description": "B", "completed": False}
    changed = (await ada.send(method, url(ada, f"/{task['id']}"), json=whole)).json()
    assert {name: changed[name] for name in whole} == whole


async def test_completion_toggles(ada: Person) -> None:
    """S3: PATCH /complete."""
    task = await make(ada)
    for completed in (True, False):
        answer = await ada.send("PATCH", url(ada, f"/{task['id']}/complete"))
        assert (answer.status_code, answer.json()["completed"]) == (200, completed)


async def test_deleting_answers_204(ada: Person) -> None:
    """S1 US4."""
    task = await make(ada)
    answer = await ada.send("DELETE", url(ada, f"/{task['id']}"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await ada.send("DELETE", url(ada, f"/{task['id']}"))).status_code == 404


async def test_errors_have_error_beside_detail(ada: Person) -> None:
    """S1, error handling: {"error", "detail"} on 401, 403, 404, 405 and 422."""
    bob = await Person.sign_up(ada.client)
    cases = [
        (await ada.client.get(url(ada)), 401, "Unauthorized"),
        (await ada.get(url(bob)), 403, "Forbidden"),
        (await ada.get("/api/me/tasks"), 403, "Forbidden"),
        (await ada.get(url(ada, f"/{uuid4()}")), 404, "Not Found"),
        (await ada.get(url(ada, "/5")), 404, "Not Found"),
        (await ada.send("POST", url(ada, "/5")), 405, "Method Not Allowed"),
        (await ada.send("POST", url(ada), json={}), 422, HTTPStatus(422).phrase),
        (await ada.send("POST", url(ada), content=b"{"), 400, "Bad Request"),
    ]
    for answer, status, error in cases:
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert isinstance(answer.json()["detail"], str)


async def test_nobody_reaches_anothers_tasks(ada: Person) -> None:
    """S1, test_user_isolation: not by path (403), not by id under one's own path (404)."""
    bob = await Person.sign_up(ada.client)
    task = await make(bob)
    for method, rest, body in (
        ("GET", "", None),
        ("PUT", "", {"title": "x"}),
        ("PATCH", "", {"title": "x"}),
        ("PATCH", "/complete", None),
        ("DELETE", "", None),
    ):
        one = f"/{task['id']}{rest}"
        assert (await ada.send(method, url(bob, one), json=body)).status_code == 403
        assert (await ada.send(method, url(ada, one), json=body)).status_code == 404
    assert (await ada.send("POST", url(bob), json={"title": "x"})).status_code == 403
    assert (await ada.get(url(bob))).status_code == 403
    assert (await bob.get(url(bob))).json() == [task]


async def test_login_takes_json_and_the_oauth_form(ada: Person) -> None:
    """S3: POST /api/auth/login, answering like sign-in."""
    json = await ada.client.post("/api/auth/login", json={"email": ada.email, "password": PASSWORD})
    form = await ada.client.post("/api/auth/login", data={"username": ada.email, "password": PASSWORD})
    for answer in (json, form):
        assert (answer.status_code, answer.json()["user"]) == (200, ada.user)
        assert (await ada.keep(answer).get(url(ada))).status_code == 200
    wrong = await ada.client.post("/api/auth/login", data={"username": ada.email, "password": "wrong"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "Unauthorized")
    blank = await ada.client.post("/api/auth/login", data={"username": ada.email, "password": ""})
    assert (blank.status_code, blank.json()["error"]) == (401, "Unauthorized")
    assert (await ada.client.post("/api/auth/login", data={"password": "x"})).status_code == 422
    assert (await ada.client.post("/api/auth/login", data={"password": "x" * 70_000})).status_code == 413
    assert (await ada.client.get("/api/auth/login")).status_code == 405


async def test_the_other_routes_are_as_ever(ada: Person) -> None:
    """The token-scoped API stands beside it, and v1 too."""
    task = await make(ada)
    assert (await ada.get(f"/api/tasks/{task['id']}")).json()["version"] == 1
    assert (await ada.get("/api/tasks")).status_code == 200
    assert (await ada.get(f"/api/v1/{ada.user['id']}/tasks")).json()["data"]["pagination"]["total"] == 1
    assert "error" not in (await ada.get("/api/tasks/x")).json()


async def test_a_path_of_two_shapes_is_refused_in_one(service: Service) -> None:
    """`/api/v1/tasks` is a user called v1 to one and unknown to the other: whichever is first, never a 500."""
    for names in ("v1,path", "path,v1", "v1,path-enveloped"):
        async with service(api_contracts=names) as client:
            client.event_hooks["response"] = []
            answer = await client.get("/api/v1/tasks")
            assert (answer.status_code, answer.json()["success"]) == (401, False)


async def test_a_stale_write_is_refused(ada: Person) -> None:
    """`If-Match`, on every write."""
    task = await make(ada)
    for method, rest, body in (
        ("PUT", "", {"title": "x"}),
        ("PATCH", "", {"title": "x"}),
        ("PATCH", "/complete", None),
        ("DELETE", "", None),
    ):
        stale = await ada.send(method, url(ada, f"/{task['id']}{rest}"), json=body, headers={"If-Match": '"9"'})
        assert (stale.status_code, stale.json()["error"]) == (412, "Precondition Failed")
    gone = await ada.send("DELETE", url(ada, f"/{task['id']}"), headers={"If-Match": '"1"'})
    assert gone.status_code == 204
