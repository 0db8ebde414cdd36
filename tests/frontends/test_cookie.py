"""The example page in a real browser, with its refresh token in a cookie: on one site, on two, and attacked."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from app.core.clock import stopwatch
from tests.frontends.tls import behind_tls
from tests.machines.balancer import needs_nginx, nginx_before
from tests.support.pages import (
    LONGEST_WAIT_MS,
    Site,
    add,
    expect_sent,
    expect_titles,
    is_answer_to_post,
    items,
    page_for,
    serving_folder,
    sign_in,
    sign_out,
    sign_up,
)
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def local(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Site]:
    """Page and API on two ports of localhost, as `make example` serves them; or the API below a path."""
    below: str = getattr(request, "param", "")
    with ExitStack() as stack:
        folder = tmp_path / "web"
        port = stack.enter_context(serving_folder(folder))
        page = f"http://localhost:{port}"
        api = stack.enter_context(
            serving(
                tmp_path,
                wait=True,
                DATABASE_URL=database_url,
                FRONTEND_URL=page,
                ENVIRONMENT="development",
                PASSWORD_HASH_COST="12",
                ROOT_PATH=below,
            )
        )
        before = stack.enter_context(nginx_before(tmp_path, [api.url], below=below)) if below else api.url
        url = before.replace("127.0.0.1", "localhost")
        page_for(folder, url)
        yield Site(page, url)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(
        ignore_https_errors=True, viewport={"width": 400, "height": 720}, service_workers="block"
    )
    made.set_default_timeout(LONGEST_WAIT_MS)
    yield made
    made.close()


def open_page(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    return page


def expect_statuses(log: Path, url: str, expected: list[int]) -> None:
    """Wait until the service's log says that the POSTs to an address were answered so; a page is not shown it."""
    deadline = stopwatch() + 10
    while (found := statuses_of(log, urlsplit(url).path)) != expected and stopwatch() < deadline:
        time.sleep(0.05)  # a line is written a moment after its answer is sent
    assert found == expected


def statuses_of(log: Path, route: str) -> list[int]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line["status"] for line in lines if line.get("route") == route and line["method"] == "POST"]


def reload(page: Page) -> None:
    """Load the page of somebody who is signed in again, until it has an access token."""
    with page.expect_response(is_answer_to_post("/api/auth/refresh")) as refreshed:
        page.reload()
    assert refreshed.value.status == 200


TELL_BODIES = """
const read = Response.prototype.json;
Response.prototype.json = async function () {
    const body = await read.call(this);
    console.log(JSON.stringify(body));
    return body;
};
"""


def test_a_life_with_the_page_by_keyboard_alone(context: BrowserContext, local: Site) -> None:
    """A person signs up, works, sees their sessions, changes the password and leaves, without a mouse."""
    context.add_init_script(TELL_BODIES)
    page, email, bodies = open_page(context, local.page), new_email(), []
    page.on("console", lambda message: bodies.append(message.text))
    keyboard = page.keyboard

    def go_to(selector: str) -> None:
        """Press Tab until this has the focus."""
        for _ in range(40):
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached by Tab")

    def choose(link: str) -> None:
        """Choose something of the menu."""
        go_to("#menu-button")
        keyboard.press("Enter")
        go_to(link)
        keyboard.press("Enter")

    go_to("a[href='#sign-up']")
    keyboard.press("Enter")
    go_to("#sign-up [name=email]")
    keyboard.type(email)
    go_to("#sign-up [name=password]")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    expect(page.locator("#new [name=title]")).to_be_focused()
    for title in ("Water the plants", "Write to Grace"):
        keyboard.type(title)
        keyboard.press("Enter")
        expect(items(page).first).to_contain_text(title)
    go_to("#list li:first-child [type=checkbox]")
    keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="Write to Grace")).to_be_checked()
    expect_titles(page, "Water the plants", "Write to Grace")
    go_to("#list li:first-child .text")
    keyboard.press("Enter")
    keyboard.press("End")
    keyboard.type(" today")
    keyboard.press("Escape")
    keyboard.press("Enter")
    keyboard.press("End")
    keyboard.type(" and tomatoes")
    keyboard.press("Enter")
    expect_titles(page, "Water the plants and tomatoes", "Write to Grace")
    go_to("#list li:nth-child(2) .delete")
    keyboard.press("Enter")
    expect_titles(page, "Water the plants and tomatoes")

    page.reload()
    expect_titles(page, "Water the plants and tomatoes")
    choose("[href='#sessions']")
    expect(page.locator("#session-list li")).to_have_text(re.compile(r"A web page on .* \(this one\)"))
    choose("[href='#password']")
    go_to("#password-form [name=current_password]")
    keyboard.type(PASSWORD)
    go_to("#password-form [name=new_password]")
    keyboard.type("another password")
    keyboard.press("Enter")
    expect(page.locator("#toasts")).to_have_text(re.compile("The password is changed"))
    page.reload()
    go_to(".back")
    keyboard.press("Enter")
    expect(items(page)).to_have_count(1)
    choose("#sign-out")
    expect(page.locator("#notice")).to_have_text("You are signed out.")

    page.fill("#sign-in [name=email]", email)
    page.fill("#sign-in [name=password]", "another password")
    keyboard.press("Enter")
    expect(items(page)).to_have_count(1)
    choose("[href='#account']")
    page.fill("#leave [name=current_password]", "another password")
    keyboard.press("Enter")
    go_to("#question [value=yes]")
    keyboard.press("Enter")
    expect(page.locator("#notice")).to_have_text("The account and everything in it is deleted.")
    assert len([body for body in bodies if "access_token" in body]) >= 4
    assert not any("refresh_token" in body for body in bodies)


@pytest.mark.parametrize("local", ["", pytest.param("/svc", marks=needs_nginx)], indirect=True)
def test_no_script_can_read_the_token(context: BrowserContext, local: Site) -> None:
    """It is in no storage and in no document.cookie, and signing out removes it."""
    page = open_page(context, local.page)
    sign_up(page)
    [cookie] = context.cookies(f"{local.api}/api/auth/refresh")
    assert cookie["name"] == "refresh-local" + urlsplit(local.api).path.replace("/", "-")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    reload(page)
    readable = page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    assert '\\"key\\":' in readable
    assert "ey" + "J" not in readable
    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")
    assert context.cookies(f"{local.api}/api/auth/refresh") == []
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_many_tabs_at_once_stay_signed_in(context: BrowserContext, local: Site, locks: bool) -> None:
    """Six tabs that are opened at once all go on, also where a browser has no locks. Source: FR-051."""
    if not locks:
        context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    page = open_page(context, local.page)
    sign_up(page)
    add(page, "Water the plants")
    tabs = [context.new_page() for _ in range(6)]
    for _ in range(2):
        for tab in tabs:
            tab.evaluate("(url) => { document.documentElement.id = 'before'; location = url; }", local.page)
        for tab in tabs:
            expect(tab.locator("#before")).to_have_count(0)
            expect_titles(tab, "Water the plants")
            expect_sent(tab)
    assert context.cookies(f"{local.api}/api/auth/refresh")


def test_all_tabs_follow_who_is_signed_in(context: BrowserContext, local: Site) -> None:
    """When one tab signs out, and somebody else in, the others show nothing of the one before."""
    first = open_page(context, local.page)
    sign_up(first)
    add(first, "A secret")
    second = open_page(context, local.page)
    expect(items(second)).to_have_count(1)
    sign_out(first)
    expect(second.locator("#sign-in")).to_be_visible()
    expect(items(second)).to_have_count(0)
    email = sign_up(first)
    expect(second.locator("#menu-email")).to_have_text(email)
    add(second, "Mine")
    expect_titles(first, "Mine")


def test_a_lost_answer_signs_nobody_out(context: BrowserContext, local: Site) -> None:
    """A page whose refresh was answered into the void goes on when it is reloaded. Source: FR-051, FR-058."""
    page = open_page(context, local.page)
    sign_up(page)
    token = context.cookies(f"{local.api}/api/auth/refresh")[0]["value"]

    def lose(route: Route) -> None:
        # As the service would see it, past the browser's own cookies, which must not learn of the answer.
        lost = context.browser.new_context().request if context.browser else None
        assert lost
        headers = {**route.request.all_headers(), "cookie": f"refresh-local={token}"}
        assert lost.post(route.request.url, headers=headers, data=route.request.post_data).status == 200
        route.abort()

    page.route("**/api/auth/refresh", lose, times=1)
    page.reload()
    add(page, "Still here")
    expect_sent(page)
    assert context.cookies(f"{local.api}/api/auth/refresh")[0]["value"] != token


def test_signing_out_without_a_network_does_not_pretend(context: BrowserContext, local: Site) -> None:
    """Only the service can remove the cookie: until it has, the page says that it is signed in."""
    page = open_page(context, local.page)
    sign_up(page)
    page.route("**/api/auth/signout", lambda route: route.abort(), times=1)
    sign_out(page)
    expect(page.locator("#toasts [role=alert]")).to_have_text(re.compile("The service cannot be reached"))
    expect(page.locator("#tasks")).to_be_visible()
    sign_out(page)
    expect(page.locator("#notice")).to_have_text("You are signed out.")


@pytest.fixture
def hosts(tmp_path: Path, database_url: str) -> Iterator[dict[str, Any]]:
    """The service in production at https://api.example.test, and pages at any host, all behind TLS."""
    with ExitStack() as stack:
        folder = tmp_path / "web"
        pages = stack.enter_context(behind_tls(stack.enter_context(serving_folder(folder)), tmp_path))
        own, elsewhere = f"https://app.example.test:{pages}", f"https://app.elsewhere.test:{pages}"
        served = stack.enter_context(
            serving(
                tmp_path,
                wait=True,
                DATABASE_URL=database_url,
                ENVIRONMENT="production",
                PASSWORD_HASH_COST="12",
                FRONTEND_URL=f"{own},{elsewhere}",
            )
        )
        api = f"https://api.example.test:{stack.enter_context(behind_tls(int(served.url.rsplit(':', 1)[1]), tmp_path))}"
        page_for(folder, api)
        yield {"own": own, "elsewhere": elsewhere, "api": api, "port": pages, "log": served.log}


ATTACK = """async ([url, options]) => {
    const answer = await fetch(url, { method: "POST", credentials: "include", ...options }).catch((error) => error);
    return answer.status ?? answer.message;
}"""


def test_what_people_write_is_text(context: BrowserContext, local: Site) -> None:
    """A title that is markup is shown as it was written, and runs nowhere. Source: ASVS 5.0 3.2.2."""
    markup = "<img src=x onerror=\"document.title='c4nary'\"><b>bold</b>"
    page = open_page(context, local.page)
    sign_up(page)
    add(page, markup)
    expect_titles(page, markup)
    expect(page.locator("#tasks img, #tasks b")).to_have_count(0)
    assert page.title() != "c4nary"


def test_two_hosts_of_one_site(context: BrowserContext, hosts: dict[str, Any]) -> None:
    """Over https the cookie works between hosts of one site, and neither a sibling nor a stranger can use it."""
    page = open_page(context, hosts["own"])
    sign_up(page)
    reload(page)
    expect(page.locator("#tasks")).to_be_visible()
    refresh, sign_out = f"{hosts['api']}/api/auth/refresh", f"{hosts['api']}/api/auth/signout"
    [cookie] = context.cookies(refresh)
    assert (cookie["name"], cookie["secure"]) == ("__Host-refresh", True)

    answered = {refresh: [200], sign_out: list[int]()}
    for host, sends_cookie in (("evil.example.test", True), ("evil.test", False)):
        attacker = open_page(context, f"https://{host}:{hosts['port']}/style.css")
        refusals = {refresh: 403, sign_out: 403} if sends_cookie else {refresh: 422, sign_out: 401}
        for url, refusal in refusals.items():
            as_json = {"headers": {"Content-Type": "application/json"}, "body": "{}"}
            for options in ({"mode": "no-cors"}, {}, as_json):  # the preflight of the last is refused
                assert attacker.evaluate(ATTACK, [url, options]) == "Failed to fetch"
            answered[url] += [refusal] * 2
            expect_statuses(hosts["log"], url, answered[url])
        with attacker.expect_navigation():
            attacker.evaluate(
                "(url) => { const form = document.createElement('form'); form.method = 'post'; form.action = url;"
                " (document.body ?? document.documentElement).append(form); form.submit(); }",
                sign_out,
            )
        answered[sign_out] += [refusals[sign_out]]
        expect_statuses(hosts["log"], sign_out, answered[sign_out])
        attacker.close()
    page.reload()
    expect(page.locator("#tasks")).to_be_visible()
    assert len(context.cookies(refresh)) == 1


TOSS = """([names, token]) => {
    for (let n = 0; n < 400; n++)
        document.cookie = `f${n}=x; Domain=example.test; Path=/api/auth; Secure`;
    for (const name of names)
        for (const path of ["/api/auth/refresh", "/api/auth", "/"])
            document.cookie = `${name}=${token}; Domain=example.test; Path=${path}; Secure`;
}"""


def test_a_neighbour_cannot_put_its_own_cookie_in_the_place_of_ours(
    browser: Browser, context: BrowserContext, hosts: dict[str, Any]
) -> None:
    """A page of the same site that pushes the cookie out of the browser signs its owner out, and nobody in."""
    elsewhere = browser.new_context(ignore_https_errors=True)
    attacker = open_page(elsewhere, hosts["own"])
    sign_up(attacker)
    refresh = f"{hosts['api']}/api/auth/refresh"
    [theirs] = elsewhere.cookies(refresh)
    page = open_page(context, hosts["own"])
    email = sign_up(page)
    add(page, "A secret plan")
    expect_sent(page)

    neighbour = open_page(context, f"https://evil.example.test:{hosts['port']}/style.css")
    neighbour.evaluate(TOSS, [["__Host-refresh", "refresh-local", "__Secure-refresh"], theirs["value"]])
    neighbour.wait_for_function("document.cookie.includes('__Secure-refresh=')")  # they are set one after the other
    kept = {(cookie["name"], cookie["value"]) for cookie in context.cookies(refresh)}
    assert ("__Host-refresh", theirs["value"]) not in kept
    assert ("__Secure-refresh", theirs["value"]) in kept, "it could be done with that name"
    with page.expect_response(is_answer_to_post("/api/auth/refresh")) as answered:
        page.reload()
    if answered.value.status == 200:  # a browser may keep the own cookie in spite of the others
        expect_titles(page, "A secret plan")
    else:
        expect(page.locator("#sign-in")).to_be_visible()
        sign_in(page, email)
        expect_titles(page, "A secret plan")
    elsewhere.close()


def test_pages_of_another_site_cannot_keep_the_cookie(context: BrowserContext, hosts: dict[str, Any]) -> None:
    """As docs/web.md says, page and API must be of one site: elsewhere the session ends with the page."""
    page = open_page(context, hosts["elsewhere"])
    sign_up(page)
    assert context.cookies(f"{hosts['api']}/api/auth/refresh") == []
    page.reload()
    expect(page.locator("#sign-in")).to_be_visible()
