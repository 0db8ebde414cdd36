"""The JavaScript client in a real browser: tabs, pages that are killed, a copied browser, one stream for all tabs."""

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Route, expect

from auth_tasks_client import LocalCopy, TasksClient, TokenStore
from tests.client_js.conftest import Project
from tests.support.pages import asked
from tests.support.people import PASSWORD, new_email
from tests.support.rounds import rounds
from tests.support.server import serving
from tests.support.settings import ROOT

pytestmark = pytest.mark.slow

TABS = 6
KILLS = rounds(40, least=6)
STEPS = rounds(1000, least=60)
WITHOUT_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"
EXPIRE = """() => {
    for (const name of Object.keys(localStorage)) {
        const kept = JSON.parse(localStorage[name]);
        if (kept.access_token) localStorage[name] = JSON.stringify({ ...kept, access_token: "x.y.z" });
    }
}"""
WORKS = (
    "() => client.auth.showMe().then(() => true, (error) => { if (error.status === 401) return false; throw error; })"
)


def opened(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("() => window.client")
    return page


def signed_up(page: Page) -> str:
    email = new_email()
    asked(page, "(account) => client.auth.signUp(account)", {"email": email, "password": PASSWORD})
    return email


@pytest.mark.parametrize("session", ["cookie", pytest.param("storage", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_many_tabs_at_once_stay_signed_in(
    context: BrowserContext, origin: str, api: str, locks: bool, session: str
) -> None:
    """Tabs that are opened at once all go on, also where a browser has no locks. Source: FR-051."""
    if not locks:
        context.add_init_script(WITHOUT_LOCKS)
    address = f"{origin}/page/?api={api}&session={session}"
    tabs = [opened(context, address) for _ in range(TABS)]
    signed_up(tabs[0])
    for _ in range(2):
        asked(tabs[0], EXPIRE)
        for tab in tabs:
            asked(tab, "(url) => { document.documentElement.id = 'before'; location = url; }", address)
        for tab in tabs:
            expect(tab.locator("#before")).to_have_count(0)
            tab.wait_for_function("() => window.client")
            asked(tab, f"() => {{ window.works = ({WORKS})() }}")
        assert [asked(tab, "() => window.works") for tab in tabs] == [True] * TABS


def at_once(tabs: list[Page], function: str) -> list[Any]:
    """Call a function in several tabs at the same moment, and return what each returns."""
    begin = f"""(moment) => {{
        window.result = new Promise((later) => setTimeout(later, moment - Date.now())).then({function});
        window.result.catch(() => {{}});
    }}"""
    moment = time.time() * 1000 + 300
    for tab in tabs:
        asked(tab, begin, moment)
    return [asked(tab, "() => window.result") for tab in tabs]


def test_two_tabs_share_one_refresh(context: BrowserContext, origin: str, api: str) -> None:
    """All calls of two tabs that meet an expired access token at once share one refresh, or one for each tab."""
    refreshes: list[str] = []
    context.on(
        "request", lambda it: refreshes.append(it.url) if it.url.endswith("/refresh") and it.method == "POST" else None
    )
    tabs = [opened(context, f"{origin}/page/?api={api}&session=storage") for _ in range(2)]
    signed_up(tabs[0])
    for tab in tabs:
        tab.wait_for_function("() => client.session.user")
    for number in (1, 2):
        asked(tabs[0], EXPIRE)
        for tab in tabs:
            # Chromium shows a tab what another has stored a moment later.
            tab.wait_for_function("() => Object.values(localStorage).some((item) => item.includes('x.y.z'))")
        lists = "() => Promise.all([1, 2, 3].map(() => client.request('GET', '/api/tasks')))"
        assert at_once(tabs, lists) == [[[], [], []]] * 2
        assert number <= len(refreshes) <= number * len(tabs)


def test_two_tabs_that_know_nothing_of_each_other(
    context: BrowserContext, origin: str, database_url: str, tmp_path: Path
) -> None:
    """With a leeway two tabs may refresh the same token at the same moment, and neither is signed out."""
    leeway = {"DATABASE_URL": database_url, "FRONTEND_URL": origin, "REFRESH_REUSE_LEEWAY_SECONDS": "10"}
    with serving(tmp_path, wait=True, **leeway) as api:
        url = api.url.replace("127.0.0.1", "localhost")
        tabs = [opened(context, f"{origin}/page/?api={url}&session=storage") for _ in range(2)]
        signed_up(tabs[0])
        for tab in tabs:
            tab.wait_for_function("() => client.session.user")
        refresh = f"""() => fetch("{url}/api/auth/refresh", {{
            method: "POST",
            headers: {{ "Content-Type": "application/json" }},
            body: JSON.stringify({{ refresh_token: JSON.parse(Object.values(localStorage)[0]).refresh_token }}),
        }}).then((answer) => answer.json())"""
        first, second = at_once(tabs, refresh)
        # They may tell different seconds until the same tokens expire.
        assert first | {"expires_in": 0} == second | {"expires_in": 0}
        me = httpx.get(f"{api.url}/api/auth/me", headers={"Authorization": f"Bearer {first['access_token']}"})
        assert me.status_code == 200


@pytest.mark.parametrize("session", ["cookie", "storage"])
def test_all_tabs_hear_what_happens_to_the_session(
    context: BrowserContext, origin: str, api: str, session: str
) -> None:
    """When one tab signs in or out, the others know it, and why."""
    first, second = (opened(context, f"{origin}/page/?api={api}&session={session}") for _ in range(2))
    email = signed_up(first)
    second.wait_for_function("(email) => client.session.user?.email === email", arg=email)
    asked(first, "() => client.session.refresh()")
    second.wait_for_function("() => heard.length === 2")
    asked(first, "() => client.auth.signOut()")
    second.wait_for_function("() => client.session.user === null")
    expected = [["signed-in", None], ["refreshed", None], ["signed-out", "user"]]
    assert asked(first, "() => heard") == asked(second, "() => heard") == expected


WORKER = """async (first) => {
    window.isBusy = true;
    for (let number = first; ; number++) {
        const task = await copy.create({ title: `${number}` });
        console.log(`kept ${number}`);
        await copy.edit(task.id, { description: `of ${number}` });
        await copy.sync().catch(() => {});
    }
}"""


def test_a_killed_page_loses_nothing_and_sends_nothing_twice(context: BrowserContext, origin: str, api: str) -> None:
    """However often the page is killed, and whatever answers are lost: what was kept arrives, once."""
    chance = random.Random(19)
    address = f"{origin}/page/?api={api}&session=storage&copy"
    signed_up(opened(context, address))
    kept: set[str] = set()

    def heard(message: ConsoleMessage) -> None:
        if message.text.startswith("kept "):
            kept.add(message.text.removeprefix("kept "))

    def lose(route: Route) -> None:
        if chance.random() < 0.2:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    for number in range(KILLS):
        page = context.new_page()
        before = len(kept)
        page.on("console", heard)
        if number % 2:
            page.route(re.compile(r"/api/tasks"), lose)
        page.goto(address)
        page.wait_for_function("() => window.copy")
        asked(page, f"(first) => void ({WORKER})(first)", 1000 * number)
        while len(kept) == before:
            page.wait_for_timeout(10)
        page.wait_for_timeout(chance.random() * 150)
        killed(page)
    page = opened(context, address)
    asked(page, "() => copy.sync()")
    there = asked(page, "() => client.request('GET', '/api/tasks')")
    titles = [task["title"] for task in there]
    print(f"{KILLS} kills: {len(kept)} kept, {len(there)} on the service")
    assert len(set(titles)) == len(titles)
    assert kept <= set(titles)
    assert asked(page, "() => copy.list()") == there
    assert asked(page, "async () => [await copy.changes(), await copy.conflicts()]") == [[], []]


def killed(page: Page) -> None:
    """Kill the process of a page."""
    with pytest.raises(Error):
        page.goto("chrome://crash")
    page.close()


@contextmanager
def kit_running() -> Iterator[str]:
    """The service of the kit, which has streams."""
    command = [sys.executable, str(ROOT / "clients" / "kit" / "kit.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as kit:
        try:
            assert kit.stdout
            found = re.search(r"http://[\d.]+:\d+", kit.stdout.readline())
            assert found
            yield found[0].replace("127.0.0.1", "localhost")
        finally:
            kit.kill()


def serve_page(context: BrowserContext, folder: Path) -> None:
    """Let the kit's origin have the pages, too."""

    def fulfil(route: Route) -> None:
        path = httpx.URL(route.request.url).path
        route.fulfill(path=folder / (path.lstrip("/") + ("index.html" if path.endswith("/") else "")))

    context.route(re.compile(r"/(page|node_modules)/"), fulfil)


UNTIL = """async ([condition, given]) => {
    const holds = eval(condition);
    for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((later) => setTimeout(later, 20)))
        if (await holds(given)) return;
    throw new Error(`not within 30 s: ${condition}`);
}"""
TITLES = "async (titles) => (await copy.list()).map(({ title }) => title).sort().join() === titles"


def titles_in(page: Page, *expected: str) -> None:
    """Wait until the copy of a page has these titles."""
    asked(page, UNTIL, [TITLES, ",".join(sorted(expected))])


def test_one_tab_holds_the_stream_and_the_next_takes_over(project: Project, context: BrowserContext) -> None:
    """Of all tabs one reads the stream, the others hear of it; what a closed tab has left is sent by another."""
    serve_page(context, project.folder)
    streams: list[str] = []
    context.on("request", lambda it: streams.append(it.url) if "event-stream" in it.headers.get("accept", "") else None)
    with kit_running() as url, httpx.Client(base_url=url) as phone:
        address = f"{url}/page/?session=storage&copy&follow"
        account = {"email": signed_up(opened(context, address)), "password": PASSWORD}
        tokens = phone.post("/api/auth/signin", json=account).json()
        phone.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        tabs = [opened(context, address) for _ in range(3)]
        tabs[0].wait_for_function("() => window.state === 'live'")
        phone.post("/api/tasks", json={"title": "From the telephone"})
        for tab in tabs:
            titles_in(tab, "From the telephone")
        assert len(streams) == 1
        asked(tabs[1], "() => copy.create({ title: 'From a tab' })")
        for tab in tabs:
            titles_in(tab, "From the telephone", "From a tab")
        tabs[0].close()
        tabs[1].wait_for_function("() => window.state === 'live'")
        context.set_offline(True)
        asked(tabs[1], "() => copy.create({ title: 'On a train' })")
        tabs[1].close()
        context.set_offline(False)
        asked(tabs[2], UNTIL, ["async () => !(await copy.changes()).length && window.state === 'live'", None])
        found = [task["title"] for task in phone.get("/api/tasks").json()]
        assert sorted(found) == ["From a tab", "From the telephone", "On a train"]


STEP = """async ([what, number]) => {
    const tasks = await copy.list();
    const task = tasks[number % (tasks.length || 1)];
    if (what === "create" || !task) await copy.create({ title: `${number}` });
    try {
        if (what === "rename" && task) await copy.edit(task.id, { title: `${task.title}, ${number}`.slice(-150) });
        if (what === "tick" && task) await copy.edit(task.id, { completed: !task.completed });
        if (what === "remove" && task) await copy.remove(task.id);
    } catch (error) {
        if (!(error instanceof ReferenceError)) throw error; // what is followed may delete it at this moment
    }
    if (what === "sync") await copy.sync().catch(() => {});
}"""
WHAT = ["create", "create", "rename", "rename", "tick", "tick", "remove", "sync", "sync", "cut"]


def test_two_pages_and_a_python_client_end_with_one_list(
    browser: Browser, origin: str, api: str, tmp_path: Path
) -> None:
    """Whatever three devices do, online and not, their copies are equal at the end, and are what the service has."""
    chance = random.Random(20)
    address = f"{origin}/page/?api={api}&session=storage&copy"
    contexts = [browser.new_context() for _ in range(2)]
    pages = [opened(context, address) for context in contexts]
    email = signed_up(pages[0])
    asked(pages[1], "(account) => client.auth.signIn(account)", {"email": email, "password": PASSWORD})
    for page in pages:
        asked(page, "async () => { window.copy = await openCopy(client); copy.follow({ every: 200 }); }")
    store = TokenStore(tmp_path / "tokens.json")
    with TasksClient(store, api) as client, LocalCopy(tmp_path / "tasks.db") as copy:
        client.sign_in(email, PASSWORD)
        client.sync(copy)
        for number in range(STEPS):
            what, who = chance.choice(WHAT), chance.randrange(3)
            if who == 2:
                python_step(client, copy, what, number)
            elif what == "cut":
                contexts[who].set_offline(bool(chance.randrange(2)))
            else:
                asked(pages[who], STEP, [what, number])
        for context in contexts:
            context.set_offline(False)
        ended = sum(settle(client, copy, pages) for _ in range(2))
        there = client.tasks()
        copies = [copy.tasks(), *(asked(page, "() => copy.list()") for page in pages)]
    print(f"{STEPS} steps: {len(there)} tasks, {ended} conflicts")
    assert copies == [there] * 3
    for context in contexts:
        context.close()


def python_step(client: TasksClient, copy: LocalCopy, what: str, number: int) -> None:
    tasks = copy.tasks()
    task: dict[str, Any] | None = tasks[number % len(tasks)] if tasks else None
    if what == "create" or task is None:
        copy.add(f"{number}")
    elif what == "rename":
        copy.edit(task["id"], title=f"{task['title']}, {number}"[-150:])
    elif what == "tick":
        copy.edit(task["id"], completed=not task["completed"])
    elif what == "remove":
        copy.remove(task["id"])
    elif what == "sync":
        client.sync(copy)


def settle(client: TasksClient, copy: LocalCopy, pages: list[Page]) -> int:
    """Bring all copies and the service together, and let what conflicts be; return how many that were."""
    client.sync(copy)
    ended = len(copy.conflicts())
    for conflict in copy.conflicts():
        copy.settle(conflict.number, mine=False)
    for page in pages:
        ended += asked(
            page,
            "async () => { await copy.sync(); const found = await copy.conflicts();"
            " for (const { number } of found) await copy.settle(number, 'theirs'); return found.length; }",
        )
    client.sync(copy)
    return ended
