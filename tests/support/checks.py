"""What every response of every test is held to."""

import re

import httpx

from tests.support.people import PASSWORD
from tests.support.settings import SECRET

DOCUMENTED_STATUSES = {
    *(200, 201, 202, 204, 206, 304, 307, 400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 416, 422, 429, 501, 503),
}
TOKEN = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{40,}")
LEAKS = re.compile(r'Traceback|\.py"|psycopg|sqlalchemy|\$2b\$|bcrypt|SELECT |INSERT |UPDATE ', re.IGNORECASE)


MOMENT = re.compile(r'"(?:\w+_at|timestamp)": ?"([^"]*)"')
SIX_DIGITS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def check_moments(text: str) -> int:
    """Check that every time in JSON has the one form that strict parsers read, and return how many there are."""
    found = MOMENT.findall(text)
    assert all(map(SIX_DIGITS.fullmatch, found)), found
    return len(found)


async def check_every_response(response: httpx.Response) -> None:
    """Hold a response to what the API promises of all of them."""
    await response.aread()
    assert PASSWORD not in response.text
    assert SECRET not in response.text
    check_moments(response.text)
    assert response.status_code in DOCUMENTED_STATUSES, (response.status_code, response.text)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]
    assert "Origin" in response.headers["vary"]
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    if response.status_code == 405:
        assert response.headers["allow"]
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    if response.status_code == 204:
        assert response.content == b""
    if response.status_code >= 400:
        _check_error(response)


def _check_error(response: httpx.Response) -> None:
    if response.request.method == "HEAD":
        return
    body = response.json()
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert body["status"] == response.status_code
    assert body["code"].isupper()
    assert body["request_id"] == response.headers["x-request-id"]
    assert not LEAKS.search(response.text), response.text
