"""Passkeys in a real browser, by the lines of docs/passkeys.md, with Chromium's virtual authenticator."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support.browsers import with_authenticator
from tests.support.pages import serving_folder
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving
from tests.support.settings import ROOT

pytestmark = pytest.mark.slow

(LINES,) = re.findall(r"```js\n(.+?)```", (ROOT / "docs" / "passkeys.md").read_text(), re.DOTALL)
PRELUDE, SIGN_IN, MAKE, PROVE = re.split(r"// (?:Sign in|Make a key|Prove who asks).*\n", LINES)


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A service with passkeys, and the origin of a page without content."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").write_text("<!doctype html><title>Page</title>")
    with serving_folder(tmp_path / "web") as port:
        page = f"http://localhost:{port}"
        settings: dict[str, Any] = {"DATABASE_URL": database_url, "PASSKEYS": "on", "FRONTEND_URL": page}
        with serving(tmp_path, **settings) as server:
            yield server, page


def run(page: Page, lines: str, api: str, access_token: str, result: str) -> Any:
    """Run lines of the document in the page, and return what they have found."""
    names = "const {api, accessToken, password} = given;"
    given = {"api": api, "accessToken": access_token, "password": PASSWORD}
    return page.evaluate(f"async (given) => {{ {names} {PRELUDE} {lines} return {result}; }}", given)


def test_somebody_lives_with_a_passkey(context: BrowserContext, served: tuple[Server, str]) -> None:
    """A person makes a key, signs in by it without a name, and deletes the account with it. Source: FR-063, FR-065."""
    server, origin = served
    api = server.url
    signed_up = httpx.post(f"{api}/api/auth/signup", json={"email": new_email(), "password": PASSWORD}).json()
    page = context.new_page()
    page.goto(origin)
    devtools, authenticator = with_authenticator(page)
    run(page, MAKE, api, signed_up["access_token"], "true")
    (key,) = devtools.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert key["isResidentCredential"]
    again = run(page, SIGN_IN, api, "", "{ user, access_token }")
    assert again["user"] == signed_up["user"]
    headers = {"Authorization": f"Bearer {again['access_token']}"}
    (listed,) = httpx.get(f"{api}/api/auth/passkeys", headers=headers).json()
    assert listed["last_used_at"]
    again_made = f"try {{ {MAKE} }} catch (error) {{ return error.name; }}"
    refused = run(page, again_made, api, again["access_token"], "true")
    assert refused == "InvalidStateError", "this device has a key already"
    run(page, PROVE, api, again["access_token"], "true")
    assert httpx.get(f"{api}/api/auth/me", headers=headers).status_code == 401
