"""The page of the example: passkeys, and tokens for scripts, which take a proof that it is you."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browsers import with_authenticator
from tests.support.pages import Site, hold, is_answer_to_post, sign_in, sign_out, sign_up, site_of
from tests.support.people import PASSWORD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["on", "off"])
def passkeys(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def site(passkeys: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page, and the service for it, with passkeys or without."""
    with site_of(tmp_path_factory.mktemp("site"), DATABASE_URL=database_url, PASSKEYS=passkeys) as made:
        yield made


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    """The page on a device whose owner agrees to everything."""
    page = context.new_page()
    with_authenticator(page)
    page.goto(site.page)
    return page


def prove(page: Page, password: str = PASSWORD) -> None:
    page.fill("#proof [name=current_password]", password)
    page.click("#proof >> text=Go on")


def open_account(page: Page) -> None:
    page.click("#menu-button")
    page.click("#menu >> text=Your account")
    expect(page.locator("#session-list li")).not_to_have_count(0)


def test_a_token_is_made_shown_once_and_ended(page: Page, site: Site) -> None:
    """Somebody makes a token, copies it, sees what it may and until when, and ends it. Source: FR-062."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_up(page)
    open_account(page)
    page.fill("#token-form [name=name]", "backup")
    page.fill("#token-form [name=days]", "400")
    page.click("text=Make a token")
    expect(page.locator("#token-form [role=alert]")).not_to_be_empty()
    page.fill("#token-form [name=days]", "30")
    page.click("text=Make a token")
    prove(page, "wrong guess")
    expect(page.locator("#proof-form [role=alert]")).to_have_text("The password is wrong.")
    prove(page)
    expect(page.locator("#proof")).to_be_hidden()
    expect(page.locator("#token")).to_have_value(re.compile("^atk_eyJ"))
    token = page.input_value("#token")
    page.click("text=Copy it")
    expect(page.locator("#toasts")).to_contain_text("It is copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == token
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{site.api}/api/tasks", headers=headers).status_code == 200
    expect(page.locator("#token-list li")).to_contain_text(["backup: may read tasks until"])
    expect(page.locator("#session-list li")).to_have_count(1)
    page.click("text=I have it")
    assert token not in page.content()
    page.reload()
    page.get_by_role("button", name="End backup").click()
    expect(page.locator("#token-list li")).to_have_count(0)
    assert httpx.get(f"{site.api}/api/tasks", headers=headers).status_code == 401


@pytest.mark.parametrize("passkeys", ["on"], indirect=True)
def test_somebody_signs_in_with_a_passkey(page: Page) -> None:
    """A passkey is added, signs its owner in by the list of the browser, proves who asks, and is deleted."""
    email = sign_up(page)
    open_account(page)
    page.fill("#passkey-form [name=name]", "My telephone")
    page.click("text=Add a passkey")
    prove(page)
    expect(page.locator("#passkey-list li")).to_contain_text(["My telephone: on one device, never used"])
    page.click("text=Add a passkey")
    prove(page)
    expect(page.locator("#proof-form [role=alert]")).to_have_text("This device has a passkey of yours already.")
    page.click("#proof >> text=Cancel")

    page.fill("#token-form [name=name]", "sync")
    page.click("text=Make a token")
    page.click("text=Use a passkey")
    expect(page.locator("#token")).to_have_value(re.compile("^atk_eyJ"))

    page.click("text=Back to the tasks")
    with page.expect_response(is_answer_to_post("/api/auth/passkeys/signin")):
        sign_out(page)
    expect(page.locator("#menu-email")).to_have_text(email)  # the virtual device chooses at once

    open_account(page)
    page.get_by_role("button", name="Delete My telephone").click()
    page.click("text=Use a passkey")
    expect(page.locator("#passkey-list li")).to_have_count(0)
    page.click("text=Back to the tasks")
    sign_out(page)
    expect(page.locator("#sign-in [role=alert]")).to_have_text("This passkey is not known here any more.")


def ask_for_token(page: Page, name: str) -> None:
    page.fill("#token-form [name=name]", name)
    page.click("text=Make a token")
    expect(page.locator("#proof")).to_be_visible()


@pytest.mark.parametrize("close", ["Escape", "Cancel"])
@pytest.mark.parametrize("passkeys", ["on"], indirect=True)
def test_who_closes_the_question_does_nothing(page: Page, close: str) -> None:
    """A passkey that is chosen after the dialog was closed makes no token."""
    sign_up(page)
    open_account(page)
    page.click("text=Add a passkey")
    prove(page)
    expect(page.locator("#passkey-list li")).to_have_count(1)
    held = hold(page, "**/proof/options")
    ask_for_token(page, "unwanted")
    with page.expect_request("**/proof/options"):
        page.click("text=Use a passkey")
    page.keyboard.press("Escape") if close == "Escape" else page.click("#proof >> text=Cancel")
    expect(page.locator("#token-form [role=alert]")).to_have_text("No token was made.")
    held[0].continue_()
    page.unroute("**/proof/options")
    ask_for_token(page, "wanted")
    prove(page)
    expect(page.locator("#token")).to_have_value(re.compile("^atk_eyJ"))
    page.reload()
    expect(page.locator("#token-list li")).to_have_text([re.compile("^wanted")])


@pytest.mark.parametrize("passkeys", ["off"], indirect=True)
def test_what_is_sent_cannot_be_closed(page: Page) -> None:
    """The dialog stays until the service has answered; where it is closed all the same, what came of it is shown."""
    sign_up(page)
    open_account(page)
    held = hold(page, "**/api/auth/tokens")
    for how in ("by the keyboard", "by the browser"):
        ask_for_token(page, how)
        with page.expect_request("**/api/auth/tokens"):
            prove(page)
        for _ in range(2):
            page.keyboard.press("Escape")
        expect(page.locator("#proof")).to_be_visible()
        if how == "by the browser":
            page.evaluate("document.getElementById('proof').close()")
            expect(page.locator("#proof")).to_be_hidden()
        held.pop().continue_()
        expect(page.locator("#token")).to_have_value(re.compile("^atk_eyJ"))
        expect(page.locator("#token-form [role=alert]")).to_be_empty()
        page.click("text=I have it")
    expect(page.locator("#token-list li")).to_have_count(2)


@pytest.mark.parametrize("passkeys", ["off"], indirect=True)
def test_who_goes_away_is_asked_nothing(page: Page) -> None:
    """The question goes with the view that asked it, also where it was about to be asked."""
    sign_up(page)
    open_account(page)
    ask_for_token(page, "unwanted")
    page.go_back()
    expect(page.locator("#list")).to_be_attached()
    expect(page.locator("#proof")).to_be_hidden()
    held = hold(page, "**/api/auth/passkeys")
    open_account(page)
    page.fill("#token-form [name=name]", "unwanted")
    with page.expect_request("**/api/auth/passkeys"):
        page.click("text=Make a token")
    page.go_back()
    expect(page.locator("#new")).to_be_visible()
    with page.expect_response("**/api/auth/passkeys"):
        held.pop().continue_()
    page.fill("#new [name=title]", "Nothing is in the way")
    page.click("#new button")
    expect(page.locator("#list .title")).to_have_text(["Nothing is in the way"])
    expect(page.locator("#proof")).to_be_hidden()


@pytest.mark.parametrize("passkeys", ["off"], indirect=True)
def test_without_passkeys_nothing_is_said_of_them(page: Page) -> None:
    """A service that has none shows no button and no section."""
    email = sign_up(page)
    open_account(page)
    expect(page.locator("#account-passkeys")).to_be_hidden()
    page.click("text=Back to the tasks")
    sign_out(page)
    expect(page.locator("#passkey-sign-in")).to_be_hidden()
    sign_in(page, email)
