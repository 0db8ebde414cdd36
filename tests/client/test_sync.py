"""Working without the server: what is done is kept, sent once and in order, and nothing typed is lost."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.clock import stopwatch
from auth_tasks_client import LocalCopy, NotSynchronised, OtherAccount, TasksClient, TokenStore
from tests.client.between import Between, Way
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server
from tests.support.settings import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[LocalCopy]:
    with LocalCopy(tmp_path / "home" / "tasks.db") as opened:
        yield opened


@pytest.fixture
def phone(client: TasksClient, between: Between) -> Iterator[TasksClient]:
    """The same session by a way that can be cut."""
    with TasksClient(client.store, transport=Way(between.url)) as cut_off:
        yield cut_off


def plain(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(tasks, key=lambda task: str(task["id"]))


def title_of(client: TasksClient, task: dict[str, Any]) -> str:
    return str(next(found["title"] for found in client.tasks() if found["id"] == task["id"]))


def test_a_copy_is_what_the_server_has(client: TasksClient, copy: LocalCopy) -> None:
    """After synchronising, the copy is the list, whoever changed it. Source: FR-059."""
    first, second = client.add("One"), client.add("Two")
    assert client.sync(copy).received == 2
    assert copy.tasks() == client.tasks()
    client.edit(first["id"], title="Uno", completed=True)
    client.remove(second["id"])
    client.add("Three")
    client.sync(copy)
    assert copy.tasks() == client.tasks()
    assert copy.tasks(q="UNO", status="completed") == client.tasks(q="UNO", status="completed")
    for title in ("Caf\xe9", "Cafe\u0301"):
        client.add(title)
    client.sync(copy)
    assert copy.tasks(q="CAFE\u0301") == client.tasks(q="CAFE\u0301")
    assert len(copy.tasks(q="caf\xe9")) == 2


def test_what_was_done_offline_is_sent_in_order(client: TasksClient, copy: LocalCopy) -> None:
    """A day without a network: tasks made, changed, ticked off and deleted are all there in the evening."""
    kept, dropped = client.add("Kept"), client.add("Dropped")
    client.sync(copy)
    new = copy.add("New", priority="high")
    copy.edit(new["id"], title="Newer")
    copy.edit(new["id"], completed=True)
    copy.edit(kept["id"], description="Offline")
    copy.edit(kept["id"], title="Kept, of course")
    copy.remove(dropped["id"])
    gone = copy.add("Made and thrown away")
    copy.remove(gone["id"])
    shown = copy.tasks()
    assert [task["pending"] for task in shown] == [True, True]
    assert client.sync(copy).sent == len(copy.changes()) + 8
    there = client.tasks()
    assert copy.tasks() == there
    wanted = [(task["id"], task["title"], task["description"], task["completed"], task["priority"]) for task in shown]
    assert wanted == [(t["id"], t["title"], t["description"], t["completed"], t["priority"]) for t in there]


def test_a_field_that_an_older_copy_lacks_can_be_set(client: TasksClient, copy: LocalCopy) -> None:
    """After an update that brings a field, a change of it made on an old copy is sent, also beside another's change."""
    task = client.add("Bread", description=None)
    client.sync(copy)
    older = {name: value for name, value in copy.tasks()[0].items() if name != "description"}
    with closing(sqlite3.connect(copy.path)) as file, file:
        file.execute("UPDATE tasks SET task = ?", [json.dumps(older)])
    copy.edit(task["id"], description="With seeds")
    client.edit(task["id"], title="Rolls")
    assert client.sync(copy).refused == 0
    assert [(t["title"], t["description"]) for t in client.tasks()] == [("Rolls", "With seeds")]


@pytest.mark.parametrize(
    "route", ["POST /api/tasks", "PATCH /api/tasks", "DELETE /api/tasks", "GET /api/tasks/changes"]
)
def test_a_lost_answer_changes_nothing(
    client: TasksClient, phone: TasksClient, copy: LocalCopy, between: Between, route: str
) -> None:
    """What the server had done before the line broke is not done again, and is no conflict."""
    edited, removed = client.add("Edited"), client.add("Removed")
    client.sync(copy)
    copy.add("New")
    copy.edit(edited["id"], title="Edited once")
    copy.edit(edited["id"], description="and again")
    copy.remove(removed["id"])
    between.lost.add(route)
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            phone.sync(copy)
    between.lost.clear()
    phone.sync(copy)
    assert (copy.changes(), copy.conflicts()) == ([], [])
    assert copy.tasks() == client.tasks()
    assert [(t["title"], t["description"]) for t in copy.tasks()] == [("New", None), ("Edited once", "and again")]


def test_changes_of_different_fields_are_both_kept(client: TasksClient, copy: LocalCopy) -> None:
    """Somebody who ticks a task off here and corrects its title there gets both."""
    task = client.add("Buy mlik")
    client.sync(copy)
    client.edit(task["id"], title="Buy milk")
    copy.edit(task["id"], completed=True)
    copy.edit(task["id"], priority="high")
    done = client.sync(copy)
    assert (done.sent, done.refused) == (2, 0)
    (there,) = client.tasks()
    assert (there["title"], there["completed"], there["priority"]) == ("Buy milk", True, "high")
    assert copy.tasks() == [there]


@pytest.mark.parametrize("mine", [True, False])
def test_the_newer_version_of_the_server_wins_unless_told_otherwise(
    client: TasksClient, copy: LocalCopy, mine: bool
) -> None:
    """Two devices gave one task two titles: the server's stays, the other is kept until somebody decides."""
    task = client.add("Old")
    client.sync(copy)
    client.edit(task["id"], title="Theirs")
    copy.edit(task["id"], title="Mine", priority="high")
    copy.edit(task["id"], title="Mine, corrected")
    assert client.sync(copy).refused == 2
    assert title_of(client, task) == copy.tasks()[0]["title"] == "Theirs"
    first, second = copy.conflicts()
    assert (first.fields, second.fields) == ({"title": "Mine", "priority": "high"}, {"title": "Mine, corrected"})
    assert "changed elsewhere" in first.reason
    copy.settle(first.number, mine=False)
    copy.settle(second.number, mine=mine)
    client.sync(copy)
    assert title_of(client, task) == ("Mine, corrected" if mine else "Theirs")
    assert (copy.changes(), copy.conflicts()) == ([], [])


def test_a_later_change_does_not_slip_over_a_conflict(client: TasksClient, copy: LocalCopy) -> None:
    """A harmless change that is sent first does not carry a later one over what somebody else has written."""
    task = client.add("Old")
    client.sync(copy)
    client.edit(task["id"], title="Theirs")
    copy.edit(task["id"], priority="high")
    copy.edit(task["id"], title="Mine")
    assert client.sync(copy).refused == 1
    (there,) = client.tasks()
    assert (there["title"], there["priority"]) == ("Theirs", "high")


def test_a_change_that_another_process_has_made_is_no_conflict(client: TasksClient, copy: LocalCopy) -> None:
    """Two processes that cannot lock send the same change: the one that comes late finds nothing to decide."""
    task = client.add("Old")
    client.sync(copy)
    copy.edit(task["id"], title="New")
    [change] = copy.changes()
    client.sync(copy)
    copy.refused(change, client.tasks()[0], "The task has been changed elsewhere since.")
    assert copy.conflicts() == []
    assert copy.tasks() == client.tasks()


@pytest.mark.parametrize("mine", [True, False])
def test_what_was_deleted_elsewhere_can_be_made_again(client: TasksClient, copy: LocalCopy, mine: bool) -> None:
    """What somebody typed into a task that another device has deleted is not lost with it."""
    task = client.add("Old", priority="high")
    client.sync(copy)
    client.remove(task["id"])
    copy.edit(task["id"], title="Typed on a plane")
    assert client.sync(copy).refused == 1
    assert copy.tasks() == []
    (conflict,) = copy.conflicts()
    assert conflict.task["title"] == "Typed on a plane"
    copy.settle(conflict.number, mine=mine)
    client.sync(copy)
    assert [(t["title"], t["priority"]) for t in client.tasks()] == ([("Typed on a plane", "high")] if mine else [])


def test_deleting_what_was_changed_elsewhere_asks_first(client: TasksClient, copy: LocalCopy) -> None:
    """A task that somebody else has just written to is not thrown away unseen."""
    task = client.add("Old")
    client.sync(copy)
    client.edit(task["id"], title="Important!")
    copy.remove(task["id"])
    assert client.sync(copy).refused == 1
    assert copy.tasks()[0]["title"] == "Important!"
    copy.settle(copy.conflicts()[0].number, mine=True)
    client.sync(copy)
    assert client.tasks() == copy.tasks() == []


def test_deleting_twice_is_no_conflict(client: TasksClient, copy: LocalCopy) -> None:
    """Both devices threw it away: it is gone."""
    task = client.add("Old")
    client.sync(copy)
    client.remove(task["id"])
    copy.remove(task["id"])
    assert client.sync(copy).refused == 0


def test_what_the_server_refuses_is_kept(client: TasksClient, copy: LocalCopy) -> None:
    """A title that is too long holds up nothing, and can still be read and shortened."""
    client.sync(copy)
    copy.add("x" * 201)
    copy.add("Fine")
    assert client.sync(copy).refused == 1
    assert [task["title"] for task in client.tasks()] == ["Fine"]
    (conflict,) = copy.conflicts()
    assert (conflict.task["title"], "200" in conflict.reason) == ("x" * 201, True)


def test_a_task_whose_creation_was_not_answered_and_that_was_deleted_does_not_rise(
    client: TasksClient, phone: TasksClient, copy: LocalCopy, between: Between
) -> None:
    """The server had made it and somebody has deleted it since: it is not made a second time."""
    client.sync(copy)
    new = copy.add("New")
    between.lost.add("POST /api/tasks")
    with pytest.raises(httpx.TransportError):
        phone.sync(copy)
    client.remove(new["id"])
    client.sync(copy)
    assert (client.tasks(), copy.tasks(), copy.changes()) == ([], [], [])


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
def test_a_server_that_says_come_again_gets_everything_later(
    client: TasksClient, phone: TasksClient, copy: LocalCopy, between: Between, status: int
) -> None:
    """Nothing is given up, or called a conflict, because the server was busy or the session over."""
    client.sync(copy)
    copy.add("New")
    between.own["POST /api/tasks"] = (status, {"detail": "Later.", "code": "LATER"})
    between.own["POST /api/auth/refresh"] = (503, {"detail": "Later."})
    with pytest.raises(Exception, match="Later"):
        phone.sync(copy)
    assert len(copy.changes()) == 1
    client.sync(copy)
    assert [task["title"] for task in client.tasks()] == ["New"]


@pytest.mark.parametrize("route", ["GET /api/tasks/changes", "POST /api/tasks", "PATCH /api/tasks"])
def test_a_sign_in_page_of_a_hotel_is_no_answer(
    client: TasksClient, phone: TasksClient, copy: LocalCopy, between: Between, route: str
) -> None:
    """A network that answers everything with its own page, and any status, ends and loses nothing."""
    task = client.add("Old")
    client.sync(copy)
    copy.edit(task["id"], title="New")
    copy.add("Another")
    for status in (200, 403, 404, 412):
        between.own[route] = (status, b"<html>Welcome to our hotel</html>")
        with pytest.raises(Exception, match=r"Something else than the service|The server answered"):
            phone.sync(copy)
        assert copy.conflicts() == []
    client.sync(copy)
    assert sorted(found["title"] for found in client.tasks()) == ["Another", "New"]


def test_an_expired_cursor_leads_to_everything(client: TasksClient, copy: LocalCopy) -> None:
    """After a month, or a restore, the copy is made anew, and what was done offline is still sent."""
    task = client.add("Old")
    client.sync(copy)
    copy.edit(task["id"], title="Edited")
    copy.know(cursor="of another database")
    client.sync(copy)
    assert [found["title"] for found in client.tasks()] == ["Edited"]
    assert copy.tasks() == client.tasks()


def test_a_copy_belongs_to_one_account(client: TasksClient, copy: LocalCopy) -> None:
    """Nobody's tasks are sent to somebody else who signs in on the same device."""
    with pytest.raises(NotSynchronised):
        copy.add("Too early")
    client.sync(copy)
    copy.add("Ada's")
    client.sign_up(new_email(), PASSWORD)
    with pytest.raises(OtherAccount):
        client.sync(copy)
    assert client.tasks() == []


def test_only_its_owner_can_read_the_copy(client: TasksClient, copy: LocalCopy) -> None:
    """Other users of the machine do not read somebody's tasks."""
    client.sync(copy)
    copy.add("Private")
    modes = {path.name: path.stat().st_mode & 0o777 for path in copy.path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes


WORKER = """
import itertools, sys
from pathlib import Path
import httpx
from auth_tasks_client import ApiError, LocalCopy, TasksClient, TokenStore
from tests.client.between import Way
store, path, url, log, start = TokenStore(Path(sys.argv[1])), Path(sys.argv[2]), *sys.argv[3:]
copy = LocalCopy(path)
with TasksClient(store, transport=Way(url)) as client, open(log, "a", buffering=1) as done:
    for number in itertools.count(int(start)):
        task = copy.add(f"{number}")
        done.write(f"{number}\\n")
        copy.edit(task["id"], description=f"of {number}")
        try:
            client.sync(copy)
        except (httpx.TransportError, ApiError):
            pass
"""


@pytest.mark.slow
def test_a_killed_client_loses_nothing_and_sends_nothing_twice(
    client: TasksClient, store: TokenStore, server: Server, between: Between, copy: LocalCopy, tmp_path: Path
) -> None:
    """However often the program is killed, and whatever answers are lost: what was kept arrives, once."""
    client.sync(copy)
    chance = random.Random(19)
    log = tmp_path / "done"
    log.touch()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'clients' / 'python'}{os.pathsep}{ROOT}"}
    for round_number in range(40):
        between.lost = set(chance.sample(["POST /api/tasks", "PATCH /api/tasks", "GET /api/tasks"], round_number % 2))
        arguments = [str(store.path), str(copy.path), between.url, str(log), str(1000 * round_number)]
        before = log.stat().st_size
        worker = subprocess.Popen([sys.executable, "-c", WORKER, *arguments], env=environment)
        try:
            deadline = stopwatch() + 60
            while log.stat().st_size == before:
                assert worker.poll() is None
                assert stopwatch() < deadline
                time.sleep(0.01)
            time.sleep(chance.random() * 0.4)
        finally:
            worker.kill()
            worker.wait()
    done = client.sync(copy)
    there = client.tasks()
    titles = sorted(task["title"] for task in there)
    kept = sorted(log.read_text().split())
    print(f"40 kills: {len(kept)} kept, {len(there)} on the server, {done.sent} sent at the end")
    assert len(set(titles)) == len(titles)
    assert set(kept) <= set(titles)
    assert len(titles) - len(kept) <= 40  # kept, and killed before it was written down here
    assert plain(copy.tasks()) == plain(there)
    assert (copy.changes(), copy.conflicts()) == ([], [])
    assert len(kept) >= 40


@pytest.mark.parametrize(
    ("stored", "completed", "status", "after"),
    [
        ("pending", True, "pending", "completed"),
        ("completed", False, "completed", "pending"),
        ("completed", True, "in_progress", "in_progress"),
        ("in_progress", False, "completed", "completed"),
    ],
)
def test_a_whole_task_with_one_change_is_kept_as_the_server_would(
    client: TasksClient, copy: LocalCopy, stored: str, completed: bool, status: str, after: str
) -> None:
    """Of a `completed` and a `status` that contradict each other, the one that has changed counts, offline too."""
    made = client.add("Water the plants", status=stored)
    client.sync(copy)
    edited = copy.edit(made["id"], title="New", completed=completed, status=status)
    assert (edited["status"], edited["completed"]) == (after, after == "completed")
    assert client.sync(copy).refused == 0
    assert client.tasks() == copy.tasks()


def test_a_contradiction_that_nothing_decides_is_refused_offline(client: TasksClient, copy: LocalCopy) -> None:
    """Whoever changes both, so that they contradict each other, is told so at once and nothing is kept."""
    made = client.add("Water the plants")
    client.sync(copy)
    with pytest.raises(ValueError, match="contradicts"):
        copy.edit(made["id"], completed=True, status="in_progress")
    with pytest.raises(ValueError, match="contradicts"):
        copy.add("x", completed=True, status="pending")
    assert copy.tasks() == client.tasks()
