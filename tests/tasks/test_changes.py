"""What has changed since: a client that was offline gets every change, deletions included, and misses none."""

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import msgspec
import psycopg
import pytest

from app.core.cursors import decode_cursor, encode_cursor
from app.tasks import changes
from app.tasks.changes import KEPT, PRUNE_BATCH, TOMBSTONES_KEPT, Cursor
from tests.support.copies import ADD_MANY, CHANGES, Copy
from tests.support.people import NOBODY, Person
from tests.support.server import running
from tests.support.settings import make_settings

BURY = (
    "WITH gone AS (DELETE FROM tasks WHERE user_id = %s RETURNING *) INSERT INTO task_tombstones "
    "SELECT id, user_id, version, pg_current_xact_id(), now() FROM gone"
)


def altered(cursor: str, **changes: Any) -> str:
    return encode_cursor(msgspec.structs.replace(decode_cursor(cursor, Cursor, field="since"), **changes))


async def refused(person: Person, since: str) -> tuple[int, str]:
    answer = await person.get(CHANGES, params={"since": since})
    return answer.status_code, answer.json()["code"]


async def test_a_copy_follows_what_another_device_does(ada: Person) -> None:
    """What was made, changed, toggled and deleted elsewhere is told once it has happened. Source: FR-059."""
    copy = Copy(ada)
    kept, dropped = await ada.add_task("Kept"), await ada.add_task("Dropped")
    first = await copy.pull()
    assert {task["id"] for task in first["tasks"]} == {kept["id"], dropped["id"]}
    assert first["deleted"] == []
    other = await ada.sign_in()
    await other.send("PATCH", f"/api/tasks/{kept['id']}", json={"title": "Kept and changed"})
    await other.send("DELETE", f"/api/tasks/{dropped['id']}")
    new = await other.add_task("New")
    second = await copy.pull()
    assert {task["title"] for task in second["tasks"]} == {"Kept and changed", "New"}
    assert second["deleted"] == [dropped["id"]]
    await other.send("PATCH", f"/api/tasks/{new['id']}/toggle")
    assert [task["completed"] for task in (await copy.pull())["tasks"] if task["id"] == new["id"]] == [True]
    assert copy.tasks == await copy.truth()


async def test_what_is_told_are_tasks_as_everywhere(ada: Person) -> None:
    """A client reads these tasks as it reads the list's: the same fields with the same values."""
    task = await ada.add_task("Water the plants", description="The fern", priority="high")
    answer = await ada.get(CHANGES)
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["tasks", "deleted", "next"]
    assert answer.json()["tasks"] == [task]


async def test_nothing_new_is_told_as_nothing(ada: Person) -> None:
    """A client that asks often gets an empty answer, once no writer is left who may be late."""
    copy = Copy(ada)
    await ada.add_task()
    await copy.pull()
    for _ in range(50):  # another test's transaction may be open
        told = await copy.pull()
        if not told["tasks"]:
            break
        await asyncio.sleep(0.05)
    assert told["tasks"] == told["deleted"] == []


async def test_only_ones_own_changes_are_told(ada: Person, bob: Person) -> None:
    """Nobody learns what others do, not even with their cursor. Source: FR-023."""
    copy = Copy(bob)
    await copy.pull()
    task = await ada.add_task("Ada's")
    await ada.send("DELETE", f"/api/tasks/{(await ada.add_task())['id']}")
    since = (await ada.get(CHANGES)).json()["next"]
    assert await refused(bob, since) == (410, "SYNC_EXPIRED")
    told = await copy.pull()
    assert told["tasks"] == told["deleted"] == []
    assert task["id"] not in (await bob.get(CHANGES)).text


async def test_a_writer_that_commits_late_is_told(ada: Person, connection: psycopg.Connection) -> None:
    """A change that was begun before a question and committed after it is told at the next one."""
    task = await ada.add_task("Early")
    copy = Copy(ada)
    write = "UPDATE tasks SET title = 'Late', version = 2, changed = pg_current_xact_id() WHERE id = %s"
    with connection.transaction():
        connection.execute(write, [task["id"]])
        for _ in range(3):
            await ada.add_task("Meanwhile")  # has a higher transaction id, and is committed
            await copy.pull()
        assert copy.tasks[task["id"]]["title"] == "Early"
    await copy.pull()
    assert copy.tasks[task["id"]]["title"] == "Late"


async def test_a_task_that_exists_again_is_not_told_as_deleted(ada: Person) -> None:
    """Made again with its key, a task goes on with its versions, so that a copy takes it for the newer one."""
    copy = Copy(ada)
    key = {"Idempotency-Key": "offline-1"}
    made = (await ada.send("POST", "/api/tasks", json={"title": "One"}, headers=key)).json()
    assert made["id"] == str(uuid5(UUID(ada.user["id"]), "offline-1"))
    assert made["version"] == 1
    await ada.send("PATCH", f"/api/tasks/{made['id']}", json={"title": "Two"})
    await copy.pull()
    assert (await ada.send("DELETE", f"/api/tasks/{made['id']}")).status_code == 204
    again = await ada.send("POST", "/api/tasks", json={"title": "Three"}, headers=key)
    assert again.status_code == 201
    assert again.json()["version"] == 3
    told = await copy.pull()
    assert told["deleted"] == []
    assert copy.tasks == {made["id"]: again.json()}
    stale = await ada.send("DELETE", f"/api/tasks/{made['id']}", headers={"If-Match": '"2"'})
    assert stale.status_code == 412, "what was read of the deleted task must not match the new one"
    await ada.send("DELETE", f"/api/tasks/{made['id']}")
    assert (await copy.pull())["deleted"] == [made["id"]]


async def test_a_task_that_is_being_deleted_is_not_made_again(ada: Person, connection: psycopg.Connection) -> None:
    """A key that is sent in that moment gets the old task or, after the deletion, one with a version above the old."""
    made = (await ada.send("POST", "/api/tasks", json={"title": "One"}, headers={"Idempotency-Key": "raced"})).json()
    for title in ("Two", "Three"):
        await ada.send("PATCH", f"/api/tasks/{made['id']}", json={"title": title})

    async def make_again() -> httpx.Response:
        return await ada.send("POST", "/api/tasks", json={"title": "Again"}, headers={"Idempotency-Key": "raced"})

    with connection.transaction():
        connection.execute(BURY, [ada.user["id"]])
        asked = asyncio.create_task(make_again())
        await asyncio.sleep(0.3)
    first = await asked
    assert (first.status_code, first.json()["version"]) in ((200, 3), (201, 4))
    assert (await make_again()).json()["version"] == 4


async def test_much_is_told_whole(ada: Person, connection: psycopg.Connection) -> None:
    """A client that was away for weeks gets all of it, however much, and the service never holds it as a whole."""
    copy = Copy(ada)
    await copy.pull()
    connection.execute(ADD_MANY, [ada.user["id"], 2500])
    told = await copy.pull()
    assert len(told["tasks"]) == len({task["id"] for task in told["tasks"]}) == 2500
    everything = (await ada.get(CHANGES)).json()
    assert (len(everything["tasks"]), everything["deleted"]) == (2500, [])
    connection.execute(BURY, [ada.user["id"]])
    told = await copy.pull()
    assert len(set(told["deleted"])) == len(told["deleted"]) == 2500
    assert copy.tasks == {}


async def test_tasks_from_before_there_were_changes_are_told_once(ada: Person, connection: psycopg.Connection) -> None:
    """After an upgrade or a restore, whose tasks have no transaction, a client reads everything once."""
    connection.execute("INSERT INTO tasks (id, user_id, title) VALUES (gen_random_uuid(), %s, 'x')", [ada.user["id"]])
    copy = Copy(ada)
    assert [len((await copy.pull())["tasks"]) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize("count", [changes.BATCH, 2 * changes.BATCH])
async def test_a_full_batch_is_not_cut_or_doubled(ada: Person, connection: psycopg.Connection, count: int) -> None:
    """Exactly as many tasks as are read at once are told, each once."""
    add = "INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), %s, 'x' FROM generate_series(1, %s)"
    connection.execute(add, [ada.user["id"], count])
    told = (await ada.get(CHANGES)).json()["tasks"]
    assert len({task["id"] for task in told}) == len(told) == count


@pytest.mark.parametrize(
    "since",
    ["x", "§", "AAAA", "[]", "null", "W10=", "e30=", "A" * 1001, "../../etc", "0", "2026-01-01T00:00:00Z"],
)
async def test_what_was_never_given_is_refused(ada: Person, since: str) -> None:
    """A client that sends something else than a cursor is told so."""
    assert await refused(ada, since) == (422, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    "change",
    [
        {"since": -1},
        {"since": 2**63},
        {"since": "1"},
        {"since": 1.5},
        {"epoch": "x"},
        {"user_id": None},
        {"issued_at": -1},
        {"timeline": True},
        {"server": -1},
        {"place": "x"},
    ],
)
async def test_a_forged_cursor_is_refused(ada: Person, change: dict[str, Any]) -> None:
    """No number that the database would choke on gets through."""
    cursor = Cursor(UUID(ada.user["id"]), uuid4(), 1, 1, 1)
    values = {name: str(v) if isinstance(v := getattr(cursor, name), UUID) else v for name in cursor.__struct_fields__}
    text = base64.urlsafe_b64encode(json.dumps(list((values | change).values())).encode()).decode()
    assert await refused(ada, text) == (422, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    "change",
    [
        *({"epoch": NOBODY}, {"epoch": None}, {"timeline": 99}, {"since": 2**62}),
        *({"server": 1}, {"server": None}, {"place": 1}, {"place": None}),
    ],
)
async def test_a_cursor_of_another_database_has_expired(ada: Person, change: dict[str, Any]) -> None:
    """After a restore, a failover or a move to another node a client is told to read everything again.

    So it is with a cursor of 1.0. There is never a gap that nobody sees.
    """
    assert await refused(ada, altered((await ada.get(CHANGES)).json()["next"], **change)) == (410, "SYNC_EXPIRED")


async def test_only_a_row_that_this_server_wrote_vouches_for_its_ids(
    ada: Person, connection: psycopg.Connection
) -> None:
    """A task that was moved here from another node has a number of that node, which tells nothing of this one's."""
    checkpoint = "SELECT next_xid FROM pg_control_checkpoint()"
    foreign = "UPDATE tasks SET changed = (changed::text::bigint + 1)::text::xid8 WHERE user_id = %s RETURNING changed"
    while True:
        (before,) = connection.execute(checkpoint).fetchall()
        await ada.add_task()
        own = decode_cursor((await ada.get(CHANGES)).json()["next"], Cursor, field="since").since
        connection.execute("SELECT pg_current_xact_id()")
        ((changed,),) = connection.execute(foreign, [ada.user["id"]]).fetchall()
        cursor = decode_cursor((await ada.get(CHANGES)).json()["next"], Cursor, field="since").since
        if connection.execute(checkpoint).fetchall() == [
            before
        ]:  # after one, ids before it are known to be on the disk
            break
        await ada.send("DELETE", f"/api/tasks/{(await ada.get('/api/tasks')).json()[0]['id']}")
    assert own == int(changed)
    assert cursor < own


async def test_a_cursor_is_good_for_thirty_days(ada: Person, connection: psycopg.Connection) -> None:
    """A month offline is bridged; after it, when deletions are forgotten, everything is read again. Source: FR-059."""
    cursor = (await ada.get(CHANGES)).json()["next"]
    issued = decode_cursor(cursor, Cursor, field="since").issued_at
    days = timedelta(days=1).total_seconds()
    assert KEPT.days == 30
    almost = altered(cursor, issued_at=int(issued - 29.9 * days))
    assert (await ada.get(CHANGES, params={"since": almost})).status_code == 200
    assert await refused(ada, altered(cursor, issued_at=int(issued - 30.1 * days))) == (410, "SYNC_EXPIRED")


async def test_old_tombstones_go_with_a_later_deletion(
    ada: Person, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever deletes for years has few old tombstones, without anybody cleaning up."""
    monkeypatch.setattr(changes, "PRUNE_EVERY", 1)
    add = (
        "INSERT INTO task_tombstones SELECT gen_random_uuid(), %s, 1, '3', now() - make_interval(days => %s) "
        "FROM generate_series(1, %s)"
    )
    connection.execute(add, [ada.user["id"], TOMBSTONES_KEPT.days + 1, PRUNE_BATCH + 7])
    connection.execute(add, [ada.user["id"], KEPT.days, 5])
    count = "SELECT count(*) FROM task_tombstones WHERE user_id = %s"
    left = []
    for _ in range(3):
        await ada.send("DELETE", f"/api/tasks/{(await ada.add_task())['id']}")
        left.append(connection.execute(count, [ada.user["id"]]).fetchone())
    assert left == [(7 + 5 + 1,), (5 + 2,), (5 + 3,)]


async def test_the_first_of_many_questions_draws_one_epoch(own_database_url: str) -> None:
    """However many clients ask a new service at once, the cursor of each goes on."""
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        with psycopg.connect(own_database_url) as connection:
            connection.execute("INSERT INTO task_epoch VALUES (1, gen_random_uuid())")
            asked = [asyncio.create_task(ada.get(CHANGES)) for _ in range(4)]
            await asyncio.sleep(0.5)  # all have found no epoch, and wait for this one
            assert not any(question.done() for question in asked)
        cursors = [question.json()["next"] for question in await asyncio.gather(*asked)]
        task = await ada.add_task()
        for cursor in cursors:
            answer = await ada.get(CHANGES, params={"since": cursor})
            assert (answer.status_code, answer.json()["tasks"]) == (200, [task])
        with psycopg.connect(own_database_url) as connection:
            connection.execute("DELETE FROM task_epoch")
        assert await refused(ada, cursors[0]) == (410, "SYNC_EXPIRED")


async def test_changes_is_no_task(ada: Person, client: httpx.AsyncClient) -> None:
    """The path is that of no task: other methods are not allowed on it."""
    answer = await ada.send("DELETE", CHANGES)
    assert answer.status_code in (404, 405)


async def test_a_key_that_is_sent_twice_at_once_makes_one_task(ada: Person, connection: psycopg.Connection) -> None:
    """A request that is sent again before its first answer waits for it, and gets its task. Source: FR-016."""
    task_id = uuid5(UUID(ada.user["id"]), "at-once")
    first = "INSERT INTO tasks (id, user_id, title) VALUES (%s, %s, 'First')"
    with connection.transaction():
        connection.execute(first, [task_id, ada.user["id"]])
        headers = {"Idempotency-Key": "at-once"}
        asked = asyncio.create_task(ada.send("POST", "/api/tasks", json={"title": "Second"}, headers=headers))
        await asyncio.sleep(0.3)
    answer = await asked
    assert (answer.status_code, answer.json()["title"]) == (200, "First")
