"""Drives the Python client through the kit: `python kit.py python drivers/driver.py`."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from auth_tasks_client import ApiError, LocalCopy, OtherAccount, SignedOut, TasksClient, TokenStore

Json = dict[str, Any]
URL = os.environ["KIT_URL"]


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

    def list(self, at_once: int = 1) -> Json:
        with ThreadPoolExecutor(at_once) as pool:
            lists = list(pool.map(lambda _: self.client.tasks(), range(at_once)))
        return {"tasks": lists[0]}


def steps(device: Device) -> dict[str, Callable[..., Any]]:
    client, copy = device.client, device.copy
    return {
        "sign_up": client.sign_up,
        "sign_in": client.sign_in,
        "sign_out": client.sign_out,
        "restart": device.restart,
        "list": device.list,
        "add": lambda title: {"task": client.add(title)},
        "sync": lambda: client.sync(copy) and {},
        "local_add": lambda title: {"task": copy.add(title)},
        "local_edit": lambda task_id, fields: {"task": copy.edit(task_id, **fields)},
        "local_remove": copy.remove,
        "local_list": lambda: {"tasks": copy.tasks()},
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
    except (ApiError, SignedOut, OtherAccount, httpx.TransportError) as error:
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
