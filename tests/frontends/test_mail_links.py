"""The links of mails in a real browser, with the example page; and how the mails look on a telephone."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.mail.texts import KINDS, load_texts
from tests.support.mail import Mailbox, mail_server, mail_settings, plain
from tests.support.pages import LONGEST_WAIT_MS, fill_in, page_for, serving_folder, sign_in, sign_out, sign_up
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


def expect_toast(page: Page, text: str) -> None:
    expect(page.locator("#toasts")).to_contain_text(text)


def test_somebody_lives_with_the_links_of_mails(context: BrowserContext, page_url: str, mailbox: Mailbox) -> None:
    """A person proves the address, moves to another one, forgets the password and gets in again, in a page."""
    email, new = new_email(), new_email()
    page = context.new_page()
    page.goto(page_url)
    sign_up(page, email)
    page.goto(f"{page_url}/#account")
    expect(page.locator("#address-now")).to_have_text(f"{email} is not proven to be yours yet.")
    page.click("#prove")
    expect_toast(page, "A link is on its way to your address.")
    page.goto(link_to(mailbox, email, "/verify"))
    expect_toast(page, f"Thank you: {email} is your address.")
    assert page.url == f"{page_url}/", "no token stays in the history"

    page.goto(f"{page_url}/#account")
    expect(page.locator("#address-now")).to_have_text(f"{email} is proven to be yours.")
    expect(page.locator("#prove")).to_be_hidden()
    fill_in(page, "address", email=new, current_password="wrong guess")
    expect(page.locator("#address .error")).to_have_text("The password is wrong.")
    expect(page.locator("#address [name=current_password]")).to_have_attribute("aria-invalid", "true")
    fill_in(page, "address", email=new, current_password=PASSWORD)
    expect_toast(page, "A link is on its way to the new address. The old one stays until you follow it.")
    link = link_to(mailbox, new, "/email")
    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    page.goto(link)
    expect(page.locator("#notice")).to_have_text("Sign in, and the link is used.")
    fill_in(page, "sign-in", email=email, password=PASSWORD)
    expect_toast(page, f"Thank you: {new} is your address.")
    expect(page.locator("#menu-email")).to_have_text(new)

    sign_out(page)
    page.click("text=Forgot the password?")
    fill_in(page, "forgotten", email=new)
    expect(page.locator("#notice")).to_have_text(
        "If this address has an account, a link for a new password is on its way to it."
    )
    page.goto(link_to(mailbox, new, "/reset"))
    fill_in(page, "reset", new_password=NEW)
    expect(page.locator("#notice")).to_have_text("The password is changed. Please sign in.")
    sign_in(page, new, NEW)


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
