"""A real browser, for the folders whose conftest.py imports these fixtures."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from tests.support.pages import LONGEST_WAIT_MS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]


AUTHENTICATOR = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
AUTHENTICATOR |= {"isUserVerified": True, "automaticPresenceSimulation": True}


def with_authenticator(page: Page) -> tuple[CDPSession, str]:
    """Return a device of this page's that keeps keys, and whose owner agrees to everything."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return devtools, made["authenticatorId"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if not CHROMIUM:
        pytest.skip("there is no chromium to test with: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What one person has: cookies and a store of their own, in as many tabs as are opened."""
    made = browser.new_context()
    made.set_default_timeout(LONGEST_WAIT_MS)
    yield made
    made.close()
