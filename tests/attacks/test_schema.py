"""The OpenAPI document, held against the service by Schemathesis: every check, generated requests."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig

from tests.support import PASSWORD, Server, new_email, serving


@pytest.fixture(scope="module")
def token(two_workers: Server) -> str:
    body = {"email": f"schema-{two_workers.process.pid}@example.test", "password": "a long password"}
    answer = httpx.post(f"{two_workers.url}/api/auth/signup", json=body)
    found: str = answer.json()["access_token"]
    return found


def fuzz(url: str, headers: dict[str, str], cases: int, *, only: str = "", user_id: str = "") -> tuple[int, list[str]]:
    """Send so many generated requests to each operation; give their number and what failed."""
    config = SchemathesisConfig()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    sent = 0
    failures: list[str] = []
    for result in schema.get_all_operations():
        if only not in result.ok().path:  # type: ignore[union-attr]  # as below
            continue
        operation = result.ok()  # type: ignore[union-attr]  # an Err raises there, as it should

        @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
            if user_id:
                case.path_parameters["user_id"] = user_id
            case.query.pop("cursor", None)  # opaque: no schema can tell a cursor that this list gave
            case.call_and_validate(headers=headers)

        try:
            send()
        except BaseException as error:  # schemathesis raises groups of failures
            print(error)
            failures.append(f"{operation.label}: {error!r} {getattr(error, 'exceptions', '')}"[:1500])
    return sent, failures


@pytest.mark.parametrize("signed_in", [True, False])
def test_generated_requests_get_what_the_document_says(two_workers: Server, token: str, signed_in: bool) -> None:
    """NFR-019, FR-036: a few hundred in the ordinary suite."""
    headers = {"Authorization": f"Bearer {token}"} if signed_in else {}
    sent, failures = fuzz(two_workers.url, headers, 12)
    print(f"schemathesis, signed in {signed_in}: {sent} requests, {len(failures)} operations failed")
    assert failures == []


@pytest.mark.slow
def test_ten_thousand_generated_requests_get_what_the_document_says(two_workers: Server, token: str) -> None:
    """The same, at length."""
    total = 0
    failed: list[str] = []
    for headers in ({"Authorization": f"Bearer {token}"}, {}):
        sent, failures = fuzz(two_workers.url, headers, 420)
        total, failed = total + sent, failed + failures
    print(f"schemathesis: {total} requests, {len(failed)} operations failed")
    assert failed == []
    assert total >= 8_000


@pytest.mark.parametrize("contracts", ["v1,path", "path-enveloped"])
def test_the_other_shapes_hold_their_documents_too(database_url: str, tmp_path: Path, contracts: str) -> None:
    """Under one's own path, and under any other."""
    with serving(tmp_path, DATABASE_URL=database_url, API_CONTRACTS=contracts) as server:
        body = {"email": new_email(), "password": PASSWORD}
        signed_up = httpx.post(f"{server.url}/api/auth/signup", json=body).json()
        headers = {"Authorization": f"Bearer {signed_up['access_token']}"}
        own, failed = fuzz(server.url, headers, 8, only="{user_id}", user_id=signed_up["user"]["id"])
        any_path, more = fuzz(server.url, headers, 4, only="{user_id}")
    print(f"schemathesis, {contracts}: {own + any_path} requests, {len(failed + more)} operations failed")
    assert failed + more == []
