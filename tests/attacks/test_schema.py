"""The OpenAPI document, held against the service by Schemathesis: every check, generated requests."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args
from uuid import UUID

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig

from app.auth.fingerprints import make_fingerprints
from app.auth.tokens import make_codec
from app.core.clock import system_clock
from app.core.fields import UUID_TEXT
from app.tasks.models import Status
from tests.support.authenticator import PASSKEYS, Authenticator
from tests.support.people import PASSWORD, new_email
from tests.support.rounds import rounds
from tests.support.server import Server, serving
from tests.support.settings import make_settings

CASES = rounds(420, least=12)
COOKIE = "refresh-local"  # its name where there is no https


class Caller(NamedTuple):
    """Somebody new, who has one of everything: `ids` says what the document calls its id, and which it is.

    `links` are the tokens that were mailed, by the path that takes each; `make_key` makes a passkey.
    """

    headers: dict[str, str]
    user_id: str
    ids: dict[str, str]
    links: dict[str, str]
    make_key: Callable[[], dict[str, Any]]


def sign_up(url: str, *, as_page: bool = False) -> Caller:
    signed_up = httpx.post(f"{url}/api/auth/signup", json={"email": new_email(), "password": PASSWORD}).json()
    headers = {"Authorization": f"Bearer {signed_up['access_token']}"}
    if as_page:
        headers |= {"Origin": "http://localhost:3000", "Cookie": f"{COOKIE}={signed_up['refresh_token']}"}
    task = httpx.post(f"{url}/api/tasks", json={"title": "x"}, headers=headers).json()
    links, make = make_links(signed_up["user"]), partial(make_key, url, headers)
    return Caller(headers, signed_up["user"]["id"], {"task_id": task["id"]}, links, make)


def make_key(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return what an authenticator makes of new options."""
    return Authenticator().make(httpx.post(f"{url}{PASSKEYS}/options", headers=headers).json())


def make_links(user: dict[str, str]) -> dict[str, str]:
    """Sign the links that mails have."""
    made, email, now = make_settings("postgresql://localhost/none"), user["email"], system_clock()
    codec, replaces = make_codec(made), make_fingerprints(made).of("email", user["email"])
    return {
        "/api/auth/email/verify": codec.issue_verification(UUID(user["id"]), 0, now, email=email),
        "/api/auth/email/confirm": codec.issue_change(UUID(user["id"]), 0, now, email=email, replaces=replaces),
    }


@dataclass
class Fuzzed:
    """How many requests were sent, what failed, and which statuses each operation gave."""

    sent: int = 0
    failures: list[str] = field(default_factory=list)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)


def fuzz(
    url: str,
    cases: int,
    *,
    signed_in: bool = True,
    as_page: bool = False,
    only: str = "",
    require_own_path: bool = False,
) -> Fuzzed:
    """Send so many generated requests to each operation, each as somebody new: signing out would end it for all."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=SchemathesisConfig())
    found = Fuzzed()
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # an Err raises there, as it should
        if only in operation.path:
            caller = sign_up(url, as_page=as_page)
            if not signed_in:
                caller = caller._replace(headers={})
            fuzz_operation(operation, caller, found, cases, require_own_path=require_own_path)
    return found


def fuzz_operation(operation: Any, caller: Caller, found: Fuzzed, cases: int, *, require_own_path: bool) -> None:
    """Send the requests; every other one names in its path what exists, and each does in its body."""
    statuses = found.statuses[operation.label] = Counter()

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        found.sent += 1
        if require_own_path:
            case.path_parameters["user_id"] = caller.user_id
        _name_what_exists(case, caller.ids, in_path=found.sent % 2 == 1)
        _tell_secrets(case.body, caller.links.get(operation.path))  # no schema can tell them
        if operation.path == PASSKEYS and isinstance(case.body, dict) and caller.headers:
            case.body["credential"] = caller.make_key()
        if operation.path == "/api/auth/refresh" and not (
            isinstance(case.body, dict) and case.body.get("refresh_token")
        ):
            case.body = {"cookie": True}  # nor that one of the two has to be there
        if "{task_id}" in operation.path and isinstance(case.body, dict) and _says_both(case.body):
            del case.body["completed"]  # nor what is stored, which decides if the two contradict each other
        for name in ("cursor", "since"):  # opaque: no schema can tell one that was given
            case.query.pop(name, None)
        statuses[case.call_and_validate(headers=caller.headers).status_code] += 1

    try:
        send()
    except BaseException as error:  # schemathesis raises groups of failures
        print(error)
        found.failures.append(f"{operation.label}: {error!r} {getattr(error, 'exceptions', '')}"[:1500])


def _tell_secrets(sent: Any, link: str | None) -> None:
    """Put the password and what was mailed into a body that has another."""
    bodies = [body for body in (sent, sent.get("proof")) if isinstance(body, dict)] if isinstance(sent, dict) else []
    for body in bodies:
        if body.pop("passkey", None):
            body["current_password"] = ""
        if isinstance(body.get("current_password"), str):
            body["current_password"] = PASSWORD
        if link and isinstance(body.get("token"), str):
            body["token"] = link


def _says_both(body: dict[str, Any]) -> bool:
    return isinstance(body.get("completed"), bool) and body.get("status") in get_args(Status)


def _name_what_exists(case: Any, ids: dict[str, str], *, in_path: bool) -> None:
    """Put ids of the caller's into a request: in the path without a condition, in the body because they must exist."""
    for name in ids.keys() & case.path_parameters.keys() if in_path else ():
        case.path_parameters[name] = ids[name]
        for condition in ("if-match", "if-none-match"):
            case.headers.pop(condition, None)
    for name in ids.keys() & case.body.keys() if isinstance(case.body, dict) else ():
        if UUID_TEXT.fullmatch(str(case.body[name])):
            case.body[name] = ids[name]


def check(found: Fuzzed, *, signed_in: bool = True) -> None:
    """Assert that nothing failed and requests got through: a service that refuses everybody would prove nothing."""
    assert found.failures == []
    for label, statuses in found.statuses.items():
        if "/tasks" in label or label.endswith("/me"):
            assert (401 in statuses) is not signed_in, (label, statuses)
            assert any(status < 300 for status in statuses) is signed_in, (label, statuses)


@pytest.mark.slow
@pytest.mark.nightly  # the landing sends thousands
@pytest.mark.parametrize("signed_in", [True, False])
def test_generated_requests_get_what_the_document_says(two_workers: Server, signed_in: bool) -> None:
    """Clients may rely on the document: a few hundred generated requests get what it says. Source: FR-036, NFR-019."""
    found = fuzz(two_workers.url, 12, signed_in=signed_in)
    print(f"schemathesis, signed in {signed_in}: {found.sent} requests, {len(found.failures)} operations failed")
    check(found, signed_in=signed_in)


@pytest.mark.slow
def test_generated_requests_of_a_page_with_the_cookie_do_too(two_workers: Server) -> None:
    """Pages that keep their token in the cookie may rely on the document. Source: FR-058, NFR-019."""
    found = fuzz(two_workers.url, rounds(40, least=10), as_page=True, only="/api/auth/")
    print(f"schemathesis, with the cookie: {found.sent} requests, {len(found.failures)} operations failed")
    check(found)
    assert found.statuses["POST /api/auth/refresh"][200]


@pytest.mark.slow
def test_thousands_of_generated_requests_get_what_the_document_says(two_workers: Server) -> None:
    """Clients may rely on the document at length: thousands of generated requests get what it says. Source: NFR-019."""
    total = 0
    for signed_in in (True, False):
        found = fuzz(two_workers.url, CASES, signed_in=signed_in)
        total += found.sent
        check(found, signed_in=signed_in)
    print(f"schemathesis: {total} requests, 0 operations failed")
    assert total >= 20 * CASES


@pytest.mark.slow
@pytest.mark.parametrize("contracts", ["v1,path", "path-enveloped"])
def test_the_other_shapes_hold_their_documents_too(database_url: str, tmp_path: Path, contracts: str) -> None:
    """Clients of the other contracts may rely on their documents, under one's own path and any other.

    Source: NFR-019.
    """
    with serving(tmp_path, DATABASE_URL=database_url, API_CONTRACTS=contracts) as server:
        own = fuzz(server.url, 8, only="{user_id}", require_own_path=True)
        any_path = fuzz(server.url, 4, only="{user_id}")
    print(f"schemathesis, {contracts}: {own.sent + any_path.sent} requests, 0 operations failed")
    check(own)
    assert any_path.failures == []
