"""What holds for tasks in every shape in which they are served."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest

from app.tasks import pages
from tests.support.checks import check_moments
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service, running
from tests.support.settings import make_settings
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


@pytest.fixture(scope="module", params=SHAPES)
async def spoken(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[tuple[Shape, httpx.AsyncClient]]:
    """A shape, and a client of a service that mounts it."""
    shape = SHAPES[request.param]
    async with running(make_settings(database_url, api_contracts=shape.contracts)) as client:
        client.event_hooks["response"] = []  # errors have other shapes here
        yield shape, client


@pytest.fixture
async def grace(spoken: tuple[Shape, httpx.AsyncClient]) -> Speaker:
    """Somebody who speaks the shape."""
    shape, client = spoken
    return Speaker(await Person.sign_up(client), shape)


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


PROXIES = ['W/"1"', 'w/"1"', '"1-gzip"', '"1-br"', '"1-zstd"', '"1-deflate"', '"1;gzip"', '"1--gzip"', 'W/"1-gzip"']
"""What proxies that compress make of `"1"`: nginx and HAProxy, Apache, Caddy, Jetty."""
UNREADABLE = ["", "1", "garbage", '""', '"x"', '"0"', '"1-x"', '"1-"', "W/1", '"-gzip"', '"1.0"', '"99999999999"', '"1']


class TestConditions:
    """`If-Match` and `If-None-Match` of every write (RFC 9110 13.1)."""

    async def check(self, grace: Speaker, name: str, tag: str, code: str | None) -> None:
        """Send every write of a task with this header; it is done, or refused with this code and nothing is written."""
        for method, rest, body in grace.shape.writes():
            task = await grace.add()
            answer = await grace.send(method, task, rest, json=body, headers={name: tag})
            if code is None:
                assert answer.is_success, (method, rest, tag, answer.text)
            else:
                assert (answer.status_code, grace.shape.code(answer)) == (412, code), (method, rest, tag)
                assert await grace.stored(task) == task

    @pytest.mark.parametrize("tag", ['"1"', "*", '"7", "1"', *PROXIES, f'"7", {", ".join(PROXIES)}', '"x", "1-br"'])
    async def test_a_write_for_the_version_that_is_there_is_done(self, grace: Speaker, tag: str) -> None:
        """A client writes what it has read, also through a proxy that compresses."""
        await self.check(grace, "If-Match", tag, None)

    @pytest.mark.parametrize("tag", ['"2"', 'W/"2"', '"2-gzip"', '"2", "3"', '"x", "2"'])
    async def test_a_write_for_another_version_is_412(self, grace: Speaker, tag: str) -> None:
        """A client does not overwrite what it has not seen."""
        await self.check(grace, "If-Match", tag, "TASK_CHANGED")

    @pytest.mark.parametrize("tag", UNREADABLE)
    async def test_a_tag_without_a_version_is_told_apart(self, grace: Speaker, tag: str) -> None:
        """A client that sends no version is told which form to send, not that somebody has changed the task."""
        await self.check(grace, "If-Match", tag, "NO_VERSION_IN_TAG")

    @pytest.mark.parametrize("tag", ["*", '"1"', '"7", "1"', *PROXIES])
    async def test_what_must_not_be_there_is_not_overwritten(self, grace: Speaker, tag: str) -> None:
        """A client that writes only what does not exist, or is not this, overwrites nothing (RFC 9110 13.1.2)."""
        await self.check(grace, "If-None-Match", tag, "PRECONDITION_FAILED")

    @pytest.mark.parametrize("tag", ['"2"', '"7", W/"9"', *UNREADABLE])
    async def test_what_may_be_there_is_overwritten(self, grace: Speaker, tag: str) -> None:
        """A client that excludes another version writes."""
        await self.check(grace, "If-None-Match", tag, None)

    @pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
    @pytest.mark.parametrize("tag", ["*", '"1"', '"2"', "garbage"])
    async def test_a_missing_task_is_404_before_412(self, grace: Speaker, name: str, tag: str) -> None:
        """A client whose task is gone is told that, whatever it asks of it."""
        task = await grace.add()
        await grace.send("DELETE", task)
        for method, rest, body in grace.shape.writes():
            answer = await grace.send(method, task, rest, json=body, headers={name: tag})
            assert (answer.status_code, grace.shape.code(answer)) == (404, "TASK_NOT_FOUND")

    async def test_both_must_hold(self, grace: Speaker) -> None:
        """Of two conditions each can refuse."""
        task = await grace.add()
        for match, none_match, status in (('"1"', '"1"', 412), ('"2"', '"2"', 412), ('"1"', '"2"', 200)):
            headers = {"If-Match": match, "If-None-Match": none_match}
            assert (await grace.tick(task, headers=headers)).status_code == status


CONTRADICTIONS = [
    # stored, completed, status, and the status that comes of it; None where both differ from what is stored
    ("pending", True, "pending", "completed"),
    ("in_progress", True, "in_progress", "completed"),
    ("completed", False, "completed", "pending"),
    ("completed", True, "pending", "pending"),
    ("completed", True, "in_progress", "in_progress"),
    ("pending", False, "completed", "completed"),
    ("in_progress", False, "completed", "completed"),
    ("pending", True, "in_progress", None),
    ("in_progress", True, "pending", None),
]


class TestContradictions:
    """`completed` and `status` in one body, which say different things. Source: FR-046."""

    async def change(self, grace: Speaker, task: dict[str, Any], body: dict[str, Any], tag: str = "*") -> set[Any]:
        """Send a body by each verb; return the statuses that the task then has, or the codes of the refusals."""
        found = set()
        for method in grace.shape.change:
            again = await grace.add(status=task["status"])
            answer = await grace.send(method, again, json={**body}, headers={"If-Match": tag})
            now = await grace.stored(again)
            if answer.is_success:
                found.add(now["status"])
                assert (now["version"], answer.headers["etag"]) == (2, '"2"')
                assert grace.shape.task(answer)["completed"] is (now["status"] == "completed")
            else:
                found.add((answer.status_code, grace.shape.code(answer)))
                assert now == again
        return found

    @pytest.mark.parametrize(("stored", "completed", "status", "after"), CONTRADICTIONS)
    @pytest.mark.parametrize("tag", ["*", '"7", "1"'])
    async def test_what_differs_from_what_is_stored_counts(
        self, grace: Speaker, stored: str, completed: bool, status: str, after: str | None, tag: str
    ) -> None:
        """A page sends back the whole task with one of the two changed, and that is done."""
        task = await grace.add(status=stored)
        expected: Any = after or (422, "VALIDATION_FAILED")
        for further in ({}, {"version": 1}, {"title": "x", "version": "1"}, {"version": None}, {"version": True}):
            body = {"completed": completed, "status": status, **further}
            assert await self.change(grace, task, body, tag) == {expected}, further

    async def test_a_whole_task_with_a_tick_is_ticked(self, grace: Speaker) -> None:
        """`{...task, completed: true}`, the commonest way to tick a task, ticks it; and its opposite opens it again."""
        for method in grace.shape.change:
            task = await grace.add(description="First the fern")
            for completed in (True, False):
                answer = await grace.send(method, task, json={**task, "completed": completed})
                now = grace.shape.task(answer)
                assert (now["completed"], now["title"]) == (completed, task["title"])
                task = await grace.stored(task)
            assert (task["status"], task["version"]) == ("pending", 3)

    async def test_a_stale_pages_tick_does_not_untick(self, grace: Speaker) -> None:
        """Two pages tick the same task: the second one is told that it has changed, and it stays ticked."""
        for method in grace.shape.change:
            task = await grace.add()
            sends = [grace.send(method, task, json={**task, "completed": True}) for _ in range(8)]
            answers = await asyncio.gather(*sends)
            assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
            assert {grace.shape.code(answer) for answer in answers if answer.is_error} == {"TASK_CHANGED"}
            now = await grace.stored(task)
            assert (now["completed"], now["version"]) == (True, 2)

    @pytest.mark.parametrize("version", [0, 2, 2**31, 10**30])
    @pytest.mark.parametrize(("stored", "completed", "status", "after"), CONTRADICTIONS[::3])
    async def test_another_version_is_412_before_422(
        self, grace: Speaker, stored: str, completed: bool, status: str, after: str | None, version: int
    ) -> None:
        """A contradiction that was read from another version is no longer judged."""
        task = await grace.add(status=stored)
        body = {"completed": completed, "status": status, "version": version}
        assert await self.change(grace, task, body) == {(412, "TASK_CHANGED")}

    async def test_without_a_contradiction_the_version_in_a_body_means_nothing(self, grace: Speaker) -> None:
        """A whole task may be sent back as ever, whichever version it was."""
        for method in grace.shape.change:
            for version in (7, "x", None, 2**70, [1]):
                task = await grace.add()
                answer = await grace.send(method, task, json={**task, "title": "New", "version": version})
                assert grace.shape.task(answer)["title"] == "New"
                nothing = await grace.send(method, task, json={"version": version})
                assert (nothing.status_code, grace.shape.code(nothing)) == (422, "VALIDATION_FAILED")

    async def test_404_and_412_come_before_it(self, grace: Speaker) -> None:
        """Who contradicts himself about a task that is gone, or is another now, is told that first."""
        both_differ = {"completed": True, "status": "in_progress"}
        for method in grace.shape.change:
            task = await grace.add()
            for name, tag, code in (
                ("If-Match", '"9"', "TASK_CHANGED"),
                ("If-Match", '"x"', "NO_VERSION_IN_TAG"),
                ("If-None-Match", "*", "PRECONDITION_FAILED"),
            ):
                answer = await grace.send(method, task, json=both_differ, headers={name: tag})
                assert (answer.status_code, grace.shape.code(answer)) == (412, code)
            await grace.send("DELETE", task)
            answer = await grace.send(method, task, json={**both_differ, "version": 9})
            assert (answer.status_code, grace.shape.code(answer)) == (404, "TASK_NOT_FOUND")

    async def test_on_create_it_is_422(self, grace: Speaker) -> None:
        """There is nothing stored that could decide."""
        for completed, status in ((True, "pending"), (True, "in_progress"), (False, "completed")):
            body = {"title": "x", "completed": completed, "status": status}
            answer = await grace.person.send("POST", grace.shape.url(grace.person), json=body)
            assert (answer.status_code, grace.shape.code(answer)) == (422, "VALIDATION_FAILED")


@pytest.mark.parametrize("name", SHAPES)
async def test_times_always_have_six_digits(name: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strict parser, of Swift or Java, reads every time, also the one in a million that has no fraction."""
    monkeypatch.setattr(pages, "BATCH", 2)
    shape, clock = SHAPES[name], FrozenClock(datetime.now(UTC).replace(microsecond=0))
    async with service(api_contracts=shape.contracts, clock=clock) as client:
        client.event_hooks["response"] = []  # errors have other shapes here
        speaker = Speaker(await Person.sign_up(client), shape)
        person, tasks = speaker.person, shape.url(speaker.person)
        title = '"created_at":"2026-01-07T10:00:00Z" 2026-01-07T10:00:00Z'
        made = [await speaker.add(title=title, description=title) for _ in range(5)]
        answers = [await person.send("POST", tasks, json={"title": title}), await person.get(tasks)]
        answers += [await speaker.send(method, made[0], rest, json=body) for method, rest, body in shape.writes()[:-1]]
        answers += [
            await speaker.send("GET", made[1]),
            await person.get(f"{tasks}?limit=2"),
            await person.get("/api/tasks?order=asc"),
        ]
        answers += [await speaker.send("DELETE", made[0]), await speaker.send("GET", made[0])]
        answers += [await person.get("/api/tasks/changes"), await person.get("/api/auth/me")]
        answers += [
            await person.get("/api/auth/sessions"),
            await person.send("PATCH", "/api/auth/me", json={"name": "A"}),
        ]
        answers += [await client.post("/api/auth/signin", json={"email": person.email, "password": PASSWORD})]
    assert sum(check_moments(answer.text) for answer in answers) > 20
    (listed,) = [answer.json() for answer in answers if answer.request.url.raw_path == b"/api/tasks?order=asc"]
    assert {(task["title"], task["description"]) for task in listed} == {(title, title), (title, None), ("New", title)}


class TestQueries:
    """Optional parameters, as forms send them."""

    async def test_an_empty_parameter_is_one_that_was_not_sent(self, grace: Speaker) -> None:
        """A form that sends every field, filled in or not, gets what the filled ones ask for."""
        person, url = grace.person, grace.shape.url(grace.person)
        for title in "abc":
            await grace.add(title=title, status="completed" if title == "b" else "pending")
        document = (await person.get("/openapi.json")).json()
        lists = [
            (document["paths"][grace.shape.tasks]["get"], url),
            (document["paths"]["/api/tasks/changes"]["get"], "/api/tasks/changes"),
        ]
        for operation, at in lists:
            names = [sent["name"] for sent in operation["parameters"] if sent["in"] == "query"]
            assert names
            plain = data_of(await person.get(at))
            for query in (*(f"{name}=" for name in names), *names, "&".join(f"{name}=" for name in names)):
                answer = await person.get(f"{at}?{query}")
                assert (answer.status_code, data_of(answer)) == (200, plain), query
                assert answer.headers.keys() == (await person.get(at)).headers.keys()
        few = await person.get(f"{url}?status=completed&order=&sort=&limit=&offset=&q=")
        assert few.text.count('"title"') == 1

    async def test_a_wrong_parameter_stays_422(self, grace: Speaker) -> None:
        """A client that sends something else than it may is told so, blanks included."""
        url = grace.shape.url(grace.person)
        names = ["status", "limit", "offset", "sort", "order"]
        names += [] if grace.shape.contracts == "v1" else ["completed", "priority", "cursor"]
        for name in names:
            for value in ("%20", "x", "null", "%00", "&".join(["", f"{name}=x"])):
                answer = await grace.person.get(f"{url}?{name}={value}")
                assert (answer.status_code, grace.shape.code(answer)) == (422, "VALIDATION_FAILED"), (name, value)


def data_of(answer: httpx.Response) -> Any:
    """Return a body without what is of the moment."""
    body = answer.json()
    return (
        {name: value for name, value in body.items() if name not in ("meta", "next")}
        if isinstance(body, dict)
        else body
    )


@pytest.mark.parametrize("name", SHAPES)
async def test_a_frontend_lives_its_whole_life(name: str, service: Service) -> None:
    """What a frontend does from the first sign-up to the last sign-out works, and each refusal has a sentence to show.

    Signing up, in, listing, creating, editing, ticking, deleting, a reload, an access token that runs out, signing out.
    """
    shape, clock, email = SHAPES[name], FrozenClock(), new_email()
    sign_up, sign_in, sign_out = (
        ("register", "login", "logout") if name == "aliases" else ("signup", "signin", "signout")
    )
    account = {"email": email, "password": PASSWORD}
    async with service(api_contracts=shape.contracts, clock=clock) as client:
        client.event_hooks["response"] = []  # errors have other shapes here
        assert (await client.post(f"/api/auth/{sign_up}", json={**account, "name": "Grace"})).status_code == 201
        taken = await client.post(f"/api/auth/{sign_up}", json=account)
        assert (taken.status_code, taken.json()["detail"]) == (
            409,
            "An account with this e-mail address already exists.",
        )
        grace = Person(client, email).keep(await client.post(f"/api/auth/{sign_in}", json=account))
        me = Speaker(grace, shape)
        url = shape.url(grace)
        task = shape.task(await grace.send("POST", url, json={"title": "Buy milk", "description": ""}))
        assert (task["title"], task["completed"]) == ("Buy milk", False)
        for method in shape.change:
            task = shape.task(await me.send(method, task, json={**task, "title": f"Buy {method}", "completed": False}))
            assert task["title"] == f"Buy {method}"
        for completed in (True, False, True):
            task = shape.task(await me.tick(task, json={"completed": completed}))
            assert task["completed"] is completed
        again = Person(client, email, access_token=grace.access_token, refresh_token=grace.refresh_token)  # a reload
        again.user = (await again.get("/api/auth/me")).json()
        assert task["id"] in (await again.get(url)).text
        clock.advance(minutes=16)
        expired = await again.get(url)
        assert (expired.status_code, shape.code(expired)) == (401, "INVALID_TOKEN")
        again.keep(await again.refresh())
        assert (await again.get(url)).text.count(task["id"]) == 1
        assert (await Speaker(again, shape).send("DELETE", task)).is_success
        assert task["id"] not in (await again.get(url)).text
        missing = await Speaker(again, shape).send("GET", task)
        assert (missing.status_code, shape.code(missing)) == (404, "TASK_NOT_FOUND")
        assert (await again.send("POST", f"/api/auth/{sign_out}")).status_code == 200
        assert (await again.get(url)).status_code == 401
        assert (await again.refresh()).status_code == 401
