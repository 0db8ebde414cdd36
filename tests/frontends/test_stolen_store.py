"""A thief who has copied all that a browser stores, cookies and keys too: found at the owner's next refresh."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, StorageState

from tests.support.pages import LONGEST_WAIT_MS
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving

pytestmark = pytest.mark.slow

WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"
EXPIRE = """() => {
    const tokens = localStorage.tokens && JSON.parse(localStorage.tokens);
    if (tokens) localStorage.tokens = JSON.stringify({ ...tokens, access_token: "x" });
}"""
LOOK = """() => api.call("GET", "/api/tasks").then(() => true, (refusal) => {
    if (refusal.status === 401) return false;
    throw refusal;
})"""
MODES = pytest.mark.parametrize("mode", ["cookie", "storage"])
LOCKS = pytest.mark.parametrize("has_locks", [True, False], ids=["with locks", "without locks"])


class Browsers:
    """Browsers, each with a page that is opened where somebody has signed in."""

    def __init__(self, browser: Browser, stack: ExitStack, address: str, *, has_locks: bool) -> None:
        self.browser, self.stack, self.address, self.has_locks = browser, stack, address, has_locks
        self.owner = self.opened(None)
        self.owner.evaluate("(account) => api.signUp(account)", {"email": new_email(), "password": PASSWORD})

    def opened(self, stored: StorageState | None) -> Page:
        """Open the page in a browser of its own, which has stored this."""
        context = self.browser.new_context(storage_state=stored)
        self.stack.callback(context.close)
        context.set_default_timeout(LONGEST_WAIT_MS)
        if not self.has_locks:
            context.add_init_script(WITHOUT_LOCKS)
        page = context.new_page()
        page.goto(self.address)
        return page

    def thief(self) -> Page:
        return self.opened(self.owner.context.storage_state())


@pytest.fixture(scope="module")
def address(origin: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is, with a service on the same site."""
    page = origin.replace("127.0.0.1", "localhost")
    with serving(tmp_path_factory.mktemp("api"), DATABASE_URL=database_url, FRONTEND_URL=page) as api:
        yield f"{page}/?api={api.url.replace('127.0.0.1', 'localhost')}"


@pytest.fixture
def browsers(browser: Browser, address: str, mode: str, has_locks: bool) -> Iterator[Browsers]:
    """The page keeps the refresh token where `mode` says."""
    with ExitStack() as stack:
        yield Browsers(browser, stack, f"{address}&mode={mode}", has_locks=has_locks)


def works(page: Page) -> bool:
    """Open the page again when its access token has expired; return whether the session goes on."""
    page.evaluate(EXPIRE)
    page.reload()
    return bool(page.evaluate(LOOK))


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
    assert not thief.evaluate(LOOK)
    assert not owner.evaluate("() => api.isSignedIn()")
