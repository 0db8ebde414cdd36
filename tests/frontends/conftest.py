"""A real browser."""

from playwright.sync_api import expect

from tests.support.browsers import browser as browser
from tests.support.browsers import context as context
from tests.support.pages import LONGEST_WAIT_MS

expect.set_options(timeout=LONGEST_WAIT_MS)
