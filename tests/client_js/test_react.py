"""React's hooks of the JavaScript client, in a real browser and in strict mode."""

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect

from tests.support.pages import LONGEST_WAIT_MS, asked
from tests.support.people import PASSWORD, new_email

pytestmark = pytest.mark.slow


def test_a_list_in_strict_mode(browser: Browser, origin: str, api: str) -> None:
    """What is done is seen at once, and taken back if it is refused; whoever signs in or out is seen everywhere."""
    context = browser.new_context()
    context.set_default_timeout(LONGEST_WAIT_MS)
    page, other = context.new_page(), context.new_page()
    errors: list[str] = []
    page.on("console", lambda it: errors.append(it.text) if it.type == "error" and "status of" not in it.text else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    for tab in (page, other):
        tab.goto(f"{origin}/page/react.html?api={api}")
    page.bring_to_front()  # where nothing is throttled
    expect(page.locator("#state")).to_have_text("signed-out null")
    assert asked(page, "() => states[0]") == "loading"
    email = new_email()
    asked(page, "(account) => void client.auth.signUp(account)", {"email": email, "password": PASSWORD})
    for tab in (page, other):
        expect(tab.locator("#user")).to_have_text(email)

    items = page.locator("li")
    page.fill("input:not([type])", "Water the plants")
    page.click("#add")
    expect(items).to_have_attribute("data-pending", "false")
    page.locator("[type=checkbox]").check()
    for _ in range(3):  # each is sent for the version that the one before has made
        page.locator("[type=checkbox]").click()
    expect(items).to_have_attribute("data-pending", "false")
    expect(page.locator("[type=checkbox]")).not_to_be_checked()
    expect(page.locator("#said")).to_have_text("")

    waiting: list[Route] = []
    page.route(re.compile("/api/tasks"), lambda route: waiting.append(route))  # noqa: PLW0108  # takes no built-in
    page.fill("input:not([type])", "x" * 201)
    page.click("#add")
    expect(items).to_have_count(2)
    expect(items.first).to_have_attribute("data-pending", "true")
    waiting.pop().continue_()
    page.unroute(re.compile("/api/tasks"))
    expect(items).to_have_count(1)
    expect(page.locator("#said")).to_have_text(re.compile("200"))

    task = asked(page, "async () => (await client.request('GET', '/api/tasks'))[0]")
    asked(other, "(id) => client.tasks.update(id, { title: 'Water all plants' })", task["id"])
    page.locator("li button").click()  # of a version that is gone: taken back, and read anew
    expect(items).to_have_text([re.compile("Water all plants")])

    asked(page, "() => useCopy()")
    expect(items).to_have_count(0)
    page.fill("input:not([type])", "In the copy")
    page.click("#add")
    expect(items).to_have_attribute("data-pending", "true")
    asked(other, "() => void client.auth.signOut()")
    for tab in (page, other):
        expect(tab.locator("#state")).to_have_text("signed-out user")
        expect(tab.locator("li")).to_have_count(0)
    assert errors == []
    context.close()


def test_a_task_is_changed_while_it_is_made(context: BrowserContext, origin: str, api: str) -> None:
    """Who ticks a task off, open and off again while it is being made finds all of that with the service."""
    page = context.new_page()
    page.goto(f"{origin}/page/react.html?api={api}")
    page.evaluate("(account) => client.auth.signUp(account)", {"email": new_email(), "password": PASSWORD})
    expect(page.locator("#said")).to_have_text("")
    held: list[Route] = []
    page.route(re.compile("/api/tasks$"), lambda route: held.append(route))  # noqa: PLW0108  # takes no built-in
    page.fill("input:not([type])", "Water the plants")
    page.click("#add")
    for _ in range(3):
        page.locator("[type=checkbox]").click()
    expect(page.locator("[type=checkbox]")).to_be_checked()
    held.pop().continue_()
    page.unroute(re.compile("/api/tasks$"))
    expect(page.locator("li")).to_have_attribute("data-pending", "false")
    expect(page.locator("#said")).to_have_text("")
    assert page.evaluate("async () => (await client.request('GET', '/api/tasks'))[0].completed")


def test_what_waits_is_sent_for_nobody_else(browser: Browser, origin: str, api: str) -> None:
    """Of two tasks the first is on its way when somebody else signs in: they do not get the second."""
    context = browser.new_context()
    context.set_default_timeout(LONGEST_WAIT_MS)
    page, other = context.new_page(), context.new_page()
    for tab in (page, other):
        tab.goto(f"{origin}/page/react.html?api={api}")
    page.bring_to_front()
    asked(page, "(account) => client.auth.signUp(account)", {"email": new_email(), "password": PASSWORD})
    expect(page.locator("#said")).to_have_text("")
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if route.request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.route(re.compile("/api/tasks$"), hold_the_first)
    with page.expect_request(lambda it: it.method == "POST" and it.url.endswith("/api/tasks")):
        for title in ("First", "Second"):
            page.fill("input:not([type])", title)
            page.click("#add")
    asked(other, "(account) => client.auth.signUp(account)", {"email": new_email(), "password": PASSWORD})
    with page.expect_response(lambda it: it.request.method == "POST" and it.url.endswith("/api/tasks")):
        held[0].continue_()
    asked(page, "() => client.auth.showMe()")
    assert asked(other, "() => client.request('GET', '/api/tasks')") == []
    context.close()
