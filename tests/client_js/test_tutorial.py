"""docs/tutorial.md, followed step by step in a real browser."""

import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from app.core.config import LOCAL_PAGES
from tests.support.pages import LONGEST_WAIT_MS
from tests.support.people import PASSWORD, new_email
from tests.support.recipes import commands_of, run, sections, write_files
from tests.support.server import free_port, serving
from tests.support.settings import ROOT
from tests.support.waiting import wait_until

TUTORIAL = "docs/tutorial.md"
RUN_THE_SERVICE, *_, SERVE_THE_PAGE = [it for text in sections(TUTORIAL).values() for it in commands_of(text)]
SERVICE, PAGE = "8000", "3000"

pytestmark = pytest.mark.slow
expect.set_options(timeout=LONGEST_WAIT_MS)


class Reader:
    """Somebody who follows the tutorial, with ports of their own."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self.folder = folder
        self.ports = ports
        self.serve = SERVE_THE_PAGE.replace(PAGE, ports[PAGE])
        self._steps = iter([text for name, text in sections(TUTORIAL).items() if name[0].isdigit()])
        (folder / "examples").symlink_to(ROOT / "examples")

    def follow(self) -> None:
        """Take the next step: write its files, and run its commands."""
        step = next(self._steps)
        for shown, own in self.ports.items():
            step = step.replace(shown, own)
        write_files(step, self.folder)
        for command in commands_of(step):
            if command not in (RUN_THE_SERVICE, self.serve):
                run(command, self.folder)

    @contextmanager
    def serving_the_page(self) -> Iterator[None]:
        """Run the tutorial's own command that serves the page."""
        with subprocess.Popen(
            shlex.split(self.serve),
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever is started in the background ignores Ctrl-C, and so would this.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # runs nothing else
        ) as process:
            try:
                wait_until(lambda: answers(f"http://localhost:{self.ports[PAGE]}"), 30)
                yield
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    assert process.communicate(timeout=30)[1] == ""
                finally:
                    process.kill()


def answers(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False


def rows(page: Page) -> Locator:
    return page.locator("#list > div")


def row(page: Page, title: str) -> Locator:
    return page.locator("#list > div", has_text=title)


def enter(page: Page, email: str, button: str, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name=button).click()


def add(page: Page, title: str) -> None:
    page.get_by_label("New task").fill(title)
    page.get_by_role("button", name="Add").click()
    expect(row(page, title)).to_be_visible()


def rename(page: Page, title: str, new: str) -> None:
    page.once("dialog", lambda dialog: dialog.accept(new))
    row(page, title).get_by_role("button", name="Rename").click()
    expect(row(page, new)).to_be_visible()


def set_offline(*contexts: BrowserContext, offline: bool = True) -> None:
    for context in contexts:
        context.set_offline(offline)


def test_its_page_may_call_the_service_without_a_setting() -> None:
    """Somebody who serves the page as the tutorial says need not set FRONTEND_URL."""
    assert PAGE in shlex.split(SERVE_THE_PAGE)
    assert f"http://localhost:{PAGE}" in LOCAL_PAGES


def test_the_page_that_it_builds_works_on_a_train(browser: Browser, database_url: str, tmp_path: Path) -> None:
    """Somebody who follows the tutorial sees at each step what it says, and loses nothing in the tunnel."""
    service, port = free_port(), free_port()
    address = f"http://localhost:{port}"
    reader = Reader(tmp_path, {SERVICE: str(service), PAGE: str(port)})
    settings: dict[str, Any] = {"DATABASE_URL": database_url, "FRONTEND_URL": address, "PORT": str(service)}
    with ExitStack() as window, ExitStack() as first, ExitStack() as second:  # the browser, and the two terminals
        contexts = [browser.new_context(), browser.new_context()]
        for context in contexts:
            window.callback(context.close)
            context.set_default_timeout(LONGEST_WAIT_MS)
        page, private = (context.new_page() for context in contexts)

        reader.follow()  # start the service
        first.enter_context(serving(tmp_path, **settings))
        reader.follow()  # a folder for the page
        second.enter_context(reader.serving_the_page())
        page.goto(address)
        expect(page.locator("body")).to_contain_text("client/")

        reader.follow()  # sign up
        email = new_email()
        page.goto(address)
        enter(page, email, "Sign up")
        expect(page.get_by_text(f"Hello {email}")).to_be_visible()
        page.reload()
        page.get_by_role("button", name="Sign out").click()
        enter(page, email, "Sign in", "a wrong one")
        expect(page.get_by_role("status")).not_to_be_empty()
        enter(page, email, "Sign in")
        expect(page.get_by_text(f"Hello {email}")).to_be_visible()

        reader.follow()  # add and tick off
        page.reload()
        add(page, "Water the plants")
        add(page, "Feed the cat")
        row(page, "Feed the cat").get_by_role("checkbox").check()
        rename(page, "Water the plants", "Water all plants")
        expect(page.locator(".waits")).to_have_count(0)

        reader.follow()  # another device
        private.goto(address)
        enter(private, email, "Sign in")
        expect(rows(private)).to_have_count(2)
        row(private, "Water all plants").get_by_role("checkbox").check()
        expect(row(page, "Water all plants").get_by_role("checkbox")).to_be_checked()

        first.close()  # a tunnel, first with the page's server
        add(page, "Typed in the tunnel")
        page.reload()
        expect(row(page, "Typed in the tunnel")).to_have_class("waits")
        reader.follow()
        first.enter_context(serving(tmp_path, **settings))
        page.reload()
        expect(page.locator(".waits")).to_have_count(0)
        page.wait_for_function("async () => (await (await caches.open('page')).keys()).length > 5")
        set_offline(*contexts)
        second.close()
        page.reload()
        add(page, "Typed without anything")
        row(page, "Typed in the tunnel").get_by_role("checkbox").check()
        expect(page.locator(".waits")).to_have_count(2)  # what is grey is stored
        page.reload()
        expect(page.locator(".waits")).to_have_count(2)
        second.enter_context(reader.serving_the_page())
        set_offline(*contexts, offline=False)
        expect(page.locator(".waits")).to_have_count(0)
        expect(rows(private)).to_have_count(4)
        expect(row(private, "Typed in the tunnel").get_by_role("checkbox")).to_be_checked()

        set_offline(*contexts)  # disagree
        rename(page, "Feed the cat", "Feed both cats")
        rename(private, "Feed the cat", "Feed the dog")
        reader.follow()
        set_offline(contexts[1], offline=False)  # the private window is the first
        expect(private.locator(".waits")).to_have_count(0)
        set_offline(contexts[0], offline=False)
        page.reload()
        expect(page.locator("#conflicts")).to_contain_text(
            "Your “Feed both cats” is not in the list: The task has been changed"
        )
        expect(row(page, "Feed the dog")).to_be_visible()
        page.get_by_role("button", name="Use mine").click()
        expect(row(private, "Feed both cats")).to_be_visible()
        expect(page.locator("#conflicts")).to_be_empty()
