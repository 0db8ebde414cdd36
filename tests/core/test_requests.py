"""What of a request is read at all, and how its parts are read."""

import httpx
import pytest
from starlette.requests import Request

from app.core.http.forms import MAX_FIELDS
from app.core.http.routing import MAX_QUERY_BYTES, StrictRequest
from tests.support.people import Person, new_email
from tests.support.server import Service

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_query_beyond_8_kib_is_422(client: httpx.AsyncClient, ada: Person) -> None:
    """64 KiB of parameters would hold the loop for 40 ms; the longest cursor and search fit into 8."""
    fits = "x=" + "a" * (MAX_QUERY_BYTES - 2)
    assert (await ada.get(f"/api/tasks?{fits}")).status_code == 200
    answer = await ada.get(f"/api/tasks?{fits}a")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "query", "message": "must have at most 8192 characters", "code": "string_too_long"}
    ]
    assert (await client.get(f"/api/tasks?{fits}a")).status_code == 401, "which comes first"
    token = await client.post(f"/api/auth/token?{fits}a", data={"grant_type": "password"})
    assert (token.status_code, token.json()["error"]) == (400, "invalid_request")


async def test_a_longest_cursor_with_everything_else_fits(ada: Person) -> None:
    """It is refused as a cursor, and not as too long."""
    query = {"cursor": "A" * 4000, "q": "😀" * 200, "sort": "created_at", "order": "desc", "limit": "100"}
    answer = await ada.get("/api/tasks", params=query)
    assert [e["field"] for e in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize(
    "body",
    ["&" * 60_000, "%" * 60_000, "a=1&" * MAX_FIELDS, "&".join(f"x{n}=1" for n in range(MAX_FIELDS + 1))],
)
async def test_a_form_that_no_client_sends_is_refused(service: Service, client: httpx.AsyncClient, body: str) -> None:
    """400, as `invalid_request` where OAuth has that word."""
    answer = await client.post("/api/auth/token", content=body, headers=FORM)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    async with service(api_contracts="path") as other:
        answer = await other.post("/api/auth/login", content=body, headers=FORM)
        assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_BODY")


@pytest.mark.parametrize("password", ["100% sure", "%%%%%%%%", "one + two", "grün & blau", "a=b;c=d;e"])
async def test_a_form_is_read_as_it_was_meant(client: httpx.AsyncClient, password: str) -> None:
    """A stray percent sign stands for itself, as in every browser."""
    person = await Person.sign_up(client, password=password)
    form = {"grant_type": "password", "username": person.email, "password": password}
    assert (await client.post("/api/auth/token", data=form)).status_code == 200
    if password.isascii() and "+" not in password and "=" not in password:
        raw = f"grant_type=password&username={person.email}&password={password}"
        assert (await client.post("/api/auth/token", content=raw, headers=FORM)).status_code == 200


async def test_a_long_password_in_a_form_is_a_wrong_one(service: Service) -> None:
    """401 and never 413, as long as the body that was sent is within the limit."""
    async with service(api_contracts="path") as client:
        body = f"username={new_email()}&password={'😀' * 12_000}".encode()
        assert (await client.post("/api/auth/login", content=body, headers=FORM)).status_code == 401


@pytest.mark.parametrize("path", ["/api/auth/signin", "/api/auth/token"])
async def test_a_content_type_that_is_endless_is_refused(client: httpx.AsyncClient, path: str) -> None:
    """One of 64 KiB held the loop for 80 ms."""
    declared = "application/json" if path.endswith("signin") else FORM["Content-Type"]
    short = await client.post(path, content="{}", headers={"Content-Type": declared + "; charset=utf-8"})
    assert short.status_code in (400, 422)
    long = await client.post(path, content="{}", headers={"Content-Type": declared + "; a=b" * 100})
    assert long.status_code == (415 if path.endswith("signin") else 400)


async def test_a_list_of_tags_that_is_endless_matches_nothing(ada: Person) -> None:
    """412 and no 304: whoever sends 1,000 tags has not this version alone."""
    task = await ada.add_task()
    tags = {"If-Match": '"1", ' * 900}
    answer = await ada.send("PATCH", f"/api/tasks/{task['id']}", json={"title": "x"}, headers=tags)
    assert (answer.status_code, answer.json()["code"]) == (412, "NO_VERSION_IN_TAG")
    tags = {"If-None-Match": '"1", ' * 900}
    assert (await ada.get(f"/api/tasks/{task['id']}", headers=tags)).status_code == 200
    assert (await ada.send("DELETE", f"/api/tasks/{task['id']}", headers=tags)).status_code == 412


def test_cookies_are_read_as_sent_and_in_no_time() -> None:
    """Python 3.11.7 takes 7 s to undo the quotes of 64 KiB (CVE-2024-7592)."""

    def cookies(*headers: bytes) -> dict[str, str]:
        scope = {"type": "http", "headers": [(b"cookie", value) for value in headers]}
        request: Request = StrictRequest(scope)
        return request.cookies

    assert cookies() == {}
    assert cookies(b"a=1; b = two ;c;d=e=f", b"g=h") == {"a": "1", "b": "two", "d": "e=f", "g": "h"}
    assert cookies(b"a=\xa01\xa0;\tb\t=\t2 ;\x85c=3") == {"a": "\xa01\xa0", "b": "2", "\x85c": "3"}, "RFC 6265 5.2"
    quoted = b'"' + b'\\"' * 32_000 + b'"'
    assert cookies(b"a=" + quoted) == {"a": quoted.decode()}
    assert len(cookies(b";".join(b"c%d=1" % n for n in range(9000)))) == 200
