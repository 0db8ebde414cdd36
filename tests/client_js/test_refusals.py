"""The JavaScript client in a page of another origin: why it was refused, and a device that is known."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support.pages import asked
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

TOLD = """async ([operation, ...sent]) => {
    const [group, name] = operation.split(".");
    return client[group][name](...sent).then(
        () => null, ({ status, code, message, retryAfter }) => ({ status, code, message, retryAfter })
    );
}"""


@pytest.fixture
def limited(own_database_url: str, origin: str, tmp_path: Any) -> Iterator[Server]:
    """A service that counts sign-ins."""
    limits = {"RATE_LIMITS": "on", "RATE_LIMIT_SIGNIN_ACCOUNT": "2/minute"}
    with serving(tmp_path, wait=True, DATABASE_URL=own_database_url, FRONTEND_URL=origin, **limits) as server:
        yield server


def opened(context: BrowserContext, origin: str, server: Server, session: str = "storage") -> Page:
    page = context.new_page()
    page.goto(f"{origin}/page/?api={server.url.replace('127.0.0.1', 'localhost')}&session={session}")
    page.wait_for_function("() => window.client")
    return page


def told(page: Page, operation: str, *sent: Any) -> Any:
    """Do something; return what the page is told if it is refused, otherwise None."""
    return asked(page, TOLD, [operation, *sent])


def test_the_page_reads_why_it_was_refused(
    context: BrowserContext, origin: str, limited: Server, own_database_url: str
) -> None:
    """A page of another origin can show why something was refused: 401, 409, 422, 429 and 500 by their sentence."""
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks ADD CHECK (title <> 'what nobody foresaw')")
    page = opened(context, origin, limited)
    account = {"email": new_email(), "password": PASSWORD}
    assert told(page, "auth.signUp", account) is None
    wrong = account | {"password": "wrong guess"}

    def refusal(status: int, code: str, message: str, operation: str, sent: Any) -> Any:
        found = told(page, operation, sent)
        assert (found["status"], found["code"]) == (status, code)
        assert found["message"].startswith(message)
        return found["retryAfter"]

    refusal(409, "EMAIL_TAKEN", "An account with this e-mail address already exists.", "auth.signUp", account)
    refusal(422, "VALIDATION_FAILED", "title must not be blank", "tasks.create", {"title": " "})
    refusal(500, "INTERNAL_ERROR", "Something went wrong", "tasks.create", {"title": "what nobody foresaw"})
    for _ in range(2):
        refusal(401, "INVALID_CREDENTIALS", "The e-mail address or the password is wrong.", "auth.signIn", wrong)
    assert 1 <= refusal(429, "TOO_MANY_REQUESTS", "Too many attempts", "auth.signIn", wrong) <= 60


def test_a_page_of_another_origin_reads_nothing(context: BrowserContext, origin: str, limited: Server) -> None:
    """A page that FRONTEND_URL does not name reads nothing and makes no account."""
    account = {"email": new_email(), "password": PASSWORD}
    stranger = opened(context, origin.replace("localhost", "127.0.0.1"), limited)
    found = told(stranger, "auth.signUp", account)
    assert (found["status"], found["message"]) == (None, "Failed to fetch")
    # The preflight stopped it: no account was made.
    assert told(opened(context, origin, limited), "auth.signUp", account) is None


@pytest.mark.parametrize("session", ["cookie", "storage"])
def test_a_known_device_signs_in_while_others_guess(
    context: BrowserContext, origin: str, limited: Server, session: str
) -> None:
    """Somebody else's wrong passwords do not keep a person out who has signed in here before."""
    page = opened(context, origin, limited, session)
    account = {"email": new_email(), "password": PASSWORD}
    assert told(page, "auth.signUp", account) is None
    wrong = account | {"password": "wrong guess"}
    statuses = [httpx.post(f"{limited.url}/api/auth/signin", json=wrong).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert told(page, "auth.signIn", account) is None
    if session == "storage":  # where the last token stays, which is good for nothing else
        assert told(page, "auth.signOut") is None
        assert told(page, "auth.signIn", account) is None
