"""The refresh token in a cookie: who gets it, who may use it, and what removes it."""

from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import httpx
import psycopg
import pytest

from app.core.clock import system_clock
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service

PAGE = {"Origin": "http://localhost:3000"}
NAME = "__Host-refresh"
KEY = "k" * 22


def cookies_set(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    """Return value and attributes of each cookie that an answer sets."""
    cookies = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        cookies.load(line)
    return {
        name: {"value": c.value, **{key: value for key, value in c.items() if value}} for name, c in cookies.items()
    }


def token_in(answer: httpx.Response) -> str:
    token: str = cookies_set(answer)[NAME]["value"]
    return token


def is_removed(answer: httpx.Response) -> bool:
    return "Max-Age=0" in answer.headers.get("set-cookie", "")


async def post(
    client: httpx.AsyncClient, path: str, body: Any = None, *, cookie: str | None = None, **headers: str
) -> httpx.Response:
    """Send a request as a page of FRONTEND_URL does, without the client's own cookies."""
    client.cookies.clear()
    sent = {**PAGE, **({"Cookie": f"{NAME}={cookie}"} if cookie else {}), **headers}
    return await client.post(f"/api/auth/{path}", json=body, headers=sent)


async def sign_up(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    answer = await post(client, "signup", {"email": new_email(), "password": PASSWORD, "cookie": True, **body})
    assert answer.status_code == 201, answer.text
    return answer


async def test_each_way_of_signing_in_can_put_the_token_into_a_cookie(client: httpx.AsyncClient, ada: Person) -> None:
    """A page that asks for the cookie finds no refresh token in the body, and its browser keeps one. Source: FR-058."""
    account = {"email": ada.email, "password": ada.password, "cookie": True}
    answers = [await sign_up(client), await post(client, "signin", account)]
    answers.append(await post(client, "refresh", {"refresh_token": ada.refresh_token, "cookie": True}))
    answers.append(await post(client, "refresh", {}, cookie=token_in(answers[1])))
    change = {"current_password": ada.password, "new_password": "another password", "cookie": True}
    bearer = f"Bearer {answers[3].json()['access_token']}"
    answers.append(await post(client, "password", change, Authorization=bearer))
    for answer in answers:
        assert answer.is_success, answer.text
        assert answer.json().keys() - {"user"} == {"access_token", "token_type", "expires_in"}
        value, rest = answer.headers["set-cookie"].split(";", 1)
        assert value.startswith(f"{NAME}=ey")
        assert value.partition("=")[2] not in answer.text
        assert {part.strip() for part in rest.split(";")} == {
            *("Path=/", "HttpOnly", "Secure", "SameSite=Strict", "Max-Age=604800"),
        }
    assert (await post(client, "refresh", cookie=token_in(answers[4]))).status_code == 200


async def test_who_asks_for_no_cookie_gets_none(client: httpx.AsyncClient, ada: Person) -> None:
    """Every other client sees what it saw before there was a cookie."""
    account = {"email": ada.email, "password": ada.password, "cookie": False}
    for answer in (
        await post(client, "signin", account),
        await post(client, "refresh", {"refresh_token": ada.refresh_token}),
        await post(client, "signout", {"refresh_token": ada.refresh_token}),
    ):
        assert answer.is_success
        assert "set-cookie" not in answer.headers
    assert (await post(client, "signin", account)).json()["refresh_token"]


async def test_a_page_refreshes_and_signs_out_by_the_cookie(client: httpx.AsyncClient) -> None:
    """Each token in the cookie is good for one use, and signing out ends the session and removes the cookie."""
    tokens = [token_in(await sign_up(client))]
    for body in (None, {}, {"cookie": True}):
        answer = await post(client, "refresh", body, cookie=tokens[-1])
        assert answer.status_code == 200, answer.text
        tokens.append(token_in(answer))
    assert len(set(tokens)) == 4
    answer = await post(client, "signout", cookie=tokens[-1])
    assert (answer.status_code, answer.json()) == (200, {"detail": "Signed out."})
    assert cookies_set(answer)[NAME]["value"] == ""
    assert "Max-Age=0; Path=/; SameSite=Strict; Secure" in answer.headers["set-cookie"]
    assert (await post(client, "refresh", cookie=tokens[-1])).status_code == 401


@pytest.mark.parametrize(
    ("body", "removed"),
    [({"everywhere": True}, True), ({"others": True}, False), ({"everywhere": True, "others": True}, True)],
)
async def test_the_cookie_of_a_session_that_goes_on_stays(
    client: httpx.AsyncClient, body: dict[str, bool], removed: bool
) -> None:
    """Ending the other sessions keeps this one's cookie, and it is good."""
    token = token_in(await sign_up(client))
    answer = await post(client, "signout", body, cookie=token)
    assert answer.status_code == 200
    assert is_removed(answer) == removed
    assert (await post(client, "refresh", cookie=token)).status_code == (401 if removed else 200)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.test", "http://localhost:3000.evil.test", "http://localhost:3002", "https://localhost:3000"),
        *("http://api.test", "https://api.test:8443", "null", "", "HTTP://LOCALHOST:3000", "http://localhost:3000/"),
    ],
)
@pytest.mark.parametrize("path", ["refresh", "signout"])
async def test_a_page_of_another_origin_cannot_use_the_cookie(
    client: httpx.AsyncClient, path: str, origin: str
) -> None:
    """A form or a fetch from elsewhere, even of the same site, changes nothing, and nothing is used up."""
    token = token_in(await sign_up(client))
    answer = await post(client, path, cookie=token, Origin=origin)
    assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_REFUSED")
    assert "set-cookie" not in answer.headers
    assert (await post(client, "refresh", cookie=token)).status_code == 200


@pytest.mark.parametrize("path", ["refresh", "signout"])
async def test_a_request_without_one_origin_cannot_use_the_cookie(client: httpx.AsyncClient, path: str) -> None:
    """What is no page has no business with the cookie; two origins are none."""
    token = token_in(await sign_up(client))
    client.cookies.clear()
    for origins in ([], ["http://localhost:3000"] * 2):
        headers = [("Cookie", f"{NAME}={token}"), *(("Origin", origin) for origin in origins)]
        answer = await client.post(f"/api/auth/{path}", json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_REFUSED")
    assert (await post(client, "refresh", cookie=token)).status_code == 200


async def test_the_services_own_pages_may_use_the_cookie(client: httpx.AsyncClient) -> None:
    """Swagger UI, and a page behind the same proxy, need no FRONTEND_URL."""
    token = token_in(await sign_up(client))
    answer = await post(client, "refresh", cookie=token, Origin="https://api.test")
    assert answer.status_code == 200
    named = {"Origin": "https://api.test", "Host": "API.test:443"}  # as some proxies write it
    assert (await post(client, "refresh", cookie=token_in(answer), **named)).status_code == 200


@pytest.mark.parametrize("path", ["signup", "signin", "refresh", "password"])
async def test_a_page_of_another_origin_signs_nobody_in(client: httpx.AsyncClient, ada: Person, path: str) -> None:
    """Nobody finds themselves in an attacker's account: a foreign page gets no cookie set, and nothing is done."""
    body: dict[str, Any] = {
        "signup": {"email": new_email(), "password": PASSWORD},
        "signin": {"email": ada.email, "password": ada.password},
        "refresh": {"refresh_token": ada.refresh_token},
        "password": {"current_password": ada.password, "new_password": "another password"},
    }[path]
    bearer = ada.bearer["Authorization"]
    answer = await post(client, path, {**body, "cookie": True}, Origin="https://evil.test", Authorization=bearer)
    assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_REFUSED")
    assert "set-cookie" not in answer.headers
    assert (await post(client, path, {**body, "cookie": True}, Authorization=bearer)).is_success


async def test_a_program_may_have_the_cookie(client: httpx.AsyncClient, ada: Person) -> None:
    """A program names no origin: a server that renders pages passes the cookie on to its browser."""
    client.cookies.clear()
    body = {"email": ada.email, "password": ada.password, "cookie": True}
    assert token_in(await client.post("/api/auth/signin", json=body))


async def test_reuse_removes_the_cookie_and_ends_the_session(client: httpx.AsyncClient) -> None:
    """Whoever presents a used token in a cookie is signed out, here and at the server."""
    first = token_in(await sign_up(client))
    second = token_in(await post(client, "refresh", cookie=first))
    reused = await post(client, "refresh", cookie=first)
    assert (reused.status_code, is_removed(reused)) == (401, True)
    assert (await post(client, "refresh", cookie=second)).status_code == 401


async def test_a_lost_answer_can_be_asked_for_again(client: httpx.AsyncClient) -> None:
    """With the key that lies in localStorage the same cookie is set again. Source: FR-051."""
    first = token_in(await sign_up(client))
    lost = await post(client, "refresh", cookie=first, **{"Idempotency-Key": KEY})
    again = await post(client, "refresh", cookie=first, **{"Idempotency-Key": KEY})
    assert token_in(lost) == token_in(again)


async def test_a_late_duplicate_leaves_the_newer_cookie(client: httpx.AsyncClient) -> None:
    """The browser has a newer token when the answer to a late request arrives: it must not be removed."""
    first = token_in(await sign_up(client))
    second = token_in(await post(client, "refresh", cookie=first, **{"Idempotency-Key": KEY}))
    third = token_in(await post(client, "refresh", cookie=second, **{"Idempotency-Key": KEY}))
    late = await post(client, "refresh", cookie=first, **{"Idempotency-Key": KEY})
    assert (late.status_code, late.json()["code"]) == (401, "INVALID_TOKEN")
    assert "set-cookie" not in late.headers
    assert (await post(client, "refresh", cookie=third)).status_code == 200


async def test_an_expired_token_removes_the_cookie(service: Service) -> None:
    """A browser that kept the cookie too long loses it, and signing out with it is no error."""
    days = 0.0

    def clock() -> Any:
        return system_clock() + timedelta(days=days)

    async with service(clock=clock) as client:
        token = token_in(await sign_up(client))
        days = 7.1
        answer = await post(client, "refresh", cookie=token)
        assert (answer.status_code, is_removed(answer)) == (401, True)
        assert (await post(client, "signout", cookie=token)).status_code == 200


async def test_a_token_in_the_body_goes_before_the_cookie(client: httpx.AsyncClient, ada: Person) -> None:
    """A client that sends its token in the body is none of the cookie's business, whatever its origin."""
    token = token_in(await sign_up(client))
    for wrong, status in ((ada.refresh_token, 200), ("x.y.z", 401)):
        answer = await post(client, "refresh", {"refresh_token": wrong}, cookie=token, Origin="https://evil.test")
        assert answer.status_code == status
        assert "set-cookie" not in answer.headers
    answer = await post(client, "signout", {"refresh_token": ada.refresh_token}, cookie=token)
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert (await post(client, "refresh", cookie=token)).status_code == 200


async def test_without_a_token_anywhere(client: httpx.AsyncClient) -> None:
    """A program is told of the field that is missing, a page that it is signed out."""
    for body in (None, {}, {"refresh_token": None}):
        answer = await post(client, "refresh", body)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "refresh_token", "message": "is required", "code": "missing"}]
    for path, wanted in (("refresh", {"cookie": True}), ("signout", None)):
        answer = await post(client, path, wanted)
        assert (answer.status_code, answer.json()["code"]) == (401, "NOT_AUTHENTICATED")


async def test_two_cookies_of_the_name_are_no_token(client: httpx.AsyncClient) -> None:
    """A neighbouring host that adds its own cookie cannot move somebody into another session."""
    mine, theirs = token_in(await sign_up(client)), token_in(await sign_up(client))
    for both in (f"{mine}; {NAME}={theirs}", f"{theirs}; {NAME}={mine}"):
        assert (await post(client, "refresh", cookie=both)).status_code == 401
        assert (await post(client, "signout", cookie=both)).status_code == 401
    assert (
        await post(client, "refresh", cookie=f"{mine}; other={theirs}; __Host-refresh-svc={theirs}")
    ).status_code == 200


async def test_no_other_route_looks_at_the_cookie(client: httpx.AsyncClient) -> None:
    """The cookie opens nothing but the next pair of tokens."""
    token = token_in(await sign_up(client))
    client.cookies.clear()
    headers = {**PAGE, "Cookie": f"{NAME}={token}"}
    for method, path in (("GET", "/api/tasks"), ("GET", "/api/auth/me"), ("GET", "/api/auth/sessions")):
        assert (await client.request(method, path, headers=headers)).status_code == 401
    form = {"grant_type": "refresh_token"}
    assert (await client.post("/api/auth/token", data=form, headers=headers)).status_code == 400
    assert (await post(client, "refresh", cookie=token)).status_code == 200


@pytest.mark.parametrize("path", ["signup", "signin", "refresh"])
async def test_it_can_be_off(service: Service, path: str) -> None:
    """With REFRESH_COOKIE=off nobody gets a cookie, and one that is sent is not looked at."""
    async with service(refresh_cookie="off") as client:
        person = await Person.sign_up(client)
        body = {
            "signup": {"email": new_email(), "password": PASSWORD},
            "signin": {"email": person.email, "password": PASSWORD},
            "refresh": {"refresh_token": person.refresh_token},
        }[path]
        refused = await post(client, path, {**body, "cookie": True})
        assert refused.status_code == 422
        assert [e["field"] for e in refused.json()["errors"]] == ["cookie"]
        assert (await post(client, path, body)).is_success
        assert (await post(client, "refresh", cookie=person.refresh_token)).status_code == 422
        assert (await post(client, "signout", cookie=person.refresh_token)).status_code == 401


@pytest.mark.parametrize(
    ("environment", "host", "name"),
    [
        ("development", "localhost:8000", "refresh-local"),
        ("development", "127.0.0.1", "refresh-local"),
        ("development", "api.example.com", NAME),
        ("development", "localhost.example.com", NAME),
        ("production", "localhost:8000", NAME),
    ],
)
async def test_only_localhost_in_development_does_without_https(
    service: Service, environment: str, host: str, name: str
) -> None:
    """A page at http://localhost works in every browser; everywhere else the cookie goes over https alone."""
    async with service(environment=environment, password_hash_cost=12, frontend_url=(PAGE["Origin"],)) as client:
        answer = await client.post(
            "/api/auth/signup",
            json={"email": new_email(), "password": PASSWORD, "cookie": True},
            headers={**PAGE, "Host": host},
        )
        assert answer.status_code == 201, answer.text
        assert ("; Secure" in answer.headers["set-cookie"]) == (name == NAME)
        token = cookies_set(answer)[name]["value"]
        client.cookies.clear()
        own = f"http://{host}" if name == "refresh-local" else f"https://{host}"
        headers = {"Host": host, "Origin": own, "Cookie": f"{name}={token}"}
        assert (await client.post("/api/auth/refresh", json={}, headers=headers)).status_code == 200


async def test_nothing_of_the_cookie_is_kept(
    client: httpx.AsyncClient, connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """The token is neither in the log nor in the database."""
    caplog.set_level("DEBUG")
    token = token_in(await sign_up(client))
    await post(client, "refresh", cookie=token)
    assert token not in caplog.text
    assert connection.execute(
        "SELECT count(*) FROM token_denylist d WHERE d::text LIKE %s", [f"%{token}%"]
    ).fetchone() == (0,)


@pytest.mark.parametrize(
    ("below", "host", "name"),
    [
        ("/svc", "api.test", "__Host-refresh-svc"),
        ("/to-do/v2", "api.test", "__Host-refresh-to-do-v2"),
        ("/svc", "localhost", "refresh-local-svc"),
    ],
)
async def test_services_below_paths_of_one_host_have_a_cookie_each(
    service: Service, below: str, host: str, name: str
) -> None:
    """Two services on one host do not sign each other's people out: both cookies go to both, and each has its name."""
    async with service(root_path=below) as client:
        account = {"email": new_email(), "password": PASSWORD, "cookie": True}
        answer = await post(client, "signup", account, Host=host)
        assert cookies_set(answer)[name]["path"] == "/"
        token = cookies_set(answer)[name]["value"]
        cookie = f"refresh-local=x; {NAME}=x; {name}={token}"
        assert (await post(client, "refresh", Host=host, Cookie=cookie)).status_code == 200


OLD = {"__Secure-refresh": ["Secure"], "refresh": list[str]()}


@pytest.mark.parametrize("name", OLD)
async def test_cookies_of_1_0_are_removed_and_not_read(client: httpx.AsyncClient, ada: Person, name: str) -> None:
    """A neighbour could replace them. Whoever has one signs in once more, and it is gone, whatever else is answered."""
    body = {"refresh_token": ada.refresh_token}
    both = token_in(await sign_up(client))
    for path, sent, cookie, status, removed in (
        ("refresh", {"cookie": True}, "", 401, [name]),
        ("refresh", {}, "", 422, [name]),
        ("signout", {}, "", 401, [name]),
        ("refresh", {}, "x", 401, [NAME, name]),
        ("refresh", {"cookie": True}, both, 200, [NAME, name]),
        ("signout", body, "", 200, [name]),
    ):
        sent_cookies = f"{name}={ada.refresh_token}" + (f"; {NAME}={cookie}" if cookie else "")
        answer = await post(client, path, sent, Cookie=sent_cookies)
        assert answer.status_code == status
        lines = {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}
        assert sorted(lines) == sorted(removed)
        attributes = {part.strip() for part in lines[name].split(";")}
        assert attributes >= {f'{name}=""', "Max-Age=0", "Path=/api/auth", *OLD[name]}
        assert ("Secure" in attributes) == bool(OLD[name])


@pytest.mark.parametrize("path", ["signin", "login"])
async def test_signing_in_ends_the_session_of_the_cookie_that_it_replaces(service: Service, path: str) -> None:
    """A page that signs in again leaves no session behind, but one that is of another account, or that it may not see.

    Source: FR-058, ASVS 5.0 7.2.4.
    """
    async with service(api_contracts="path") as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        account = {"email": ada.email, "password": ada.password, "cookie": True}
        theirs = token_in(await post(client, "signin", {**account, "email": bob.email}))
        mine = token_in(await post(client, path, account, cookie=theirs))
        assert (await post(client, path, {**account, "cookie": False}, cookie=mine)).status_code == 200
        client.cookies.clear()
        as_program = {"Cookie": f"{NAME}={mine}"}
        assert (await client.post(f"/api/auth/{path}", json=account, headers=as_program)).status_code == 200
        mine = token_in(await post(client, "refresh", cookie=mine))
        newest = token_in(await post(client, path, account, cookie=mine))
        assert (await post(client, "refresh", cookie=mine)).status_code == 401
        assert (await post(client, "refresh", cookie=newest)).status_code == 200
        assert (await post(client, "refresh", cookie=theirs)).status_code == 200
