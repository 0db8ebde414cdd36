"""Passkeys by the JavaScript client, in a real browser with a virtual authenticator."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.client_js.conftest import Project
from tests.client_js.test_browser import opened, signed_up
from tests.support.browsers import with_authenticator
from tests.support.people import PASSWORD
from tests.support.server import serving

pytestmark = pytest.mark.slow

OLDER = """
delete PublicKeyCredential.parseCreationOptionsFromJSON;
delete PublicKeyCredential.parseRequestOptionsFromJSON;
delete PublicKeyCredential.prototype.toJSON;
"""
WHY = "(error) => error.code || error.name"


@pytest.fixture(scope="module")
def api(project: Project, database_url: str, origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with passkeys for the pages."""
    folder = tmp_path_factory.mktemp("api")
    with serving(folder, DATABASE_URL=database_url, FRONTEND_URL=origin, PASSKEYS="on") as started:
        yield started.url.replace("127.0.0.1", "localhost")


def add(page: Page, name: str = "My telephone") -> Any:
    given = [name, PASSWORD]
    return page.evaluate("([name, current_password]) => passkeys.add(name, { current_password })", given)


@pytest.mark.parametrize("age", ["new", "older"])
@pytest.mark.parametrize("session", ["cookie", "storage"])
def test_a_life_with_a_passkey(context: BrowserContext, origin: str, api: str, session: str, age: str) -> None:
    """Made, listed, signed in by, a proof of one act and of no other, deleted; in browsers without JSON, too."""
    if age == "older":
        context.add_init_script(OLDER)
    page = opened(context, f"{origin}/page/?api={api}&session={session}")
    with_authenticator(page)
    email = signed_up(page)
    assert page.evaluate("() => passkeys.isSupported")
    assert page.evaluate(f"() => passkeys.add('x', {{ current_password: 'wrong' }}).catch({WHY})") == "WRONG_PASSWORD"
    made = add(page)
    assert page.evaluate("() => passkeys.list()") == [made]
    assert (made["name"], made["last_used_at"]) == ("My telephone", None)
    page.evaluate("() => client.auth.signOut()")
    page.wait_for_function("() => client.session.user === null")
    answer = page.evaluate("() => passkeys.signIn({ device: 'The page' })")
    assert answer["user"]["email"] == page.evaluate("() => client.session.user.email") == email
    assert [one["device"] for one in page.evaluate("() => client.auth.listSessions()")] == ["The page"]
    assert page.evaluate("() => passkeys.list()")[0]["last_used_at"]

    body = "{ name: 'backup', scopes: ['tasks:read'], days: 1, proof: await passkeys.prove(act) }"
    create = f"async (act) => client.auth.createToken({body}).then(({{ token }}) => token, {WHY})"
    assert page.evaluate(create, "delete") == "WRONG_PROOF"
    assert page.evaluate(create, "token").startswith("atk_")
    page.evaluate("async (id) => passkeys.remove(id, await passkeys.prove('passkey'))", made["id"])
    assert page.evaluate("() => passkeys.list()") == []
    assert page.evaluate(f"() => passkeys.signIn().catch({WHY})") == "INVALID_CREDENTIALS"


def test_the_browser_offers_passkeys_in_the_form(browser: Browser, origin: str, api: str) -> None:
    """Autofill waits until a key is there, gives way to a button, stops when it is told to, and asks anew in time."""
    context = browser.new_context()
    page = opened(context, f"{origin}/page/?api={api}&session=cookie")
    with_authenticator(page)
    email = signed_up(page)
    add(page)
    page.evaluate("() => client.auth.signOut()")
    assert page.evaluate("() => PublicKeyCredential.isConditionalMediationAvailable()")
    signed_in = page.evaluate("() => passkeys.signInByAutofill()")
    assert signed_in["user"]["email"] == email

    context.close()


WAITING = """() => {
    window.asked = [];
    navigator.credentials.get = ({ signal, mediation }) => {
        asked.push(mediation);
        return new Promise((_, refuse) => signal.addEventListener("abort", () => refuse(signal.reason)));
    };
    const later = window.setTimeout.bind(window);
    window.setTimeout = (work, ms) => later(work, ms === 240000 ? (window.renewal ?? ms) : ms);
    window.refusing = () => Promise.reject(new DOMException("", "NotAllowedError"));
    window.waiting = async (stop) => {
        const waits = passkeys.signInByAutofill({ signal: stop.signal });
        while (asked.at(-1) !== "conditional") await new Promise((done) => later(done, 10));
        return [waits];
    };
}"""


def test_autofill_gives_way(context: BrowserContext, origin: str, api: str) -> None:
    """A page has one ceremony at a time: what waits is null once a button, or the page, has stopped it."""
    page = opened(context, f"{origin}/page/?api={api}&session=cookie")
    page.evaluate(WAITING)
    for how in ("void passkeys.signIn().catch(() => {})", "stop.abort()"):
        begin = "const stop = new AbortController(); const [waits] = await waiting(stop);"
        assert page.evaluate(f"async () => {{ {begin} {how}; return waits; }}") is None
    page.evaluate("() => { asked.length = 0; window.renewal = 50; void passkeys.signInByAutofill(); }")
    page.wait_for_function("() => asked.length > 3")  # with a new challenge each time
    page.evaluate("() => { navigator.credentials.get = refusing; }")
    assert page.evaluate(f"() => passkeys.signIn().catch({WHY})") == "NotAllowedError"
    page.evaluate("() => { PublicKeyCredential.isConditionalMediationAvailable = undefined; }")
    assert page.evaluate("() => passkeys.signInByAutofill()") is None
