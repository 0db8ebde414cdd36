"""The cases of clients/conflicts.json, which every client of ours decides alike."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auth_tasks_client import LocalCopy, TasksClient
from tests.support.settings import ROOT

CASES = json.loads((ROOT / "clients" / "conflicts.json").read_text())["cases"]
PLAIN = {"description": None, "priority": "medium", "status": "pending"}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[LocalCopy]:
    with LocalCopy(tmp_path / "home" / "tasks.db") as opened:
        yield opened


def do(tasks: TasksClient | LocalCopy, task_id: str, changes: list[Any]) -> None:
    for fields in changes:
        if fields == "delete":
            tasks.remove(task_id)
        else:
            tasks.edit(task_id, **fields)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_two_who_changed_one_task(client: TasksClient, copy: LocalCopy, case: dict[str, Any]) -> None:
    """What was typed is kept, merged or waits for somebody to decide, and the copy is what the server has."""
    before = {**PLAIN, **case["before"]}
    made = client.add(**before)
    client.sync(copy)
    do(copy, made["id"], case["mine"])
    do(client, made["id"], case["theirs"])
    client.sync(copy)
    assert client.tasks() == copy.tasks()
    assert [{name: task[name] for name in before} for task in copy.tasks()] == (
        [{**before, **case["task"]}] if case["task"] else []
    )
    found = [(conflict.fields, conflict.reason) for conflict in copy.conflicts()]
    assert [fields for fields, _ in found] == [conflict["fields"] for conflict in case["conflicts"]]
    for (_, reason), conflict in zip(found, case["conflicts"], strict=True):
        assert f"{conflict['reason']} elsewhere" in reason
