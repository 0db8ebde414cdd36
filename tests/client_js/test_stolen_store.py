"""A thief who has copied all that a browser stores, cookies and keys too: found at the owner's next refresh."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, StorageState

from tests.client_js.test_browser import EXPIRE, WITHOUT_LOCKS, WORKS, signed_up
from tests.support.pages import LONGEST_WAIT_MS, asked

pytestmark = pytest.mark.slow

MODES = pytest.mark.parametrize("mode", ["cookie", "storage"])
LOCKS = pytest.mark.parametrize("has_locks", [True, False], ids=["with locks", "without locks"])


class Browsers:
    """Browsers, each with a page that is opened where somebody has signed in."""

    def __init__(self, browser: Browser, stack: ExitStack, address: str, *, has_locks: bool) -> None:
        self.browser, self.stack, self.address, self.has_locks = browser, stack, address, has_locks
        self.owner = self.opened(None)
        signed_up(self.owner)

    def opened(self, stored: StorageState | None) -> Page:
        """Open the page in a browser of its own, which has stored this."""
        context = self.browser.new_context(storage_state=stored)
        self.stack.callback(context.close)
        context.set_default_timeout(LONGEST_WAIT_MS)
        if not self.has_locks:
            context.add_init_script(WITHOUT_LOCKS)
        page = context.new_page()
        page.goto(self.address)
        page.wait_for_function("() => window.client")
        return page

    def thief(self) -> Page:
        return self.opened(self.owner.context.storage_state())


@pytest.fixture
def browsers(browser: Browser, origin: str, api: str, mode: str, has_locks: bool) -> Iterator[Browsers]:
    """The page keeps the refresh token where `mode` says."""
    with ExitStack() as stack:
        yield Browsers(browser, stack, f"{origin}/page/?api={api}&session={mode}", has_locks=has_locks)


def works(page: Page) -> bool:
    """Open the page again when its access token has expired; return whether the session goes on."""
    asked(page, EXPIRE)
    page.reload()
    page.wait_for_function("() => window.client")
    return bool(asked(page, WORKS))


def in_turns(first: Page, second: Page) -> int:
    """Let each refresh in its turn; return after how many turns one was refused, 8 at most."""
    pages = (first, second)
    return next((turn for turn in range(8) if not works(pages[turn % 2])), 8)


@MODES
@LOCKS
def test_two_with_one_store_are_found_in_turns(browsers: Browsers, has_locks: bool) -> None:
    """Where there are locks, who refreshes the same pair second ends the session for both; without, nobody is found."""
    owner, thief = browsers.owner, browsers.thief()
    assert in_turns(thief, owner) == (3 if has_locks else 8)
    assert works(owner) is works(thief) is not has_locks


@MODES
@LOCKS
def test_a_thief_who_runs_ahead_is_put_out(browsers: Browsers) -> None:
    """The owner's next refresh ends what the thief has, though the service takes it for a late duplicate."""
    owner, thief = browsers.owner, browsers.thief()
    for _ in range(3):
        assert works(thief)
    assert not works(owner)
    assert not asked(thief, WORKS)
    assert asked(owner, "() => client.session.user") is None
