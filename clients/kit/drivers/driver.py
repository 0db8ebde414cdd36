"""Drives the Python client through the kit: `python kit.py python drivers/driver.py`."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import httpx

from auth_tasks_client import ApiError, LocalCopy, OtherAccount, SignedOut, TasksClient, TokenStore, live

Json = dict[str, Any]
URL = os.environ["KIT_URL"]
ERRORS = (ApiError, SignedOut, OtherAccount, httpx.TransportError)


class Device:
    """A folder with what the client stores, and the client over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self.client = TasksClient(TokenStore(self.folder / "tokens.json"), URL)
        self.copy = LocalCopy(self.folder / "tasks.db")

    def stop(self) -> None:
        self.client.close()
        self.copy.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def lists(self, at_once: int = 1) -> Json:
        with ThreadPoolExecutor(at_once) as pool:
            lists = list(pool.map(lambda _: self.client.tasks(), range(at_once)))
        return {"tasks": lists[0]}

    def follow(self, every: float = 10) -> None:
        """Follow in a thread that ends with its session."""
        vars(live)["POLL_SECONDS"] = every
        Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        store = TokenStore(self.folder / "tokens.json")
        with TasksClient(store, URL) as client, LocalCopy(self.folder / "tasks.db") as copy, suppress(*ERRORS):
            for _ in client.follow(copy):
                pass

    def wait_for(self, titles: list[str], seconds: float) -> Json:
        deadline = time.monotonic() + seconds
        while (found := sorted(task["title"] for task in self.copy.tasks())) != titles and time.monotonic() < deadline:
            time.sleep(0.02)
        return {"titles": found}


def steps(device: Device) -> dict[str, Callable[..., Any]]:
    client, copy = device.client, device.copy
    return {
        "sign_up": client.sign_up,
        "sign_in": client.sign_in,
        "sign_out": client.sign_out,
        "restart": device.restart,
        "list": device.lists,
        "add": lambda title: {"task": client.add(title)},
        "sync": lambda: client.sync(copy) and {},
        "local_add": lambda title: {"task": copy.add(title)},
        "local_edit": lambda task_id, fields: {"task": copy.edit(task_id, **fields)},
        "local_remove": copy.remove,
        "local_list": lambda: {"tasks": copy.tasks()},
        "follow": device.follow,
        "unfollow": lambda: None,
        "wait_for": device.wait_for,
        "conflicts": lambda: {"conflicts": [{"fields": conflict.fields} for conflict in copy.conflicts()]},
    }


def tried(device: Device, step: Json) -> Json:
    """Do a step and return what came of it."""
    name = step.pop("do")
    operation = steps(device).get(name)
    if operation is None:
        return {"unsupported": True}
    try:
        return operation(**step) or {}
    except ERRORS as error:
        return {"error": str(error)}


def main() -> None:
    with TemporaryDirectory() as folder, httpx.Client(base_url=URL, timeout=60) as kit:
        result: Json = {}
        devices: list[Device] = []
        while (step := kit.post("/kit", json=result).json())["do"] != "end":
            if step["do"] == "begin":
                for device in devices:
                    device.stop()
                devices = [Device(Path(folder) / f"device{os.urandom(4).hex()}")]
                result = {}
            else:
                result = tried(devices[0], step)


if __name__ == "__main__":
    main()
