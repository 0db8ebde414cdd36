"""A real browser, and the page of the example."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.support.browsers import browser as browser
from tests.support.browsers import context as context
from tests.support.pages import LONGEST_WAIT_MS, Site, site_of

expect.set_options(timeout=LONGEST_WAIT_MS)


@pytest.fixture(scope="module")
def site(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page, and the service for it."""
    with site_of(tmp_path_factory.mktemp("site"), DATABASE_URL=database_url) as made:
        yield made
