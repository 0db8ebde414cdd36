"""The page of the example in a browser that several people use, or that keeps nothing."""

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.pages import (
    Site,
    add,
    asked,
    expect_sent,
    expect_titles,
    fill_in,
    hold,
    items,
    sign_in,
    sign_out,
    sign_up,
)
from tests.support.people import PASSWORD, new_email
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

TEXTS = """() => [
    document.title, location.href, document.documentElement.outerHTML,
    ...[...document.querySelectorAll("input, textarea")].map(({ value }) => value),
].join("\\n").toLowerCase()"""


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 500})
    page.goto(site.page)
    return page


def sign_out_elsewhere(site: Site, email: str) -> None:
    account = {"email": email, "password": PASSWORD}
    token = httpx.post(f"{site.api}/api/auth/signin", json=account).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    httpx.post(f"{site.api}/api/auth/signout", json={"everywhere": True}, headers=headers).raise_for_status()


@pytest.mark.parametrize("where", ["here", "in another window", "on another device"])
def test_the_next_person_reads_nothing(page: Page, site: Site, where: str) -> None:
    """What somebody typed or saw goes when they sign out: here, in another window or on another device."""
    page.click("text=Create an account")
    fill_in(page, "sign-up", name="Linus", email="linus without an at", password="linus's password")
    expect(page.locator("#sign-up [role=alert]")).not_to_be_empty()
    page.click("#sign-up >> text=Sign in")
    expect(page.locator("#entrance-title")).to_have_text("Sign in")
    email = sign_up(page, f"linus-{new_email()}", name="Linus Pauling")
    other = page.context.new_page()
    other.goto(site.page)
    for number in range(8):
        add(page, f"Linus's task {number}")
    page.get_by_role("checkbox", name="Linus's task 3").click()
    expect_sent(page)
    page.click("#filters >> text=Active")
    page.select_option("#sort", "title")
    page.get_by_role("button", name="Delete Linus's task 5").click()
    page.get_by_role("button", name="Edit Linus's task 7").click()
    page.fill("form.edit:visible [name=description]", "Linus's notes")
    page.fill("#search", "linus's")
    page.fill("#new [name=title]", "Linus's secret")
    page.select_option("#new [name=priority]", "high")
    page.mouse.wheel(0, 300)
    page.wait_for_function("scrollY > 0")

    if where == "here":
        sign_out(page)
    elif where == "in another window":
        sign_out(other)
    else:
        page.click("#menu-button")
        sign_out_elsewhere(site, email)
    expect(page.locator("#notice")).to_contain_text("You are signed out." if where != "on another device" else "device")
    expect(page.locator("#menu")).to_be_hidden()
    assert "linus" not in asked(page, TEXTS)
    page.click("text=Create an account")
    assert "linus" not in asked(page, TEXTS)
    page.click("#sign-up >> text=Sign in")
    expect(page.locator("#entrance-title")).to_have_text("Sign in")

    sign_up(page, name="Grace")
    expect(page.locator("#empty")).to_have_text("Nothing to do. Add your first task.")
    expect(page.locator("#new [name=title]")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert "linus" not in asked(page, TEXTS)
    add(page, "Grace's first")
    add(page, "Almost the last")
    expect_titles(page, "Almost the last", "Grace's first")
    expect(page.locator("#new [name=priority]")).to_have_value("medium")
    expect(page.locator("#filters [aria-current]")).to_have_text("All")
    assert page.evaluate("scrollY") == 0


def test_the_account_goes_with_its_owner(page: Page, site: Site) -> None:
    """So do a question that is open, and what was typed there; the next one sees an account of their own."""
    email = sign_up(page, f"linus-{new_email()}", name="Linus Pauling")
    open_account(page)
    page.fill("#token-form [name=name]", "Linus's script")
    page.click("text=Make a token")
    page.fill("#proof [name=current_password]", "linus's password")
    sign_out_elsewhere(site, email)
    expect(page.locator("#notice")).to_contain_text("another device")
    expect(page.locator("#proof")).to_be_hidden()
    expect(page.locator("#proof-text")).to_be_empty()
    assert "linus" not in asked(page, TEXTS)
    sign_up(page, name="Grace")
    page.click("#menu-button")
    page.click("#menu >> text=Your account")
    expect(page.locator("#profile [name=name]")).to_have_value("Grace")
    assert "linus" not in asked(page, TEXTS)


def test_a_window_that_slept_while_another_person_came(page: Page, context: BrowserContext, site: Site) -> None:
    """It hears of both at once, and shows the account of the one who is signed in now."""
    sign_up(page, f"linus-{new_email()}", name="Linus Pauling")
    add(page, "Linus's task")
    expect_sent(page)
    page.click("#menu-button")
    page.click("#menu >> text=Your account")
    expect(page.locator("#session-list li")).to_have_count(1)
    second = context.new_page()
    second.goto(site.page)
    expect_titles(second, "Linus's task")
    debugger = context.new_cdp_session(page)
    debugger.send("Debugger.enable")
    debugger.send("Debugger.pause")  # before its next step
    sign_out(second)
    sign_up(second, name="Grace")
    debugger.send("Debugger.disable")
    expect(page.locator("#who")).to_have_text("Grace")
    expect(page.locator("#empty")).to_be_visible()
    assert "linus" not in asked(page, TEXTS)


def open_account(page: Page) -> None:
    page.click("#menu-button")
    page.click("#menu >> text=Your account")


def test_an_answer_that_comes_late(page: Page, site: Site) -> None:
    """What was asked for an account that is closed by then is shown to nobody, and is no error."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.message))
    email = sign_up(page, f"linus-{new_email()}", name="Linus Pauling")
    more = {"email": email, "password": PASSWORD, "device": "Linus's telephone"}
    httpx.post(f"{site.api}/api/auth/signin", json=more).raise_for_status()
    held = hold(page, "**/api/auth/sessions")
    open_account(page)
    expect(page.locator("#sign-out-others")).to_be_hidden()
    expect(page.locator("#account-tokens")).to_be_visible()
    wait_until(lambda: bool(page.title()) and len(held) == 2)  # Playwright hears while it asks
    answers = [route.fetch() for route in held]
    page.click("text=Back to the tasks")
    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    page.route("**/api/auth/sessions", lambda route: route.continue_())
    sign_up(page, name="Grace")
    open_account(page)
    expect(page.locator("#session-list li")).to_have_count(1)
    for route, answer in zip(held, answers, strict=True):
        with page.expect_event("requestfinished"):
            route.fulfill(response=answer)
    expect(page.locator("#session-list li")).to_have_count(1)
    assert "linus" not in asked(page, TEXTS)

    held = hold(page, "**/api/auth/sessions")
    page.click("text=Back to the tasks")
    open_account(page)
    expect(page.locator("#account-tokens")).to_be_visible()
    wait_until(lambda: bool(page.title()) and len(held) == 2)  # Playwright hears while it asks
    page.click("text=Back to the tasks")
    expect(page.locator("#new")).to_be_visible()
    for route in held:
        with page.expect_event("requestfinished"):
            route.continue_()
    add(page, "Grace's first")
    expect(page.locator("#toasts")).to_be_empty()
    assert not errors


REFUSED = {
    "by an exception": "IDBFactory.prototype.open = () => { throw new DOMException('refused', 'SecurityError'); }",
    "by an event": """IDBFactory.prototype.open = () => {
        const request = { error: new DOMException('refused', 'InvalidStateError') };
        setTimeout(() => request.onerror());
        return request;
    }""",
    "with all else": """for (const name of ["indexedDB", "localStorage", "sessionStorage", "caches"])
        Object.defineProperty(window, name, { get() { throw new DOMException('refused', 'SecurityError'); } });""",
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_browser_that_keeps_nothing(context: BrowserContext, site: Site, how: str) -> None:
    """Somebody signs in, is told why no tasks are shown, reaches the account, and signs out."""
    errors: list[str] = []
    context.add_init_script(REFUSED[how])
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(error.message))
    page.goto(site.page)
    email = sign_up(page)
    expect(page.locator("#tasks")).to_contain_text("This browser keeps nothing for this page")
    page.click("#menu-button")
    page.click("#menu >> text=Your account")
    expect(page.locator("#session-list li")).to_have_count(1)
    page.click("text=Back to the tasks")
    expect(page.locator("#tasks")).to_contain_text("This browser keeps nothing for this page")
    expect(page.locator("#sign-in")).to_be_hidden()
    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    sign_in(page, email)
    page.click("#menu-button")
    page.click("#sign-out-everywhere")
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    assert not errors


def test_a_copy_that_is_gone(page: Page) -> None:
    """Who has emptied the browser's store is told so at what they do, keeps what they typed, and signs out."""
    sign_up(page)
    add(page, "Before")
    expect_sent(page)
    asked(
        page,
        """async () => { for (const { name } of await indexedDB.databases())
            await new Promise((done) => (indexedDB.deleteDatabase(name).onsuccess = done)); }""",
    )
    page.fill("#new [name=title]", "After")
    page.click("#new button")
    expect(page.locator("#new [role=alert]")).to_contain_text(
        "This browser no longer has your tasks. Load the page anew."
    )
    expect(page.locator("#new [name=title]")).to_have_value("After")
    page.get_by_role("checkbox", name="Before").click()
    expect(page.locator("#toasts")).to_have_text("This browser no longer has your tasks. Load the page anew.")
    expect(page.get_by_role("checkbox", name="Before")).not_to_be_checked()
    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    expect(items(page)).to_have_count(0)
