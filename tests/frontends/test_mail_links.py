"""The links of mails in a real browser, with the example page; and how the mails look on a telephone."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.mail.texts import KINDS, load_texts
from tests.frontends.test_cookie import page_for
from tests.support.mail import Mailbox, mail_server, mail_settings, plain
from tests.support.pages import LONGEST_WAIT_MS, serving_folder
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NEW = "another battery staple 5"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def page_url(database_url: str, tmp_path: Path, mailbox: Mailbox) -> Iterator[str]:
    """The example page, beside a service that sends mail."""
    with ExitStack() as stack:
        folder = tmp_path / "web"
        url = f"http://localhost:{stack.enter_context(serving_folder(folder))}"
        named = mail_settings(stack.enter_context(mail_server(mailbox)), frontend_url=url)
        settings: dict[str, Any] = {name.upper(): str(value) for name, value in named.items()}
        settings |= {"ENVIRONMENT": "development", "PASSWORD_HASH_COST": "12"}
        api = stack.enter_context(serving(tmp_path, DATABASE_URL=database_url, **settings))
        page_for(folder, api.url.replace("127.0.0.1", "localhost"))
        yield url


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 390, "height": 800})
    made.set_default_timeout(LONGEST_WAIT_MS)
    yield made
    made.close()


def link_to(mailbox: Mailbox, email: str, path: str) -> str:
    """Wait for a mail, and return its link, which leads to this path of the page."""
    found: list[str] = []

    def has_come() -> bool:
        lines = [line for mail in mailbox.mails if mail["To"] == email for line in plain(mail).splitlines()]
        found[:] = [line for line in lines if f"{path}#token=" in line]
        return bool(found)

    wait_until(has_come)
    return found[-1]


def sign(page: Page, button: str, email: str, password: str = PASSWORD) -> None:
    page.fill("#account [name=email]", email)
    page.fill("#account [name=password]", password)
    page.click(f"button[value={button}]")


def expect_said(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_have_text(text)


def test_somebody_lives_with_the_links_of_mails(context: BrowserContext, page_url: str, mailbox: Mailbox) -> None:
    """A person proves the address, moves to another one, forgets the password and gets in again, in a page."""
    email, new = new_email(), new_email()
    page = context.new_page()
    page.goto(page_url)
    sign(page, "signUp", email)
    expect(page.locator("#unproven")).to_be_visible()
    page.click("text=Send me a link")
    expect_said(page, "A link is on its way to your address.")
    page.goto(link_to(mailbox, email, "/verify"))
    expect_said(page, f"Thank you: {email} is your address.")
    assert page.url == f"{page_url}/", "no token stays in the history"
    expect(page.locator("#unproven")).to_be_hidden()

    page.click("summary")
    page.fill("#move [name=new_email]", new)
    page.fill("#move [name=current_password]", PASSWORD)
    page.click("text=Send a link to it")
    expect_said(page, "A link is on its way to the new address. The old one stays until you follow it.")
    link = link_to(mailbox, new, "/email")
    page.click("#sign-out")
    expect_said(page, "Signed out.")
    page.goto(link)
    expect_said(page, "Sign in, and the link is used.")
    sign(page, "signIn", email)
    expect_said(page, f"Thank you: {new} is your address.")

    page.click("#sign-out")
    expect_said(page, "Signed out.")
    page.fill("#account [name=email]", new)
    page.click("text=I forgot the password")
    expect_said(page, "If this address has an account, a link for a new password is on its way to it.")
    page.goto(link_to(mailbox, new, "/reset"))
    page.fill("#reset [name=new_password]", NEW)
    page.click("#reset button")
    expect_said(page, "The password is changed. Please sign in.")
    sign(page, "signIn", new, NEW)
    expect_said(page, f"Hello {new}")
    expect(page.locator("#unproven")).to_be_hidden()


def test_every_mail_can_be_read_on_a_telephone(context: BrowserContext) -> None:
    """A mail fits on 390 pixels, has text and a button that a thumb hits, and fetches nothing."""
    texts, page, asked = load_texts(None), context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    values = {
        "service": "A Service With a Long Name",
        "page": "https://app.example.com",
        "when": "2026-01-07 10:00 UTC",
    }
    values["link"] = f"{values['page']}/reset#token={'a' * 900}"
    for kind in KINDS:
        text = texts.make(kind, **values)
        page.set_content(text.html)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, kind
        assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('p')).fontSize)") >= 16
        for button in page.locator("a.button").all():
            box = button.bounding_box()
            assert box
            assert box["height"] >= 44
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if folder := os.environ.get("PICTURES_OF_MAILS"):
                page.screenshot(path=f"{folder}/{kind}-{scheme}.png")
    assert asked == []
