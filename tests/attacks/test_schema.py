"""The OpenAPI document, held against the service by Schemathesis: every check, generated requests."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig

from tests.support import Server


@pytest.fixture(scope="module")
def token(two_workers: Server) -> str:
    body = {"email": f"schema-{two_workers.process.pid}@example.test", "password": "a long password"}
    answer = httpx.post(f"{two_workers.url}/api/auth/signup", json=body)
    found: str = answer.json()["access_token"]
    return found


def fuzz(url: str, headers: dict[str, str], cases: int) -> tuple[int, list[str]]:
    """Send so many generated requests to each operation; give their number and what failed."""
    config = SchemathesisConfig()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    sent = 0
    failures: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]  # an Err raises there, as it should

        @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
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
