"""A real browser, and a web page served from an origin of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browsers import browser as browser
from tests.support.browsers import context as context
from tests.support.pages import EXAMPLE, LONGEST_WAIT_MS, serving_folder

expect.set_options(timeout=LONGEST_WAIT_MS)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of `page/`, with the `api.js` of the example."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(Path(__file__).parent / "page" / "index.html", folder)
    shutil.copy(EXAMPLE / "api.js", folder)
    with serving_folder(folder) as port:
        yield f"http://127.0.0.1:{port}"
