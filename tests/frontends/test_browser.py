"""A frontend in a real browser, from another origin, with the `api.js` of the example."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

LIFE_SECONDS = 5


@pytest.fixture
def api(own_database_url: str, origin: str, tmp_path: Path) -> Iterator[Server]:
    """The service, with access tokens that expire within a test."""
    with serving(
        tmp_path,
        DATABASE_URL=own_database_url,
        FRONTEND_URL=origin,
        ACCESS_TOKEN_EXPIRE_MINUTES=str(LIFE_SECONDS / 60),
        RATE_LIMITS="on",
        RATE_LIMIT_SIGNIN_ACCOUNT="2/minute",
    ) as server:
        yield server


def open_page(context: BrowserContext, origin: str, api: Server) -> Page:
    page = context.new_page()
    page.goto(f"{origin}/?api={api.url}")
    return page


def enter(page: Page, button: str, email: str, password: str = PASSWORD) -> None:
    page.fill("[name=email]", email)
    page.fill("[name=password]", password)
    page.click(f"[name={button}]")


def add(page: Page, title: str) -> None:
    page.fill("[name=title]", title)
    page.click('text="Add"')


def expect_said(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("#said")).to_have_text(text)


def test_a_person_signs_up_and_works_past_the_life_of_a_token(
    context: BrowserContext, origin: str, api: Server
) -> None:
    """A person signs up and works on in a page though the access token expires in between."""
    page, email = open_page(context, origin, api), new_email()
    enter(page, "signUp", email)
    expect_said(page, f"Hello {email}")
    add(page, "Water the plants 🌱")
    expect_said(page, "1 tasks")
    page.click("li")
    expect(page.locator("li")).to_have_attribute("data-status", "completed")

    time.sleep(LIFE_SECONDS)
    with page.expect_response("**/api/auth/refresh") as refreshed:
        page.click("#reload")
    assert refreshed.value.status == 200
    expect_said(page, "1 tasks")

    page.click("#signOut")
    expect_said(page, "Signed out.")
    page.click("#reload")
    expect_said(page, re.compile("^401 NOT_AUTHENTICATED: Please sign in"))
    enter(page, "signIn", email)
    expect_said(page, f"Hello {email}")
    page.click("#reload")
    expect(page.locator("li")).to_have_text("Water the plants 🌱")


def test_the_page_reads_why_it_was_refused(
    context: BrowserContext, origin: str, api: Server, own_database_url: str
) -> None:
    """A page of another origin can show why something was refused: 401, 409, 422, 429 and 500 by their sentence."""
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks ADD CHECK (title <> 'what nobody foresaw')")
    page, email = open_page(context, origin, api), new_email()
    enter(page, "signUp", email)
    enter(page, "signUp", email)
    expect_said(page, "409 EMAIL_TAKEN: An account with this e-mail address already exists.")
    add(page, " ")
    expect_said(page, "422 VALIDATION_FAILED: title must not be blank")
    add(page, "what nobody foresaw")
    expect_said(page, re.compile("^500 INTERNAL_ERROR: Something went wrong on our side"))
    for _ in range(2):
        enter(page, "signIn", email, "wrong")
        expect_said(page, "401 INVALID_CREDENTIALS: The e-mail address or the password is wrong.")
    enter(page, "signIn", email, "wrong")
    expect_said(page, re.compile("^429 TOO_MANY_REQUESTS: Too many attempts"))
    assert 1 <= int(page.locator("#said").get_attribute("data-retry-after") or "") <= 60


def test_a_page_of_another_origin_reads_nothing(context: BrowserContext, origin: str, api: Server) -> None:
    """A page that FRONTEND_URL does not name reads nothing and makes no account."""
    page, email = open_page(context, origin.replace("127.0.0.1", "localhost"), api), new_email()
    enter(page, "signUp", email)
    expect_said(page, "undefined undefined: Failed to fetch")
    allowed = open_page(context, origin, api)
    enter(allowed, "signUp", email)
    expect_said(allowed, f"Hello {email}")  # the preflight stopped the other one: no account was made


def at_once(pages: list[Page], script: str) -> list[Any]:
    """Run a script in several tabs at the same moment, and return what each returns."""
    for page in pages:
        page.wait_for_function("() => localStorage.tokens")  # a tab sees a moment later what another has stored
    moment = time.time() * 1000 + 300
    for page in pages:
        page.evaluate(
            "([script, moment]) => { window.result = new Promise((done) => setTimeout(done, moment - Date.now()))"
            ".then(new Function(`return (async () => ${script})()`)); }",
            [script, moment],
        )
    return [page.evaluate("() => window.result.catch((error) => error.message)") for page in pages]


def test_two_tabs_share_one_refresh(context: BrowserContext, origin: str, api: Server) -> None:
    """Two tabs share one refresh, so that without a leeway neither is signed out."""
    refreshes: list[str] = []
    context.on(
        "request", lambda r: refreshes.append(r.url) if r.url.endswith("/refresh") and r.method == "POST" else None
    )
    tabs = [open_page(context, origin, api) for _ in range(2)]
    enter(tabs[0], "signUp", new_email())
    expect_said(tabs[0], re.compile("Hello"))
    time.sleep(LIFE_SECONDS)
    lists = "Promise.all([1, 2, 3].map(() => api.call('GET', '/api/tasks')))"
    assert at_once(tabs, lists) == [[[], [], []]] * 2
    # One, or one each: Chromium shows a tab what another has stored a moment after it has given up the lock.
    assert 1 <= len(refreshes) <= len(tabs)
    time.sleep(LIFE_SECONDS)
    assert at_once(tabs, lists) == [[[], [], []]] * 2


def test_many_tabs_without_a_lock_stay_signed_in(context: BrowserContext, origin: str, api: Server) -> None:
    """Twenty tabs that cannot lock refresh the same token at the same moment, and all go on. Source: FR-051."""
    context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    tabs = [open_page(context, origin, api) for _ in range(20)]
    enter(tabs[0], "signUp", new_email())
    expect_said(tabs[0], re.compile("Hello"))
    for _ in range(3):
        tabs[0].evaluate(
            "() => localStorage.setItem('tokens', "
            "JSON.stringify({ ...JSON.parse(localStorage.tokens), access_token: 'x.y.z' }))"
        )
        assert at_once(tabs, "api.call('GET', '/api/tasks')") == [[]] * 20


def test_a_lost_answer_signs_nobody_out(context: BrowserContext, origin: str, api: Server) -> None:
    """A page whose refresh was answered into the void goes on, reloaded too. Source: FR-051."""
    page = open_page(context, origin, api)
    enter(page, "signUp", new_email())
    expect_said(page, re.compile("Hello"))
    time.sleep(LIFE_SECONDS)

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/api/auth/refresh", lose, times=1)
    page.click("#reload")
    expect_said(page, "undefined undefined: Failed to fetch")
    page.reload()
    page.click("#reload")
    expect_said(page, "0 tasks")


def test_two_tabs_that_know_nothing_of_each_other(
    context: BrowserContext, origin: str, own_database_url: str, tmp_path: Path
) -> None:
    """With a leeway two tabs may refresh the same token at the same moment, and neither is signed out."""
    leeway = {"DATABASE_URL": own_database_url, "FRONTEND_URL": origin, "REFRESH_REUSE_LEEWAY_SECONDS": "10"}
    with serving(tmp_path, wait=True, **leeway) as api:
        tabs = [open_page(context, origin, api) for _ in range(2)]
        enter(tabs[0], "signUp", new_email())
        expect_said(tabs[0], re.compile("Hello"))
        refresh = f"""fetch("{api.url}/api/auth/refresh", {{
            method: "POST",
            headers: {{ "Content-Type": "application/json" }},
            body: JSON.stringify({{ refresh_token: JSON.parse(localStorage.tokens).refresh_token }}),
        }}).then((answer) => answer.json())"""
        first, second = at_once(tabs, refresh)
        # They may tell different seconds until the same tokens expire.
        assert first | {"expires_in": 0} == second | {"expires_in": 0}
        for tab in tabs:
            tab.evaluate("(tokens) => localStorage.setItem('tokens', JSON.stringify(tokens))", first)
            assert tab.evaluate("() => api.call('GET', '/api/tasks')") == []
            assert tab.evaluate("() => api.call('GET', '/api/auth/me')")


@pytest.mark.parametrize("mode", ["cookie", "storage"])
def test_a_known_device_signs_in_while_others_guess(
    context: BrowserContext, origin: str, api: Server, mode: str
) -> None:
    """Somebody else's wrong passwords do not keep a person out who has signed in here before."""
    page, email = context.new_page(), new_email()
    page.goto(f"{origin}/?api={api.url}&mode={mode}")
    enter(page, "signUp", email)
    expect_said(page, f"Hello {email}")
    wrong = {"email": email, "password": "wrong guess"}
    statuses = [httpx.post(f"{api.url}/api/auth/signin", json=wrong).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    enter(page, "signIn", email)
    expect_said(page, f"Hello {email}")
    if mode == "storage":  # where the last token stays, which is good for nothing else
        page.click("#signOut")
        expect_said(page, "Signed out.")
        enter(page, "signIn", email)
        expect_said(page, f"Hello {email}")
