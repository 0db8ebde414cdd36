"""The page of the example in a real browser, on a telephone and on a desk: what a person does with it every day."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.support.pages import (
    LONGEST_WAIT_MS,
    Site,
    add,
    asked,
    expect_sent,
    expect_titles,
    fill_in,
    hold,
    is_answer_to_post,
    items,
    sign_in,
    sign_out,
    sign_up,
    site_of,
    take_picture,
    take_picture_of_both,
)
from tests.support.people import PASSWORD, new_email
from tests.support.settings import ROOT, SECRET, environment_of

pytestmark = pytest.mark.slow

WIDTHS = pytest.mark.parametrize("width", [390, 1280])


@pytest.fixture
def width() -> int:
    return 390


@pytest.fixture
def context(browser: Browser, width: int) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": width, "height": 800})
    made.set_default_timeout(LONGEST_WAIT_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    """The page as it is opened by somebody who is not signed in. It must not report an error."""
    return opened(context, site)


def opened(context: BrowserContext, site: Site, path: str = "/") -> Page:
    page = context.new_page()
    page.goto(site.page + path)
    return page


def elsewhere(site: Site, email: str) -> httpx.Client:
    """Another device of the same person."""
    tokens = httpx.post(f"{site.api}/api/auth/signin", json={"email": email, "password": PASSWORD}).json()
    return httpx.Client(base_url=site.api, headers={"Authorization": f"Bearer {tokens['access_token']}"})


def error_of(page: Page, form: str) -> str:
    """Return what a form says is wrong, which must be in sight and announced."""
    said = page.locator(f"{form} [role=alert]")
    expect(said).not_to_be_empty()
    expect(said).to_be_in_viewport()
    return said.inner_text()


@WIDTHS
def test_somebody_begins(page: Page) -> None:
    """Signing up and in are apart, password managers know which is which, and what is wrong is said at the field."""
    expect(page.locator("#sign-in [autocomplete=current-password]")).to_be_visible()
    expect(page.locator("#sign-up")).to_be_hidden()
    fill_in(page, "sign-in", email="nobody@example.test", password="what is it")
    assert error_of(page, "#sign-in") == "The e-mail address or the password is wrong."
    password = page.locator("#sign-in [name=password]")
    expect(password).to_have_attribute("aria-invalid", "true")
    expect(password).to_be_focused()
    expect(password).to_have_accessible_description("The e-mail address or the password is wrong.")

    page.click("text=Create an account")
    expect(page.locator("#sign-up")).to_contain_text("At least 8 characters.")
    expect(page.locator("#sign-up [name=email]")).to_have_value("nobody@example.test")
    fields = ("name", "username", "new-password")
    for field in fields:
        expect(page.locator(f"#sign-up [autocomplete={field}]")).to_be_visible()
    fill_in(page, "sign-up", email="nobody", password="short")
    assert error_of(page, "#sign-up") == "This is no e-mail address."
    email = new_email()
    fill_in(page, "sign-up", email=email, password="short")
    assert error_of(page, "#sign-up") == "The password must have at least 8 characters."
    fill_in(page, "sign-up", email=email, password=PASSWORD)
    expect(page.locator("#empty")).to_have_text("Nothing to do. Add your first task.")
    expect(page.locator("#new [name=title]")).to_be_focused()

    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    page.click("text=Create an account")
    fill_in(page, "sign-up", email=email, password=PASSWORD)
    assert error_of(page, "#sign-up") == "An account with this e-mail address already exists."
    expect(page.locator("#sign-up [name=email]")).to_be_focused()


def test_what_is_under_way_is_not_begun_again(page: Page, context: BrowserContext) -> None:
    """While a form waits for the service it is disabled and says so; a double click makes one account and one task."""
    held = hold(context, "**/api/auth/signup")
    page.click("text=Create an account")
    page.fill("#sign-up [name=email]", new_email())
    page.fill("#sign-up [name=password]", PASSWORD)
    with page.expect_request("**/api/auth/signup"):
        page.dblclick("#sign-up button")
    expect(page.locator("#sign-up")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#sign-up button")).to_be_disabled()
    expect(page.locator("#sign-up [name=email]")).to_be_disabled()
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("#empty")).to_be_visible()

    sent: list[str | None] = []
    context.on(
        "request", lambda it: sent.append(it.headers.get("idempotency-key")) if it.url.endswith("/api/tasks") else None
    )
    page.fill("#new [name=title]", "Once")
    page.dblclick("#new button")
    expect_titles(page, "Once")
    expect_sent(page)
    page.reload()
    expect_titles(page, "Once")
    assert len([key for key in sent if key]) == 1


@WIDTHS
def test_a_list_of_every_day(page: Page, width: int) -> None:
    """Tasks are added, ticked, changed, found, sorted and counted; each control has a name of its own."""
    sign_up(page, name="Ada")
    expect(page.locator("#menu-button")).to_have_accessible_name("Ada account menu")
    page.press("#new [name=title]", "Enter")
    assert error_of(page, "#new") == "What is to be done?"
    long = "Write down, in so many words that they fill more than one line of a telephone, what there is to do. " * 2
    for title in ("Buy seeds", "Apples", long[:200]):
        add(page, title)
        expect(page.locator("#new [name=title]")).to_be_focused()
    page.fill("#new [name=title]", "Water the plants")
    page.select_option("#new [name=priority]", "high")
    page.click("#new button")
    expect_titles(page, "Water the plants", long[:200].strip(), "Apples", "Buy seeds")
    expect(page.locator("#left")).to_have_text("4 left")
    assert page.title() == "(4) Tasks"

    # The title has the width of the row, and nothing is cut at the side.
    titles = page.locator("#list .title").nth(1).bounding_box()
    row = items(page).nth(1).bounding_box()
    assert titles
    assert row
    assert titles["width"] > 0.7 * row["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.get_by_role("checkbox", name="Buy seeds").click()
    expect_titles(page, "Water the plants", long[:200].strip(), "Apples", "Buy seeds")
    expect(page.get_by_role("checkbox", name="Buy seeds")).to_be_checked()
    expect(page.get_by_role("checkbox", name="Buy seeds")).to_be_focused()

    page.get_by_role("button", name="Edit Apples").click()
    form = page.locator("form.edit:visible")
    form.locator("[name=title]").fill("Pears")
    form.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Edit Apples")).to_be_focused()
    page.get_by_role("button", name="Edit Apples").click()
    form.locator("[name=title]").fill(" ")
    form.locator("[name=title]").fill("Pears and plums")
    form.locator("[name=description]").fill("Two pounds of each")
    form.locator("[name=priority]").select_option("low")
    form.get_by_role("button", name="Save").click()
    edited = page.get_by_role("button", name=re.compile("Edit Pears and plums Low priority Two pounds of each"))
    expect(edited).to_be_focused()

    page.click("text=Completed")
    expect_titles(page, "Buy seeds")
    expect(page.locator("#filters [aria-current]")).to_have_text("Completed")
    page.click("text=Active")
    expect(items(page)).to_have_count(3)
    page.select_option("#sort", "priority")
    expect_titles(page, "Water the plants", long[:200].strip(), "Pears and plums")
    page.select_option("#sort", "title")
    expect_titles(page, "Pears and plums", "Water the plants", long[:200].strip())
    page.fill("#search", "PLANTS")
    expect_titles(page, "Water the plants")
    page.fill("#search", "nothing of this kind")
    expect(page.locator("#empty")).to_have_text("No task has this in its title.")
    page.fill("#search", "")
    page.click("#filters >> text=All")
    expect_sent(page)
    page.reload()
    expect(items(page)).to_have_count(4)
    expect(edited).to_be_visible()


def test_a_deletion_can_be_undone(page: Page, context: BrowserContext, site: Site) -> None:
    """For some seconds a deleted task is only hidden, in every window; a closed window deletes it all the same."""
    email = sign_up(page)
    for title in ("Stays", "Goes", "Comes back"):
        add(page, title)
    expect_sent(page)
    second = opened(context, site)
    expect_titles(second, "Comes back", "Goes", "Stays")
    page.get_by_role("button", name="Delete Comes back").click()
    expect_titles(page, "Goes", "Stays")
    expect_titles(second, "Goes", "Stays")
    expect(page.get_by_role("checkbox", name="Goes")).to_be_focused()
    page.click("text=Undo")
    for window in (page, second):
        expect_titles(window, "Comes back", "Goes", "Stays")

    page.get_by_role("button", name="Delete Goes").click()
    page.keyboard.press("Control+z")
    expect_titles(page, "Comes back", "Goes", "Stays")
    with elsewhere(site, email) as phone:
        changed = {"title": "Changed on the telephone"}
        [task] = [task for task in phone.get("/api/tasks").json() if task["title"] == "Stays"]
        page.get_by_role("button", name="Delete Goes").click()
        page.get_by_role("button", name="Delete Stays").click()
        phone.patch(f"/api/tasks/{task['id']}", json=changed)
        page.close()
        expect_titles(second, "Comes back")
        # What nobody has seen is not deleted.
        expect_titles(second, "Comes back", changed["title"])
        expect_sent(second)
        assert [task["title"] for task in phone.get("/api/tasks").json()] == ["Comes back", changed["title"]]


def test_each_deletion_can_be_undone_for_its_own_time(page: Page) -> None:
    """The time of the deletion before is over first, and takes nothing from the last one."""
    page.clock.install()
    page.reload()
    sign_up(page)
    for title in ("Below", "Stays", "Goes"):
        add(page, title)
    expect_sent(page)
    page.get_by_role("button", name="Delete Goes").click()
    page.clock.fast_forward(5000)
    page.get_by_role("button", name="Delete Stays").click()
    page.clock.fast_forward(3000)
    expect(page.locator("#toasts")).not_to_contain_text("Goes")
    page.keyboard.press("Control+z")
    expect_titles(page, "Stays", "Below")


LINES = """(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getClientRects().length;
}"""


def test_what_is_long_leaves_room(page: Page) -> None:
    """A word without an end does not break the one on the button beside it, and a ring of the focus is not cut."""
    sign_up(page)
    add(page, "Donaudampfschifffahrtsgesellschaftskapitän")
    page.locator("#list .delete").press("Enter")
    undo = page.get_by_role("button", name="Undo")
    assert undo.evaluate(LINES) == 1
    undo.click()
    expect(items(page)).to_have_count(1)
    for control in (".row input", ".text", ".delete"):
        page.locator(f"#list {control}").focus()
        page.keyboard.press("Shift")  # by the keyboard
        room = "(it) => parseFloat(getComputedStyle(it).outlineOffset)"
        assert page.locator(f"#list {control}").evaluate(room) <= -2


def test_it_works_in_a_tunnel(page: Page, context: BrowserContext, site: Site) -> None:
    """Without a network the page is loaded, and tasks are added, ticked and changed; later they are sent."""
    email = sign_up(page)
    add(page, "Before the tunnel")
    expect_sent(page)
    page.evaluate("navigator.serviceWorker.ready")
    context.set_offline(True)
    page.reload()
    expect(page.locator("#sync")).to_have_text("Offline")
    expect_titles(page, "Before the tunnel")
    add(page, "In the tunnel")
    page.get_by_role("checkbox", name="Before the tunnel").click()
    page.get_by_role("button", name="Edit In the tunnel").click()
    page.fill("form.edit:visible [name=title]", "Deep in the tunnel")
    page.keyboard.press("Enter")
    expect(page.locator("#sync")).to_have_text("Offline – 3 changes wait")
    expect(page.locator("#list [data-pending=true]")).to_have_count(2)
    page.reload()
    expect_titles(page, "Deep in the tunnel", "Before the tunnel")
    sign_out(page)
    expect(page.locator("#question")).to_contain_text("3 changes have not been sent yet, and would be lost.")
    page.click("#question >> text=Cancel")

    with elsewhere(site, email) as phone:
        assert [task["title"] for task in phone.get("/api/tasks").json()] == ["Before the tunnel"]
        context.set_offline(False)
        expect_sent(page)
        found = {task["title"]: task["completed"] for task in phone.get("/api/tasks").json()}
        assert found == {"Deep in the tunnel": False, "Before the tunnel": True}


def test_a_window_that_the_browser_has_stopped(page: Page, context: BrowserContext, site: Site) -> None:
    """The window that holds the stream may be stopped, as telephones do: the one in front goes on."""
    email = sign_up(page)
    second = opened(context, site)
    second.bring_to_front()
    with elsewhere(site, email) as phone:
        phone.post("/api/tasks", json={"title": "Before"})
        for window in (
            page,
            second,
        ):  # which have nothing to do then: one that is stopped in the middle keeps its copy locked
            expect_titles(window, "Before")
            expect_sent(window)
        debugger = context.new_cdp_session(page)
        debugger.send("Debugger.enable")
        debugger.send("Debugger.pause")  # before its next step
        add(second, "After")
        expect_sent(second)
        assert [task["title"] for task in phone.get("/api/tasks").json()] == ["After", "Before"]
        phone.post("/api/tasks", json={"title": "From the telephone"})
        second.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect_titles(second, "From the telephone", "After", "Before")
    debugger.send("Debugger.disable")


@WIDTHS
def test_two_who_change_one_task(page: Page, context: BrowserContext, site: Site) -> None:
    """What happens elsewhere is seen at once; of two who change one field, the person decides."""
    email = sign_up(page)
    with elsewhere(site, email) as phone:
        made = [phone.post("/api/tasks", json={"title": title}).json() for title in ("Third", "Second", "First")]
        expect_titles(page, "First", "Second", "Third")
        second = opened(context, site)
        expect_titles(second, "First", "Second", "Third")

        # While somebody edits, what came meanwhile is not overwritten unseen.
        page.get_by_role("button", name="Edit First").click()
        page.fill("form.edit:visible [name=title]", "Mine")
        phone.patch(f"/api/tasks/{made[2]['id']}", json={"title": "Theirs"})
        expect_titles(second, "Theirs", "Second", "Third")
        page.keyboard.press("Enter")
        assert "changed elsewhere to “Theirs”" in error_of(page, "form.edit:visible")
        page.keyboard.press("Enter")
        expect_titles(second, "Mine", "Second", "Third")
        second.close()

        context.set_offline(True)
        for name in ("Second", "Third"):
            page.get_by_role("button", name=f"Edit {name}").click()
            page.fill("form.edit:visible [name=title]", f"My {name}")
            page.keyboard.press("Enter")
        for task in made[:2]:
            phone.patch(f"/api/tasks/{task['id']}", json={"title": f"Their {task['title']}"})
        context.set_offline(False)
        conflicts = page.locator("#conflicts > li")
        expect(conflicts).to_have_count(2)
        expect(conflicts.first).to_contain_text("has been changed elsewhere")
        expect(conflicts.first).to_contain_text("My Second")
        page.get_by_role("button", name="Use mine: Their Second").click()
        page.get_by_role("button", name="Keep theirs: Their Third").click()
        expect(conflicts).to_have_count(0)
        expect_titles(page, "Mine", "My Second", "Their Third")
        expect_sent(page)
        assert [task["title"] for task in phone.get("/api/tasks").json()] == ["Mine", "My Second", "Their Third"]


@WIDTHS
def test_the_account_in_a_menu(page: Page, site: Site) -> None:
    """Who is signed in is shown; sessions, password and signing out are in the menu, without a scroll."""
    email = sign_up(page, name="Ada Lovelace")
    with elsewhere(site, email) as phone:
        for number in range(20):
            phone.post("/api/tasks", json={"title": f"Task {number}"})
        phone.post("/api/auth/signout")
    expect(items(page)).to_have_count(20)
    page.reload()
    expect(page.locator("#initial")).to_have_text("A")
    page.mouse.wheel(0, 2000)
    page.click("#menu-button")
    expect(page.locator("#menu-email")).to_have_text(email)
    with elsewhere(site, email) as phone:
        page.click("#menu >> text=Where you are signed in")
        expect(page.locator("#sessions-title")).to_be_focused()
        other = page.get_by_role("button", name=re.compile("End the session of python-httpx"))
        shape = other.bounding_box()
        assert shape
        assert shape["height"] < 50, "it is one line"
        other.click()
        expect(page.locator("#toasts")).to_contain_text("is signed out.")
        expect(other).to_have_count(0)
        assert phone.get("/api/tasks").status_code == 401
    page.fill("#profile [name=name]", "Grace")
    page.click("#profile button")
    expect(page.locator("#initial")).to_have_text("G")
    fill_in(page, "password-form", current_password="wrong guess", new_password="another battery staple 5")
    assert error_of(page, "#password-form") == "The password is wrong."
    page.click("text=Back to the tasks")
    expect(items(page)).to_have_count(20)
    with elsewhere(site, email) as phone:
        page.click("#menu-button")
        page.click("#sign-out-everywhere")
        expect(page.locator("#notice")).to_have_text("You are signed out.")
        assert phone.get("/api/tasks").status_code == 401
    assert page.evaluate("async () => (await indexedDB.databases()).length") == 0, "who uses it next finds nothing"


def test_who_leaves_leaves_nothing_behind(page: Page) -> None:
    """With the account go its tasks, from the browser, too."""
    sign_up(page)
    for title in ("For nobody else", "Not even deleted"):
        add(page, title)
    expect_sent(page)
    page.get_by_role("button", name="Delete Not even deleted").click()
    page.click("#menu-button")
    page.click("#menu >> text=Your account")
    fill_in(page, "leave", current_password=PASSWORD)
    page.click("#question >> text=Delete everything")
    expect(page.locator("#notice")).to_have_text("The account and everything in it is deleted.")
    assert page.evaluate("async () => (await indexedDB.databases()).length") == 0, "who uses it next finds nothing"
    assert page.evaluate("() => Object.keys(localStorage).filter((name) => name.startsWith('deleting'))") == []


def test_where_links_lead(page: Page, site: Site, database_url: str) -> None:
    """The link of `users reset` opens the page, and password managers find the form for a new password."""
    email = sign_up(page)
    page.goto(f"{site.page}/.well-known/change-password")
    expect(page.locator("#password-title")).to_be_focused()
    expect(page.locator("#password-form [autocomplete=new-password]")).to_be_in_viewport()

    settings = environment_of(
        ENVIRONMENT="test", BETTER_AUTH_SECRET=SECRET, DATABASE_URL=database_url, FRONTEND_URL=site.page
    )
    command = [sys.executable, "-m", "app", "users", "reset", email]
    made = subprocess.run(command, env=settings, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    page.goto(made.splitlines()[0])
    assert page.url == f"{site.page}/", "no token stays in the history"
    fill_in(page, "reset", new_password="another battery staple 5")
    expect(page.locator("#notice")).to_have_text("The password is changed. Please sign in.")
    sign_in(page, email, "another battery staple 5")
    page.goto(made.splitlines()[0])
    fill_in(page, "reset", new_password="another battery staple 6")
    assert error_of(page, "#reset")


def test_a_page_that_is_open_for_longer_than_a_token(
    context: BrowserContext, database_url: str, tmp_path: Path
) -> None:
    """It goes on when the access token has expired, and is told what happens elsewhere. Source: FR-051."""
    with site_of(tmp_path, DATABASE_URL=database_url, ACCESS_TOKEN_EXPIRE_MINUTES="0.03") as site:
        page = opened(context, site)
        email = sign_up(page)
        with page.expect_response(is_answer_to_post("/api/auth/refresh")) as refreshed:
            add(page, "Early")
        assert refreshed.value.status == 200
        with elsewhere(site, email) as phone:
            phone.post("/api/tasks", json={"title": "From the telephone"})
        expect_titles(page, "From the telephone", "Early")


AXE = """async () => (await axe.run()).violations.map(
    ({ id, nodes }) => [id, nodes.map(({ target }) => target.join(" "))]
)"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm to test with: apt-get install npm")
    folder = tmp_path_factory.mktemp("axe")
    shutil.copy(Path(__file__).parent / "axe" / "package.json", folder)
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=240)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_it_is_accessible(
    page: Page, context: BrowserContext, site: Site, axe: str, scheme: Literal["light", "dark"]
) -> None:
    """axe finds nothing wrong with any view, in both colours."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")

    def expect_nothing_wrong() -> None:
        page.evaluate(axe)
        assert asked(page, AXE) == []

    expect_nothing_wrong()
    fill_in(page, "sign-in", email="nobody@example.test", password="what is it")
    error_of(page, "#sign-in")
    expect_nothing_wrong()
    email = sign_up(page, name="Ada")
    expect(page.locator("#empty")).to_be_visible()
    expect_nothing_wrong()
    page.fill("#new [name=title]", "Water the plants")
    page.select_option("#new [name=priority]", "high")
    page.click("#new button")
    for title in ("Buy seeds", "Write to Grace", "Away with it"):
        add(page, title)
    page.get_by_role("checkbox", name="Buy seeds").click()
    expect_sent(page)
    context.set_offline(True)
    page.get_by_role("button", name="Edit Write to Grace").click()
    page.fill("form.edit:visible [name=title]", "Write to Ada")
    page.keyboard.press("Enter")
    with elsewhere(site, email) as phone:
        [task] = phone.get("/api/tasks?q=Grace").json()
        phone.patch(f"/api/tasks/{task['id']}", json={"title": "Call Grace"})
    context.set_offline(False)
    expect(page.locator("#conflicts > li")).to_have_count(1)
    context.set_offline(True)
    add(page, "Not sent yet")
    page.get_by_role("button", name="Delete Away with it").click()
    page.get_by_role("button", name="Edit Water the plants").click()
    expect(page.locator("#sync")).to_contain_text("Offline")
    expect_nothing_wrong()
    context.set_offline(False)
    page.click("#menu-button")
    expect_nothing_wrong()
    page.click("#menu >> text=Your account")
    expect(page.locator("#session-list li")).not_to_have_count(0)
    expect_nothing_wrong()


def test_two_devices_of_which_one_is_offline(browser: Browser, site: Site) -> None:
    """What one device does is on the other at once; what was done offline comes with the network."""
    size: ViewportSize = {"width": 560, "height": 560}
    contexts = [browser.new_context(viewport=size, reduced_motion="reduce") for _ in range(2)]
    desk, train = (opened(context, site) for context in contexts)
    email = sign_up(desk, name="Ada Lovelace")
    sign_in(train, email)
    for title in ("Pay the rent", "Return the library books", "Book a table for Saturday", "Buy seeds"):
        add(desk, title)
    desk.fill("#new [name=title]", "Water the plants")
    desk.select_option("#new [name=priority]", "high")
    desk.click("#new button")
    desk.get_by_role("button", name="Edit Buy seeds").click()
    desk.fill("form.edit:visible [name=description]", "Tomatoes, basil, sunflowers")
    desk.get_by_role("button", name="Save").click()
    desk.get_by_role("checkbox", name="Pay the rent").click()
    expect(train.locator("#list .description").filter(has_text="Tomatoes")).to_be_visible()
    expect(train.get_by_role("checkbox", name="Pay the rent")).to_be_checked()

    contexts[1].set_offline(True)
    add(train, "Answer Grace's letter")
    train.get_by_role("checkbox", name="Return the library books").click()
    expect(train.locator("#sync")).to_have_text("Offline – 2 changes wait")
    expect(items(desk)).to_have_count(5)
    take_picture_of_both(desk, train, "page")
    contexts[1].set_offline(False)
    expect_sent(train)
    expect(items(desk)).to_have_count(6)
    expect(desk.get_by_role("checkbox", name="Return the library books")).to_be_checked()
    desk.set_viewport_size({"width": 390, "height": 700})
    desk.evaluate("scrollTo(0, 0)")
    take_picture(desk, "page-light")
    desk.emulate_media(color_scheme="dark")
    take_picture(desk, "page-dark")
    for context in contexts:
        context.close()
