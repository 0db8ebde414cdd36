"""What goes wrong, in which order, and what a client must have done at the end."""

import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from service import Account, Answer, Json, Refused, Request, Service

CONFLICTS = Path(__file__).parent.parent / "conflicts.json"
PASSWORD = "correct horse"
HOTEL = "<html>Welcome to our hotel</html>"
PLAIN = {"description": None, "priority": "medium", "status": "pending"}
SECONDS = 20

Steps = Generator[Json, Json, Any]


class Unsupported(Exception):
    """The client has no such operation."""


@dataclass
class Scenario:
    """A story, and the sentences that it proves."""

    name: str
    must: tuple[str, ...]
    tell: Callable[["Stage"], Steps]


SCENARIOS: list[Scenario] = []


def scenario(*must: str) -> Callable[[Callable[["Stage"], Steps]], None]:
    """Add a story that proves these sentences."""

    def add(tell: Callable[["Stage"], Steps]) -> None:
        SCENARIOS.append(Scenario(tell.__name__.replace("_", " "), must, tell))

    return add


@dataclass
class Stage:
    """Where a story is told: the service, the person, and what was seen to hold so far."""

    service: Service
    held: list[tuple[bool, str]] = field(default_factory=list)
    email: str = ""

    def must(self, holds: bool, seen: object = "") -> None:
        """Say whether the next sentence holds."""
        self.held.append((holds, str(seen)))

    @property
    def account(self) -> Account:
        return self.service.accounts[self.email]

    def to(self, route: str) -> list[Request]:
        """Return what was sent to a route."""
        return [request for request in self.service.seen if request.route.startswith(route)]

    def begin(self) -> Steps:
        """Let somebody sign up on a new device."""
        self.email = f"{uuid4().hex}@example.com"
        yield from done({"do": "begin"})
        yield from done({"do": "sign_up", "email": self.email, "password": PASSWORD})

    def is_settled(self, tasks: list[Json]) -> bool:
        """Return whether a copy is what the service has."""
        return by_id(tasks) == by_id(list(self.account.tasks.values()))

    def wait(self, holds: Callable[[], bool]) -> bool:
        """Wait until the service has seen it."""
        with self.service.changes:
            return self.service.changes.wait_for(holds, SECONDS)


def step(it: Json) -> Steps:
    """Have the client do something, and return what came of it."""
    result = yield it
    if result.get("unsupported"):
        raise Unsupported(it["do"])
    return result


def done(it: Json) -> Steps:
    """Have it do something that must go well."""
    result = yield from step(it)
    assert "error" not in result, f"{it['do']} failed: {result}"
    return result


def until_done(it: Json) -> Steps:
    """Have it do something, again if that failed on the way."""
    for _ in range(3):
        result = yield from step(it)
        if "error" not in result:
            return result
    raise AssertionError(f"{it['do']} failed three times: {result}")


def by_id(tasks: list[Json]) -> dict[str, Json]:
    names = ("title", "description", "status", "priority")
    return {task["id"]: {name: task[name] for name in names} for task in tasks}


def pairs_of(requests: list[Request]) -> list[tuple[Any, Any]]:
    return [(request.body.get("refresh_token"), request.key) for request in requests]


LIST, SYNC, LOCAL_LIST = {"do": "list"}, {"do": "sync"}, {"do": "local_list"}
REFRESH = "POST /api/auth/refresh"


# The session.


@scenario(
    "When the access token has expired it exchanges the tokens and sends the request again; nobody notices.",
    "A refresh carries an Idempotency-Key of 22 to 255 characters, another one for each pair of tokens.",
    "A refresh token that was exchanged is never sent again.",
)
def an_access_token_expires(stage: Stage) -> Steps:
    yield from stage.begin()
    for _ in range(3):
        stage.service.expire_access()
        yield from done(LIST)
    tokens, keys = zip(*pairs_of(stage.to(REFRESH)), strict=True)
    stage.must(len(tokens) == 3, tokens)
    stage.must(len(set(keys)) == 3 and all(key and 22 <= len(key) <= 255 for key in keys), keys)
    stage.must(len(set(tokens)) == 3, tokens)


@scenario(
    "After a lost answer to a refresh it sends the same token with the same key, and the session goes on.",
    "Killed in the middle of a refresh and started again, it does the same.",
    "A pair that is given again, with an access token that has expired meanwhile, is exchanged once more.",
)
def answers_to_refreshes_are_lost(stage: Stage) -> Steps:
    yield from stage.begin()
    stage.service.expire_access()
    stage.service.lose(REFRESH)
    yield from until_done(LIST)
    stage.must(len(set(pairs_of(stage.to(REFRESH)))) == 1, pairs_of(stage.to(REFRESH)))
    for expires in (False, True):
        before = len(stage.to(REFRESH))
        stage.service.expire_access()
        stage.service.lose(REFRESH, 100)
        yield from step(LIST)
        yield from done({"do": "restart"})
        stage.service.mend()
        if expires:
            stage.service.expire_access()
        yield from done(LIST)
        sent = pairs_of(stage.to(REFRESH)[before:])
        stage.must(len(set(sent)) == 1 + expires and sent[0][1] is not None, sent)


@scenario("Requests that meet an expired access token at once go on with one session.")
def many_at_once(stage: Stage) -> Steps:
    yield from stage.begin()
    stage.service.expire_access()
    yield from done({"do": "list", "at_once": 5})
    sent = pairs_of(stage.to(REFRESH))
    stage.must(len(dict(sent)) == len(set(sent)), sent)


@scenario(
    "503 and 429 end no session, and nothing is exchanged or signed out for them.",
    "It does not come again before `Retry-After` says.",
)
def the_service_is_busy(stage: Stage) -> Steps:
    yield from stage.begin()
    for status in (503, 429):
        busy = Answer(status, {"code": "LATER", "detail": "Later."}, {"Retry-After": "1"})
        stage.service.answer_instead("GET /api/tasks", busy)
        yield from step(LIST)
        if len(stage.to("GET /api/tasks")) % 2:  # it has said so instead of waiting
            time.sleep(1)
        yield from done(LIST) if len(stage.to("GET /api/tasks")) % 2 else iter(())
    times = [request.at for request in stage.to("GET /api/tasks")]
    stage.must(not stage.to(REFRESH) and not stage.to("POST /api/auth/signout"))
    stage.must(all(later - first > 0.95 for first, later in zip(times[::2], times[1::2], strict=True)), times)


@scenario(
    "Somebody else's page, with any status, is no answer: it is an error, and ends no session.",
)
def a_hotel_answers(stage: Stage) -> Steps:
    yield from stage.begin()
    failed = []
    for status in (200, 401, 403, 503):
        stage.service.expire_access()
        stage.service.answer_instead("", Answer(status, HOTEL), 100)
        failed.append("error" in (yield from step(LIST)))
        stage.service.mend()
        yield from done(LIST)
    stage.must(all(failed) and not stage.to("POST /api/auth/signout"), failed)


@scenario(
    "When a refresh is refused and nothing newer is stored, it is signed out and says so.",
    "It then signs out with that refresh token, so that a thief who ran ahead has nothing.",
    "It does not refresh again.",
    "The next sign-in of this device sends the last refresh token, so that nobody can lock it out.",
)
def a_thief_runs_ahead(stage: Stage) -> Steps:
    yield from stage.begin()
    stage.service.expire_access()
    yield from done(LIST)
    session = stage.service.sessions[0]
    token = session.pairs[-1].refresh
    stage.service.expire_access()
    stage.service.lose(REFRESH, 100)
    yield from step(LIST)
    stage.service.mend()
    key = stage.to(REFRESH)[-1].key
    stolen = stage.service.exchanged(token, key)
    stage.service.exchanged(stolen["refresh_token"], "a key of the thief's own")
    stage.service.expire_access()
    result = yield from step(LIST)
    stage.must("error" in result, result)
    ends = [request.body.get("refresh_token") for request in stage.to("POST /api/auth/signout")]
    stage.must(session.is_over and token in ends, ends)
    before = len(stage.to(REFRESH))
    yield from step(LIST)
    stage.must(len(stage.to(REFRESH)) == before)
    yield from done({"do": "sign_in", "email": stage.email, "password": PASSWORD})
    stage.must(stage.to("POST /api/auth/signin")[-1].body.get("refresh_token") == token)


@scenario("Signing out ends the session at the service, by its refresh token, also when the access token has expired.")
def somebody_signs_out(stage: Stage) -> Steps:
    yield from stage.begin()
    stage.service.expire_access()
    yield from done({"do": "sign_out"})
    stage.must(stage.service.sessions[0].is_over)


@scenario(
    "A task whose creation was not answered is made once: both attempts carry the same Idempotency-Key.",
)
def a_creation_is_not_answered(stage: Stage) -> Steps:
    yield from stage.begin()
    stage.service.lose("POST /api/tasks")
    yield from step({"do": "add", "title": "Once"})
    keys = [request.key for request in stage.to("POST /api/tasks")]
    stage.must(len(stage.account.tasks) == 1 and len(set(keys)) == 1 and keys[0] is not None, keys)


# The copy.


def changed_offline(stage: Stage) -> Steps:
    """Let somebody make, change and delete tasks without a network; return the titles that are wanted."""
    edited = stage.service.create(stage.account, title="Edited")
    removed = stage.service.create(stage.account, title="Removed")
    yield from done(SYNC)
    made = (yield from done({"do": "local_add", "title": "New"}))["task"]
    yield from done({"do": "local_edit", "task_id": made["id"], "fields": {"completed": True}})
    yield from done({"do": "local_edit", "task_id": edited["id"], "fields": {"title": "Edited once"}})
    yield from done({"do": "local_edit", "task_id": edited["id"], "fields": {"description": "and again"}})
    yield from done({"do": "local_remove", "task_id": removed["id"]})
    return ["Edited once", "New"]


def settled(stage: Stage, titles: list[str]) -> Steps:
    """Return whether the copy is what the service has, with these titles, and nothing waits to be decided."""
    tasks = (yield from done(LOCAL_LIST))["tasks"]
    conflicts = (yield from done({"do": "conflicts"}))["conflicts"]
    return stage.is_settled(tasks) and sorted(task["title"] for task in tasks) == titles and not conflicts


@scenario(
    "What was done offline is sent once and in order, and the copy is then what the service has.",
    "Tasks get the state that is wanted, never its opposite.",
    "What was done offline survives the end of the program.",
)
def a_day_offline(stage: Stage) -> Steps:
    yield from stage.begin()
    titles = yield from changed_offline(stage)
    yield from done(SYNC)
    stage.must((yield from settled(stage, titles)))
    stage.must(not [request for request in stage.service.seen if request.path.endswith("/toggle")])
    yield from done({"do": "local_add", "title": "Kept"})
    yield from done({"do": "restart"})
    yield from done(SYNC)
    stage.must((yield from settled(stage, [*titles[:1], "Kept", *titles[1:]])))


@scenario(
    "What the service had done before an answer was lost is not done again, and is no conflict.",
)
def answers_to_changes_are_lost(stage: Stage) -> Steps:
    held = []
    for route in ("POST /api/tasks", "PATCH /api/tasks", "DELETE /api/tasks", "GET /api/tasks/changes"):
        yield from stage.begin()
        titles = yield from changed_offline(stage)
        stage.service.lose(route, 5)
        for _ in range(2):
            yield from step(SYNC)
        stage.service.mend()
        yield from done(SYNC)
        held.append((yield from settled(stage, titles)))
    stage.must(all(held), held)


@scenario("A task whose creation was not answered, and that somebody has deleted since, does not rise.")
def a_lost_creation_is_deleted(stage: Stage) -> Steps:
    yield from stage.begin()
    yield from done(SYNC)
    made = (yield from done({"do": "local_add", "title": "New"}))["task"]
    stage.service.lose("POST /api/tasks", 5)
    yield from step(SYNC)
    stage.service.mend()
    stage.service.delete(stage.account, made["id"])
    yield from done(SYNC)
    stage.must((yield from settled(stage, [])), stage.account.tasks)


@scenario("Nothing is given up, or called a conflict, because the service was busy or something else has answered.")
def everything_later(stage: Stage) -> Steps:
    held = []
    later = {"code": "LATER", "detail": "Later."}
    answers = [Answer(500, later), Answer(503, later), Answer(200, HOTEL), Answer(404, HOTEL), Answer(412, HOTEL)]
    for route in ("GET /api/tasks/changes", "POST /api/tasks", "PATCH /api/tasks"):
        for answer in answers:
            yield from stage.begin()
            titles = yield from changed_offline(stage)
            stage.service.answer_instead(route, answer, 100)
            held.append("error" in (yield from step(SYNC)))
            stage.service.mend()
            yield from done(SYNC)
            held.append((yield from settled(stage, titles)))
    stage.must(all(held), held)


@scenario("After a 410 the copy is made anew, and what waits is still sent.")
def a_cursor_expires(stage: Stage) -> Steps:
    yield from stage.begin()
    gone = stage.service.create(stage.account, title="Gone")
    titles = yield from changed_offline(stage)
    stage.service.delete(stage.account, gone["id"])
    stage.account.deleted.clear()
    stage.service.expire_cursors()
    yield from done(SYNC)
    stage.must((yield from settled(stage, titles)))


@scenario("What is told twice, or late, changes nothing: of two versions the higher one counts.")
def an_old_version_is_told(stage: Stage) -> Steps:
    yield from stage.begin()
    old = stage.service.create(stage.account, title="Old")
    yield from done(SYNC)
    stage.service.edit(stage.account, old["id"], title="New")
    stage.service.told_again = [old]
    yield from done(SYNC)
    stage.must((yield from settled(stage, ["New"])))


@scenario("Nobody's tasks are sent to somebody else who signs in on the same device.")
def another_account(stage: Stage) -> Steps:
    yield from stage.begin()
    yield from done(SYNC)
    yield from done({"do": "local_add", "title": "Ada's"})
    stage.email = f"{uuid4().hex}@example.com"
    yield from done({"do": "sign_up", "email": stage.email, "password": PASSWORD})
    yield from step(SYNC)
    stage.must(not stage.account.tasks, stage.account.tasks)


def as_other_device(stage: Stage, task_id: str, fields: Any) -> None:
    if fields == "delete":
        stage.service.delete(stage.account, task_id)
    else:
        stage.service.edit(stage.account, task_id, **fields)


def decided(stage: Stage, case: Json) -> Steps:
    """Return whether a case of conflicts.json ends as it should."""
    yield from stage.begin()
    first = {**PLAIN, **case["before"]}
    task_id = stage.service.create(stage.account, **first)["id"]
    yield from done(SYNC)
    for fields in case["mine"]:
        change = {"do": "local_remove"} if fields == "delete" else {"do": "local_edit", "fields": fields}
        yield from done({**change, "task_id": task_id})
    for fields in case["theirs"]:
        as_other_device(stage, task_id, fields)
    yield from done(SYNC)
    tasks = (yield from done(LOCAL_LIST))["tasks"]
    conflicts = (yield from done({"do": "conflicts"}))["conflicts"]
    expected = {task_id: {**first, **case["task"]}} if case["task"] else {}
    fields = [conflict["fields"] for conflict in conflicts]
    return by_id(tasks) == by_id(list(stage.account.tasks.values())) == expected and fields == [
        conflict["fields"] for conflict in case["conflicts"]
    ]


@scenario("Of two who changed one task, each case of conflicts.json ends as it says.")
def conflicts(stage: Stage) -> Steps:
    wrong = []
    for case in json.loads(CONFLICTS.read_text())["cases"]:
        if not (yield from decided(stage, case)):
            wrong.append(case["name"])
    stage.must(not wrong, wrong)


# The stream.


def followed(titles: list[str]) -> Steps:
    """Wait until the copy has these titles, and return whether it has."""
    result = yield from step({"do": "wait_for", "titles": sorted(titles), "seconds": SECONDS})
    return sorted(result.get("titles", [])) == sorted(titles)


def streams(stage: Stage) -> list[Request]:
    return [it for it in stage.to("GET /api/tasks/changes") if "event-stream" in it.headers.get("accept", "")]


@scenario(
    "It takes what the stream tells, deletions too: of Unicode's ends of lines none ends one of the stream's.",
    "Cut, it goes on at the last `id` that it was told.",
    "An event without an `id` is no position: cut behind it, it asks from the `id` before.",
    "When the stream ends with TOKEN_EXPIRED it refreshes and goes on.",
    "When the stream ends with GOING_AWAY it waits as long as `retry` says.",
    "What is done meanwhile is sent, at the next beat at the latest.",
)
def following(stage: Stage) -> Steps:
    yield from stage.begin()
    service = stage.service
    yield from done(SYNC)
    yield from step({"do": "follow"})
    stage.wait(lambda: len(streams(stage)) == 1)
    first = service.create(stage.account, title="First\u2028\u2029\x85")
    told = yield from followed(["First\u2028\u2029\x85"])
    service.delete(stage.account, first["id"])
    service.create(stage.account, title="Second")
    stage.must(told and (yield from followed(["Second"])) and len(streams(stage)) == 1)

    position = f"{service.epoch}.{stage.account.number}"
    service.cut_streams()
    stage.wait(lambda: len(streams(stage)) == 2)
    service.create(stage.account, title="Third")
    found = yield from followed(["Second", "Third"])
    stage.must(found and streams(stage)[1].position == position, streams(stage)[1].position)

    position = f"{service.epoch}.{stage.account.number}"
    service.cut_streams(within=True)
    asked = len(stage.to("GET /api/tasks/changes"))
    with service.changes:
        service.create(stage.account, title="Fourth")
        service.create(stage.account, title="Fifth")
    stage.wait(lambda: len(streams(stage)) == 3)
    found = yield from followed(["Second", "Third", "Fourth", "Fifth"])
    next_position = stage.to("GET /api/tasks/changes")[asked].position
    stage.must(found and next_position == position, next_position)

    refreshes = len(stage.to(REFRESH))
    service.expire_access()
    service.end_streams("TOKEN_EXPIRED", 200)
    stage.wait(
        lambda: len(streams(stage)) > 3 and streams(stage)[-1].headers["authorization"][7:] in service.good_access
    )
    service.create(stage.account, title="Sixth")
    found = yield from followed(["Second", "Third", "Fourth", "Fifth", "Sixth"])
    stage.must(found and len(stage.to(REFRESH)) == refreshes + 1)

    asked, at = len(stage.to("GET /api/tasks/changes")), time.monotonic()
    service.end_streams("GOING_AWAY", 1500)
    stage.wait(lambda: len(stage.to("GET /api/tasks/changes")) > asked)
    stage.must(stage.to("GET /api/tasks/changes")[asked].at - at > 1.4)

    yield from done({"do": "local_add", "title": "Mine"})
    stage.must(stage.wait(lambda: "Mine" in [task["title"] for task in stage.account.tasks.values()]))
    yield from done({"do": "unfollow"})


@scenario("Where there are no streams (501) it looks again by itself.")
def following_without_streams(stage: Stage) -> Steps:
    yield from stage.begin()
    stage.service.has_streams = False
    yield from done(SYNC)
    yield from step({"do": "follow", "every": 0.2})
    stage.service.create(stage.account, title="First")
    stage.must((yield from followed(["First"])))
    yield from done({"do": "unfollow"})


def told_of(stage: Stage, it: Scenario) -> Generator[Json, Json, list[tuple[str, bool | None, str]]]:
    """Tell a story; return each sentence with whether it holds (None: not tried) and what was seen."""
    stage.service.reset()
    reason = "not reached"
    outcome: bool | None = False
    try:
        yield from it.tell(stage)
    except Unsupported as missing:
        reason, outcome = f"the client has no {missing}", None
    except (AssertionError, KeyError, IndexError, ValueError, Refused) as problem:
        reason = f"{type(problem).__name__}: {problem}"
    held = [*stage.held, *[(outcome, reason)] * len(it.must)][: len(it.must)]
    return [(sentence, holds, seen) for sentence, (holds, seen) in zip(it.must, held, strict=True)]
