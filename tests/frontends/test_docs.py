"""Swagger UI and ReDoc in a real browser. Source: SC-009."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.machines.balancer import needs_nginx, nginx_before
from tests.support.pages import LONGEST_WAIT_MS
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving


@dataclass
class Explorer:
    """A page, which hosts it asked, and what the browser complained of."""

    page: Page
    server: Server
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def note_request(self, request: Request) -> None:
        if not request.url.startswith((self.server.url, "data:", "blob:")):
            self.strangers.append(request.url)

    def note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


BELOW = "/svc"


pytestmark = pytest.mark.slow


@pytest.fixture(
    params=["", pytest.param(BELOW, marks=[needs_nginx, pytest.mark.nightly])], ids=["at the root", "below a path"]
)
def explorer(request: pytest.FixtureRequest, browser: Browser, database_url: str, tmp_path: Path) -> Iterator[Explorer]:
    with ExitStack() as stack:
        server = stack.enter_context(serving(tmp_path, DATABASE_URL=database_url, ROOT_PATH=request.param))
        if request.param:
            url = stack.enter_context(nginx_before(tmp_path, [server.url], below=request.param))
            server = Server(server.process, url, server.log)
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.set_default_timeout(LONGEST_WAIT_MS)
        made = Explorer(page, server)
        page.on("request", made.note_request)
        page.on("console", made.note_message)
        yield made
        page.close()


def try_out(page: Page, operation: str) -> str:
    """Open an operation, press Execute, and return what the page shows as its answer."""
    page.click(f"#{operation} .opblock-summary-control")
    page.click(f"#{operation} .execute")
    answer = page.locator(f"#{operation} .live-responses-table")
    expect(answer.locator(".response-col_status").nth(1)).not_to_be_empty()
    return answer.inner_text()


def authorize(explorer: Explorer) -> str:
    """Give the dialog the e-mail and the password of a new account, and return the e-mail."""
    page, email = explorer.page, new_email()
    httpx.post(f"{explorer.server.url}/api/auth/signup", json={"email": email, "password": PASSWORD})
    page.click("button.authorize")
    dialog = page.locator(".auth-container", has_text="EmailAndPassword")
    dialog.locator("#oauth_username").fill(email)
    dialog.locator("#oauth_password").fill(PASSWORD)
    dialog.locator(".auth-btn-wrapper .authorize").click()
    expect(dialog.locator(".auth-btn-wrapper")).to_contain_text("Logout")
    dialog.locator(".btn-done").click()
    return email


def kept(page: Page) -> dict[str, str]:
    """Return what the browser keeps for this origin when it is closed."""
    found: dict[str, str] = page.evaluate("() => ({...localStorage, cookies: document.cookie})")
    return found


def test_somebody_tries_it_in_swagger_ui(explorer: Explorer) -> None:
    """Somebody authorizes with e-mail and password and tries the API, and no other host is asked."""
    page = explorer.page
    page.goto(f"{explorer.server.url}/")
    expect(page.locator("#operations-auth-delete_me")).to_be_visible()
    authorize(explorer)
    assert "201" in try_out(page, "operations-tasks-create_task")
    listed = try_out(page, "operations-tasks-list_tasks")
    assert "200" in listed
    assert "Water the plants" in listed
    assert (explorer.strangers, explorer.complaints) == ([], [])


def test_a_reload_stays_authorized_without_the_password(explorer: Explorer) -> None:
    """Kept is the access token, which is good for minutes: neither the password nor the refresh token."""
    page = explorer.page
    page.goto(f"{explorer.server.url}/docs")
    authorize(explorer)
    (entry,) = json.loads(kept(page)["authorized"]).values()
    assert entry.keys() == {"name", "schema", "token"}
    assert entry["token"].keys() == {"access_token", "token_type"}
    assert PASSWORD not in str(kept(page))
    page.reload()
    assert "200" in try_out(page, "operations-tasks-list_tasks")
    page.click("button.authorize")
    page.click(".auth-btn-wrapper button:has-text('Logout')")
    assert kept(page) == {"authorized": "{}", "cookies": ""}


def test_a_password_that_an_older_page_kept_is_forgotten(explorer: Explorer) -> None:
    """Whoever opened 1.0 has it there."""
    page = explorer.page
    page.goto(f"{explorer.server.url}/health/live")
    page.evaluate(
        """p => localStorage.setItem("authorized", JSON.stringify({EmailAndPassword: {password: p}}))""", PASSWORD
    )
    page.goto(f"{explorer.server.url}/docs")
    expect(page.locator("#operations-auth-delete_me")).to_be_visible()
    assert PASSWORD not in str(kept(page))


def test_a_token_that_has_ended_is_told_with_what_to_do(explorer: Explorer) -> None:
    """After fifteen minutes the lock opens with the first refusal, and a sentence says how to go on."""
    page, url = explorer.page, explorer.server.url
    page.goto(f"{url}/docs")
    account = {"email": authorize(explorer), "password": PASSWORD}
    told, lock = page.get_by_role("alert"), page.locator("#operations-tasks-list_tasks .authorization__btn")
    assert "200" in try_out(page, "operations-tasks-list_tasks")
    expect(told).to_be_hidden()
    expect(lock).to_have_attribute("aria-label", re.compile(" locked"))
    tokens = httpx.post(f"{url}/api/auth/signin", json=account).json()
    httpx.post(f"{url}/api/auth/signout", json={"refresh_token": tokens["refresh_token"], "everywhere": True})
    page.click("#operations-tasks-list_tasks .execute")
    expect(told).to_contain_text("Press Authorize, sign in again")
    expect(lock).to_have_attribute("aria-label", re.compile(" unlocked"))
    assert kept(page)["authorized"] == "{}"
    authorize(explorer)
    expect(told).to_be_hidden()
    page.click("#operations-tasks-list_tasks .execute")
    expect(page.locator("#operations-tasks-list_tasks .live-responses-table .response-col_status").nth(1)).to_have_text(
        re.compile("200")
    )


def script_token(url: str, *scopes: str) -> str:
    """Return a script's token of a new account."""
    account = {"email": new_email(), "password": PASSWORD}
    owner = {"Authorization": f"Bearer {httpx.post(f'{url}/api/auth/signup', json=account).json()['access_token']}"}
    body = {"name": "docs", "scopes": scopes, "days": 1, "proof": {"current_password": PASSWORD}}
    token: str = httpx.post(f"{url}/api/auth/tokens", json=body, headers=owner).json()["token"]
    return token


def give(page: Page, token: str) -> None:
    """Give the dialog a script's token."""
    page.click("button.authorize")
    dialog = page.locator(".auth-container", has_text="ScriptToken")
    dialog.locator("input").fill(token)
    dialog.locator(".auth-btn-wrapper .authorize").click()
    expect(dialog.locator(".auth-btn-wrapper")).to_contain_text("Logout")


def test_a_scripts_token_is_tried_with_what_it_may(explorer: Explorer) -> None:
    """A developer pastes one, reads what it may, tries it, and hears that it has ended; the browser keeps none."""
    page, url = explorer.page, explorer.server.url
    token = script_token(url, "tasks:read")
    page.goto(f"{url}/docs")
    give(page, token)
    page.click(".auth-container:has-text('ScriptToken') .btn-done")
    told, ended = page.get_by_role("status"), page.get_by_role("alert")
    expect(told).to_have_text(re.compile(r"script's token: it may read tasks until \d{4}-\d\d-\d\d\.$"))
    for operation, lock in (("tasks-list_tasks", "locked"), ("auth-show_me", "unlocked")):
        button = page.locator(f"#operations-{operation} .authorization__btn")
        expect(button).to_have_attribute("aria-label", re.compile(f" {lock}"))
    assert "200" in try_out(page, "operations-tasks-list_tasks")
    assert "INSUFFICIENT_SCOPE" in try_out(page, "operations-tasks-create_task")
    assert "NOT_AUTHENTICATED" in try_out(page, "operations-auth-show_me")
    assert token not in str(kept(page))
    httpx.post(f"{url}/api/auth/revoke", data={"token": token})
    page.click("#operations-tasks-list_tasks .execute")
    expect(ended).to_contain_text("The script's token is no longer accepted")
    expect(told).to_be_hidden()
    give(page, PASSWORD)
    expect(told).to_contain_text("no script's token")


def test_the_page_is_as_dark_as_the_system(explorer: Explorer) -> None:
    """Who works in the dark is not dazzled, and a system that turns light at dawn takes the page along."""
    page = explorer.page
    page.emulate_media(color_scheme="dark")
    page.goto(f"{explorer.server.url}/docs")
    expect(page.locator("#operations-tasks-list_tasks")).to_be_visible()
    assert brightness(page, "html", "backgroundColor") < 0.2 < 0.8 < brightness(page, ".swagger-ui .title", "color")
    page.emulate_media(color_scheme="light")
    assert brightness(page, ".swagger-ui .title", "color") < 0.4
    expect(page.locator("html")).not_to_have_class("dark-mode")


def brightness(page: Page, selector: str, of: str) -> float:
    """Return how light a colour is, from 0 to 1."""
    colour = page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{of}")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3 / 255


def test_redoc_shows_every_operation(explorer: Explorer) -> None:
    """A reader finds the operations in ReDoc, and no other host is asked."""
    page = explorer.page
    page.goto(f"{explorer.server.url}/redoc")
    for summary in ("Create a task", "Refresh the tokens", "OAuth 2 token endpoint", "Can it serve?"):
        expect(page.locator("h2", has_text=summary).first).to_be_visible()
    assert (explorer.strangers, explorer.complaints) == ([], [])
