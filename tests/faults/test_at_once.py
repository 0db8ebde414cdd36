"""Many at once on one task, over HTTP and two workers."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.people import Person
from tests.support.server import serving

pytestmark = pytest.mark.slow


async def test_simultaneous_writes_leave_one_whole_task(database_url: str, tmp_path: Path) -> None:
    """People who write at once lose no toggle, mix no update, and read what they wrote, on whichever worker."""
    with serving(tmp_path, DATABASE_URL=database_url, WORKERS="2", LOG_LEVEL="WARNING") as server:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
            ada = await Person.sign_up(client)
            await toggle(ada)
            await update(ada)
            await update_if_unchanged(ada)
            await update_and_delete(ada)
            await read_own_writes(ada)


async def toggle(ada: Person) -> None:
    task = await ada.add_task()
    answers = await asyncio.gather(*(ada.send("PATCH", f"/api/tasks/{task['id']}/toggle") for _ in range(101)))
    done = [answer for answer in answers if answer.status_code == 200]
    after = (await ada.get(f"/api/tasks/{task['id']}")).json()
    print(f"{len(done)} toggles at once: completed {after['completed']}, version {after['version']}")
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert (after["completed"], after["version"]) == (len(done) % 2 == 1, 1 + len(done))


async def update(ada: Person) -> None:
    task = await ada.add_task()
    bodies = [{"title": f"title {n}", "description": f"description {n}", "priority": "high"} for n in range(50)]
    answers = await asyncio.gather(*(ada.send("PUT", f"/api/tasks/{task['id']}", json=body) for body in bodies))
    after = (await ada.get(f"/api/tasks/{task['id']}")).json()
    assert {answer.status_code for answer in answers} == {200}
    assert {"title": after["title"], "description": after["description"], "priority": after["priority"]} in bodies
    in_order = sorted((answer.json() for answer in answers), key=lambda each: each["version"])
    assert [each["version"] for each in in_order] == list(range(2, 52))
    assert [each["updated_at"] for each in in_order] == sorted(each["updated_at"] for each in in_order)


async def update_if_unchanged(ada: Person) -> None:
    for _ in range(50):
        task = await ada.add_task()
        both = await asyncio.gather(
            *(
                ada.send("PUT", f"/api/tasks/{task['id']}", json={"title": title}, headers={"If-Match": '"1"'})
                for title in "ab"
            )
        )
        assert sorted(answer.status_code for answer in both) == [200, 412]


async def update_and_delete(ada: Person) -> None:
    for _ in range(200):
        path = f"/api/tasks/{(await ada.add_task())['id']}"
        changed, gone = await asyncio.gather(ada.send("PUT", path, json={"title": "x"}), ada.send("DELETE", path))
        assert changed.status_code in (200, 404)
        assert gone.status_code == 204


async def read_own_writes(ada: Person) -> None:
    async def once() -> bool:
        task = await ada.add_task()
        answer = await ada.get(f"/api/tasks/{task['id']}")
        return bool(answer.json() == task)

    found = [all(await asyncio.gather(*(once() for _ in range(20)))) for _ in range(50)]
    assert all(found)
