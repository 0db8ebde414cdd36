"""A page that calls what frontends of each shape call, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.pages import LONGEST_WAIT_MS, serving_folder
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SHAPES = ("plain", "aliases", "v1", "path", "path-enveloped")


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, database_url: str, tmp_path: Path) -> Iterator[Page]:
    """The page, from another origin; the parameters are its shape, and how many seconds access tokens are good for."""
    shape, seconds = request.param
    with serving_folder(Path(__file__).parent / "page") as port:
        origin = f"http://127.0.0.1:{port}"
        with serving(
            tmp_path,
            DATABASE_URL=database_url,
            FRONTEND_URL=origin,
            API_CONTRACTS="" if shape == "plain" else shape,
            ACCESS_TOKEN_EXPIRE_MINUTES=str(seconds / 60),
        ) as server:
            context = browser.new_context()
            context.set_default_timeout(LONGEST_WAIT_MS)
            made = context.new_page()
            made.goto(f"{origin}/shapes.html?shape={shape}&api={server.url}")
            yield made
            context.close()


def said(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_have_text(text)


def enter(page: Page, button: str, email: str, password: str = PASSWORD) -> None:
    for name, value in (("name", "Grace"), ("email", email), ("password", password)):
        page.fill(f"#account [name={name}]", value)
    page.click(f"#account [name={button}]")


@pytest.mark.parametrize("page", [(shape, 900) for shape in SHAPES], ids=SHAPES, indirect=True)
def test_a_page_of_another_origin_lives_its_whole_life(page: Page) -> None:
    """A frontend that was not written for this API registers, logs in, makes, ticks, edits, deletes, and logs out.

    It says what is usual in its shape, writes slashes at the end, sends every filter of its form and whole tasks back,
    adds a header of its own, and ticks twice at once.
    """
    email = new_email()
    enter(page, "register", email)
    said(page, "Hello Grace")
    enter(page, "register", email)
    said(page, "An account with this e-mail address already exists.")
    enter(page, "login", email, "wrong password")
    said(page, "The e-mail address or the password is wrong.")
    enter(page, "login", email)
    said(page, "Hello Grace")
    task = page.locator("#tasks li")
    page.fill("[name=title]", "Buy milk")
    page.click('text="Add"')
    said(page, "1 tasks")
    expect(task).to_have_attribute("data-completed", "false")
    page.click("text=Tick")
    expect(task).to_have_attribute("data-completed", "true")
    page.click("text=Edit")
    expect(task).to_contain_text("Buy milk!")
    expect(task).to_have_attribute("data-completed", "false")
    page.reload()
    said(page, "1 tasks")
    page.click("text=Delete")
    said(page, "0 tasks")
    enter(page, "login", email)
    said(page, "Hello Grace")
    page.click("#logout")
    said(page, "Signed out.")


@pytest.mark.parametrize(
    "page",
    [pytest.param((shape, 5), id=shape, marks=[pytest.mark.nightly] * (shape != "v1")) for shape in SHAPES],
    indirect=True,
)
def test_a_page_that_does_not_refresh_is_told_when_its_token_runs_out(page: Page) -> None:
    """A frontend without refresh gets a 401 with a sentence, and its user signs in again."""
    email = new_email()
    enter(page, "register", email)
    said(page, "Hello Grace")
    token, api = page.evaluate("localStorage.getItem('token')"), page.url.partition("api=")[2]
    bearer = {"Authorization": f"Bearer {token}"}
    wait_until(lambda: httpx.get(f"{api}/api/auth/me", headers=bearer).status_code == 401, seconds=60)
    page.reload()
    said(page, "The token is invalid, expired or no longer accepted. Please sign in again.")
    enter(page, "login", email)
    said(page, "Hello Grace")
