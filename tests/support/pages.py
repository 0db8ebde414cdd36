"""Web pages for a browser, the page of the example, and pictures of them."""

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, Response, Route, expect

from examples.serve import PageHandler
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving
from tests.support.settings import ROOT

EXAMPLE = ROOT / "examples" / "web"


class Site(NamedTuple):
    """The origins of a page and of its API."""

    page: str
    api: str


LONGEST_WAIT_MS = 60_000  # on a busy machine, where one hash at full cost takes seconds

BOUNDED = """([given, ms]) => Promise.race([
    (FUNCTION)(given),
    new Promise((_, fail) => setTimeout(() => fail(new Error(`not within ${ms} ms`)), ms)),
])"""


def asked(page: Page, function: str, given: Any = None, *, ms: int = LONGEST_WAIT_MS) -> Any:
    """Call a function in a page and return what it returns or promises; Playwright's `evaluate` would wait for ever."""
    return page.evaluate(BOUNDED.replace("FUNCTION", function), [given, ms])


def take_picture(page: Page, name: str) -> None:
    """Take a picture for the documents anew, if `PICTURES` names the folder that they are in."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


TWO_WINDOWS = """<!doctype html><style>
    body { margin: 0; padding: 24px; display: inline-flex; gap: 24px; background: #dfe3ec; }
    img { display: block; width: 560px; border-radius: 0 0 12px 12px; }
    div { border-radius: 12px; background: #fff; box-shadow: 0 6px 24px #1d202633; }
    div::before { content: "● ● ●"; display: block; padding: 8px 14px; color: #c3c9d6; font: 12px sans-serif; }
</style>"""


def take_picture_of_both(left: Page, right: Page, name: str) -> None:
    """Take a picture of two windows side by side."""
    if not os.environ.get("PICTURES"):
        return
    for page in (left, right):
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        page.mouse.move(0, 0)
        page.wait_for_timeout(1000)  # what comes a moment later is in the picture
    shots = [base64.b64encode(page.screenshot()).decode() for page in (left, right)]
    both = left.context.new_page()
    both.set_viewport_size({"width": 1192, "height": 638})
    both.set_content(
        TWO_WINDOWS + "".join(f'<div><img alt="" src="data:image/png;base64,{shot}"></div>' for shot in shots)
    )
    both.wait_for_function("() => [...document.images].every((image) => image.complete)")
    take_picture(both, name)
    both.close()


def is_answer_to_post(path: str) -> Callable[[Response], bool]:
    """Return what `page.expect_response` takes, to wait until a POST of the page is answered."""
    return lambda response: response.url.endswith(path) and response.request.method == "POST"


def hold(page: Page | BrowserContext, path: str) -> list[Route]:
    """Hold what a page asks for from now on; return where it is kept, to be let go or not."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(path, keep)
    return held


@contextmanager
def serving_folder(folder: Path) -> Iterator[int]:
    """Serve a folder's files as the example's are, and yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(PageHandler, directory=folder)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


# The page of the example.


def page_for(folder: Path, api: str) -> Path:
    """Copy the example, with another API."""
    shutil.copytree(EXAMPLE, folder)
    file = folder / "index.html"
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(api))
    text = file.read_text().replace("connect-src http://localhost:8000", f"connect-src {origin}")
    file.write_text(text.replace("http://localhost:8000", api))
    return folder


@contextmanager
def site_of(base: Path, **settings: str) -> Iterator[Site]:
    """Serve the example in a folder, and the service for it, on two ports of localhost."""
    with serving_folder(base / "web") as port:
        page = f"http://localhost:{port}"
        with serving(base, wait=True, FRONTEND_URL=page, **settings) as api:
            page_for(base / "web", api.url.replace("127.0.0.1", "localhost"))
            yield Site(page, api.url)


def sign_up(page: Page, email: str | None = None, name: str = "") -> str:
    """Make an account in the page that is open; return its address."""
    email = email or new_email()
    page.click("text=Create an account")
    page.fill("#sign-up [name=name]", name)
    fill_in(page, "sign-up", email=email, password=PASSWORD)
    expect(page.locator("#who")).to_have_text(name or email)
    return email


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    fill_in(page, "sign-in", email=email, password=password)
    expect(page.locator("#menu-email")).to_have_text(email)


def fill_in(page: Page, form: str, **fields: str) -> None:
    """Fill in a form and send it off."""
    for name, value in fields.items():
        page.fill(f"#{form} [name={name}]", value)
    page.click(f"#{form} button")


def sign_out(page: Page) -> None:
    page.click("#menu-button")
    page.click("#sign-out")


def add(page: Page, title: str) -> None:
    page.fill("#new [name=title]", title)
    page.press("#new [name=title]", "Enter")
    expect(items(page).filter(has_text=title)).to_have_count(1)


def items(page: Page) -> Locator:
    """The tasks that are shown."""
    return page.locator("#list > li")


def expect_titles(page: Page, *titles: str) -> None:
    expect(page.locator("#list .title")).to_have_text(list(titles))


def expect_sent(page: Page) -> None:
    """Wait until the service has everything."""
    expect(page.locator("#sync")).to_be_empty()
    expect(page.locator("#list [data-pending=true]")).to_have_count(0)
