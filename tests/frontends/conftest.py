"""A real browser, and a web page served from an origin of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.support.pages import EXAMPLE, LONGEST_WAIT_MS, serving_folder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]

expect.set_options(timeout=LONGEST_WAIT_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if not CHROMIUM:
        pytest.skip("there is no chromium to test with: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of `page/`, with the `api.js` of the example."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(Path(__file__).parent / "page" / "index.html", folder)
    shutil.copy(EXAMPLE / "api.js", folder)
    with serving_folder(folder) as port:
        yield f"http://127.0.0.1:{port}"
