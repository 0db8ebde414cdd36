"""A real browser, and a web page served from an origin of its own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.settings import ROOT

EXAMPLE = ROOT / "examples" / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if not CHROMIUM:
        pytest.skip("there is no chromium to test with: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None: ...


def take_picture(page: Page, name: str) -> None:
    """Take a picture of README.md anew, if `PICTURES` names the folder that they are in."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


@contextmanager
def serving_folder(folder: Path) -> Iterator[int]:
    """Serve a folder's files, and yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of `page/`, with the `api.js` of the example."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(Path(__file__).parent / "page" / "index.html", folder)
    shutil.copy(EXAMPLE / "api.js", folder)
    with serving_folder(folder) as port:
        yield f"http://127.0.0.1:{port}"
