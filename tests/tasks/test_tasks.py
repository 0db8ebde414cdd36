"""Making, reading, changing, toggling and deleting tasks."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import psycopg
import pytest

from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import make_settings

FIELDS = {
    "id",
    "user_id",
    "title",
    "description",
    "completed",
    "status",
    "priority",
    "version",
    "created_at",
    "updated_at",
}


async def test_a_task_needs_only_a_title(ada: Person) -> None:
    """A title is enough, and the task is found where Location says.

    Source: FR-015, FR-016, FR-026, FR-027, FR-042.
    """
    answer = await ada.send("POST", "/api/tasks", json={"title": "Water the plants"})
    assert answer.status_code == 201
    task = answer.json()
    assert task.keys() == FIELDS
    assert task["user_id"] == ada.user["id"]
    assert (task["description"], task["completed"], task["status"]) == (None, False, "pending")
    assert (task["priority"], task["version"]) == ("medium", 1)
    assert task["created_at"] == task["updated_at"]
    assert datetime.fromisoformat(task["created_at"]).utcoffset() is not None
    assert task["created_at"].endswith("Z")
    assert answer.headers["location"] == f"/api/tasks/{task['id']}"
    assert (await ada.get(answer.headers["location"])).json() == task


@pytest.mark.parametrize(
    ("given", "status", "completed"),
    [
        ({}, "pending", False),
        ({"completed": False}, "pending", False),
        ({"completed": True}, "completed", True),
        ({"status": "in_progress"}, "in_progress", False),
        ({"status": "in_progress", "completed": False}, "in_progress", False),
        ({"status": "completed"}, "completed", True),
        ({"status": "completed", "completed": True}, "completed", True),
    ],
)
async def test_completed_and_status_are_one_fact(
    ada: Person, given: dict[str, Any], status: str, completed: bool
) -> None:
    """`completed` and `status` never disagree, whichever of them a client sends. Source: FR-046."""
    task = await ada.add_task(**given)
    assert (task["status"], task["completed"]) == (status, completed)


@pytest.mark.parametrize(
    "given", [{"status": "completed", "completed": False}, {"status": "pending", "completed": True}]
)
async def test_a_contradiction_is_422(ada: Person, given: dict[str, Any]) -> None:
    """A client that sends both for a new task, and they disagree, is told so. Source: FR-046."""
    answer = await ada.send("POST", "/api/tasks", json={"title": "x", **given})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "contradiction"
    assert (await ada.get("/api/tasks")).json() == []


async def test_a_contradiction_in_which_nothing_is_as_stored_is_422(ada: Person) -> None:
    """A client that changes both, and they disagree, is told so in the same words. Source: FR-046."""
    task = await ada.add_task()
    answer = await ada.send("PATCH", f"/api/tasks/{task['id']}", json={"completed": True, "status": "in_progress"})
    told = {"field": "body", "message": "has a completed that contradicts its status", "code": "contradiction"}
    assert (answer.status_code, answer.json()["errors"]) == (422, [told])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("pending", {"title": "New"}, {"title": "New"}),
        ("pending", {"description": None}, {"description": None}),
        ("pending", {"priority": "high"}, {"priority": "high"}),
        ("pending", {"completed": True}, {"completed": True, "status": "completed"}),
        ("in_progress", {"completed": False}, {}),
        ("in_progress", {"completed": True}, {"completed": True, "status": "completed"}),
        ("completed", {"completed": False}, {"completed": False, "status": "pending"}),
        ("completed", {"status": "in_progress"}, {"completed": False, "status": "in_progress"}),
        ("completed", {"completed": False, "status": "in_progress"}, {"completed": False, "status": "in_progress"}),
        ("pending", {"title": "a", "description": "b", "status": "in_progress", "priority": "low"}, None),
    ],
)
async def test_what_is_not_sent_stays_as_it_is(
    ada: Person, method: str, before: str, change: dict[str, Any], after: dict[str, Any] | None
) -> None:
    """An update changes what was sent, and nothing else. Source: FR-020, FR-028."""
    task = await ada.add_task(description="First the fern", status=before)
    answer = await ada.send(method, f"/api/tasks/{task['id']}", json=change)
    assert answer.status_code == 200
    changed = answer.json()
    assert changed == task | (change if after is None else after) | {
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] >= task["updated_at"]
    assert (await ada.get(f"/api/tasks/{task['id']}")).json() == changed


@pytest.mark.parametrize(
    "body", [{}, {"other": 1}, {"title": None}, {"status": None}, {"priority": None}, {"completed": None}]
)
async def test_an_update_that_says_nothing_is_422(ada: Person, body: dict[str, Any]) -> None:
    """A client whose update has nothing in it is told so, and nothing changes. Source: FR-029."""
    task = await ada.add_task()
    assert (await ada.send("PUT", f"/api/tasks/{task['id']}", json=body)).status_code == 422
    assert (await ada.get(f"/api/tasks/{task['id']}")).json() == task


@pytest.mark.parametrize(
    ("before", "after"), [("pending", "completed"), ("in_progress", "completed"), ("completed", "pending")]
)
async def test_toggling_goes_between_completed_and_pending(ada: Person, before: str, after: str) -> None:
    """One request completes a task, the next opens it again. Source: FR-021."""
    task = await ada.add_task(status=before)
    answer = await ada.send("PATCH", f"/api/tasks/{task['id']}/toggle")
    assert (answer.status_code, answer.json()["status"], answer.json()["version"]) == (200, after, 2)


async def test_a_deleted_task_is_gone_on_every_verb(ada: Person) -> None:
    """A deleted task is gone for good. Source: FR-022."""
    task = await ada.add_task()
    url = f"/api/tasks/{task['id']}"
    answer = await ada.send("DELETE", url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    for method, path, body in (
        ("GET", url, None),
        ("PUT", url, {"title": "x"}),
        ("PATCH", url, {"title": "x"}),
        ("PATCH", f"{url}/toggle", None),
        ("DELETE", url, None),
    ):
        answer = await ada.send(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "TASK_NOT_FOUND")


async def test_a_body_is_judged_before_the_task_is_looked_for(ada: Person) -> None:
    """Validation tells nothing about other users' ids: 422 comes before 404, and 404 before 412."""
    url = f"/api/tasks/{uuid4()}"
    stale = {"If-Match": '"9"'}
    assert (await ada.send("PUT", url, json={}, headers=stale)).status_code == 422
    assert (await ada.send("PUT", url, json={"title": "x"}, headers=stale)).status_code == 404
    task = await ada.add_task()
    assert (await ada.send("PUT", f"/api/tasks/{task['id']}", json={"title": "x"}, headers=stale)).status_code == 412


@pytest.mark.core
async def test_many_updates_at_once_leave_one_whole(ada: Person) -> None:
    """Updates at once are not mixed; versions count up, and time never runs backwards."""
    task = await ada.add_task()
    url = f"/api/tasks/{task['id']}"
    bodies = [{"title": f"title {n}", "description": f"description {n}"} for n in range(30)]
    answers = await asyncio.gather(*(ada.send("PUT", url, json=body) for body in bodies))
    seen = sorted((a.json()["version"], a.json()["updated_at"]) for a in answers)
    assert [version for version, _ in seen] == list(range(2, 32))
    assert [moment for _, moment in seen] == sorted(moment for _, moment in seen)
    last = (await ada.get(url)).json()
    assert last["title"].split()[1] == last["description"].split()[1]


@pytest.mark.core
async def test_toggles_at_once_are_none_lost(ada: Person) -> None:
    """Every toggle counts, also when many come at once."""
    task = await ada.add_task()
    await asyncio.gather(*(ada.send("PATCH", f"/api/tasks/{task['id']}/toggle") for _ in range(21)))
    assert (await ada.get(f"/api/tasks/{task['id']}")).json()["completed"] is True


@pytest.mark.core
async def test_update_against_delete_is_no_error(ada: Person) -> None:
    """An update that races a deletion is done or finds nothing, and is never an error of the server."""
    for _ in range(10):
        url = f"/api/tasks/{(await ada.add_task())['id']}"
        put, gone = await asyncio.gather(ada.send("PUT", url, json={"title": "x"}), ada.send("DELETE", url))
        assert put.status_code in (200, 404)
        assert gone.status_code == 204


@pytest.mark.core
class TestConditions:
    """Entity tags (RFC 9110 8.8.3 and 13.1)."""

    async def test_the_tag_changes_with_the_task(self, ada: Person) -> None:
        """A client knows by its tag whether a task has changed."""
        task = await ada.add_task()
        url = f"/api/tasks/{task['id']}"
        assert (await ada.get(url)).headers["etag"] == '"1"'
        assert (await ada.send("PATCH", f"{url}/toggle")).headers["etag"] == '"2"'

    @pytest.mark.parametrize(
        ("tag", "status"),
        [
            ('"1"', 304),
            ('W/"1"', 304),
            ('"0", "1"', 304),
            ("*", 304),
            ('"1-gzip"', 304),
            ('W/"1--gzip"', 304),
            ('"2"', 200),
            ("1", 200),
            ("", 200),
        ],
    )
    async def test_an_unchanged_task_is_not_sent_again(self, ada: Person, tag: str, status: int) -> None:
        """A client that has the task already is not sent it again."""
        task = await ada.add_task()
        answer = await ada.get(f"/api/tasks/{task['id']}", headers={"If-None-Match": tag})
        assert (answer.status_code, answer.headers["etag"]) == (status, '"1"')
        assert bool(answer.content) == (status == 200)

    @pytest.mark.parametrize(
        ("tag", "passes"),
        [('"1"', True), ("*", True), ('"7","1"', True), ('W/"1"', True), ('"2"', False), ("garbage", False)],
    )
    async def test_a_write_may_be_meant_for_one_version(self, ada: Person, tag: str, passes: bool) -> None:
        """A client does not overwrite what it has not seen."""
        for method, suffix, body in (("PUT", "", {"title": "x"}), ("PATCH", "/toggle", None), ("DELETE", "", None)):
            task = await ada.add_task()
            url = f"/api/tasks/{task['id']}"
            answer = await ada.send(method, url + suffix, json=body, headers={"If-Match": tag})
            assert answer.is_success if passes else answer.status_code == 412
            if not passes:
                assert (await ada.get(url)).json() == task

    async def test_of_two_writers_with_one_tag_one_passes(self, ada: Person) -> None:
        """Of two people who change the same version, one is told so."""
        task = await ada.add_task()
        options: dict[str, Any] = {"headers": {"If-Match": '"1"'}}
        answers = await asyncio.gather(
            *(ada.send("PUT", f"/api/tasks/{task['id']}", json={"title": t}, **options) for t in "ab")
        )
        assert sorted(a.status_code for a in answers) == [200, 412]


@pytest.mark.core
class TestIdempotency:
    """A create that may be sent again."""

    async def send(self, person: Person, key: str, title: str = "Once") -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return await person.send("POST", "/api/tasks", json={"title": title}, headers=headers)

    async def test_a_retry_gives_the_same_task(self, ada: Person) -> None:
        """A client whose answer was lost sends the create again and gets the task that it made."""
        key = "a" * 254 + "~"
        first, again, other = [await self.send(ada, key, title) for title in ("Once", "Once", "Another")]
        assert (first.status_code, again.status_code, other.status_code) == (201, 200, 200)
        assert first.content == again.content == other.content
        assert first.headers["location"] == again.headers["location"]
        assert len((await ada.get("/api/tasks")).json()) == 1

    async def test_many_at_once_make_one(self, ada: Person) -> None:
        """A create that is sent many times at once makes one task."""
        answers = await asyncio.gather(*(self.send(ada, "key") for _ in range(20)))
        assert sorted(a.status_code for a in answers) == [200] * 19 + [201]
        assert len({a.content for a in answers}) == 1

    async def test_a_key_is_its_owners_own(self, ada: Person, bob: Person) -> None:
        """Two users may choose the same key, and each knows beforehand which id their task will have."""
        for person, title in ((ada, "Ada's"), (bob, "Bob's")):
            answer = await self.send(person, "key", title)
            assert (answer.status_code, answer.json()["title"]) == (201, title)
            assert answer.json()["id"] == str(uuid5(UUID(person.user["id"]), "key"))

    async def test_after_a_deletion_it_is_made_anew(self, ada: Person) -> None:
        """A key may be used again once its task is deleted."""
        task = (await self.send(ada, "key")).json()
        await ada.send("DELETE", f"/api/tasks/{task['id']}")
        assert (await self.send(ada, "key")).status_code == 201

    async def test_a_task_that_keeps_vanishing_is_503(self, own_database_url: str) -> None:
        """A request ends, though a task is neither inserted nor found, again and again."""
        async with running(make_settings(own_database_url)) as client:
            ada = await Person.sign_up(client)
            with psycopg.connect(own_database_url, autocommit=True) as admin:
                admin.execute(
                    "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
                    "CREATE TRIGGER t BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION vanish()"
                )
            assert (await self.send(ada, "key")).status_code == 503

    @pytest.mark.parametrize("key", ["", " ", "a b", "a" * 256, "é", "\t"])
    async def test_a_bad_key_is_422(self, ada: Person, key: str) -> None:
        """A client that sends a key of another form is told so, and makes nothing."""
        answer = await ada.send(
            "POST", "/api/tasks", json={"title": "x"}, headers={"Idempotency-Key": key.encode("latin-1")}
        )
        assert answer.status_code == 422
        assert (await ada.get("/api/tasks")).json() == []


async def test_several_lines_of_a_condition_are_one_list(ada: Person) -> None:
    """A condition holds though a proxy splits its header into several lines (RFC 9110 5.3)."""
    task = await ada.add_task()
    url = f"/api/tasks/{task['id']}"
    lines = [("If-Match", '"9"'), ("If-Match", '"1"'), *ada.bearer.items()]
    assert (await ada.client.patch(url, json={"title": "y"}, headers=lines)).status_code == 200
    lines = [("If-None-Match", '"9"'), ("If-None-Match", 'w/"2"'), *ada.bearer.items()]
    assert (await ada.client.get(url, headers=lines)).status_code == 304
