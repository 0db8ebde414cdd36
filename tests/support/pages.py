"""Web pages for a browser, and pictures of them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Page, Response

from tests.support.settings import ROOT

EXAMPLE = ROOT / "examples" / "web"
LONGEST_WAIT_MS = 60_000  # on a busy machine, where one hash at full cost takes seconds


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None: ...


def take_picture(page: Page, name: str) -> None:
    """Take a picture for the documents anew, if `PICTURES` names the folder that they are in."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def is_answer_to_post(path: str) -> Callable[[Response], bool]:
    """Return what `page.expect_response` takes, to wait until a POST of the page is answered."""
    return lambda response: response.url.endswith(path) and response.request.method == "POST"


@contextmanager
def serving_folder(folder: Path) -> Iterator[int]:
    """Serve a folder's files, and yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
