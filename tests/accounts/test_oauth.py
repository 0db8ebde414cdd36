"""The OAuth 2 token endpoint, for client libraries and for Swagger UI's Authorize dialog."""

import httpx
import pytest

from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person
from tests.support.server import Service

TOKEN = "/api/auth/token"


async def test_the_password_grant_signs_in(client: httpx.AsyncClient, ada: Person) -> None:
    """OAuth libraries sign in with an e-mail address and a password (RFC 6749 4.3.2 and 5.1)."""
    form = {
        "grant_type": "password",
        "username": ada.email.upper(),
        "password": PASSWORD,
        "scope": "",
        "client_id": "x",
    }
    answer = await client.post(TOKEN, data=form)
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert (await ada.keep(answer).get("/api/tasks")).status_code == 200


async def test_the_refresh_grant_rotates(client: httpx.AsyncClient, ada: Person) -> None:
    """OAuth libraries refresh, and a token that is used twice ends its session (RFC 6749 6; RFC 9700 4.14.2)."""
    form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
    assert (await client.post(TOKEN, data=form)).status_code == 200
    again = await client.post(TOKEN, data=form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await ada.get("/api/tasks")).status_code == 401


@pytest.mark.measured
@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password", "username": "nobody@example.test", "password": "x"}, "invalid_grant"),
        ({"grant_type": "password", "username": "no address", "password": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "password", "username": "a@b.co"}, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"username": "a@b.co", "password": "x"}, "invalid_grant"),
        ({"username": "a@b.co"}, "invalid_request"),
        ({"password": "x"}, "invalid_request"),
        ({"refresh_token": "x"}, "invalid_request"),
        ({"grant_type": "", "refresh_token": "x"}, "invalid_request"),
        ({}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ],
)
async def test_refusals_are_oauths(client: httpx.AsyncClient, form: dict[str, str], error: str) -> None:
    """OAuth libraries find the error where they look for it, beside the members of all our errors (RFC 6749 5.2)."""
    answer = await client.post(TOKEN, data=form)
    assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (400, error, error.upper())


@pytest.mark.parametrize("grant_type", [{}, {"grant_type": ""}])
async def test_a_form_without_a_grant_type_signs_in(
    client: httpx.AsyncClient, ada: Person, grant_type: dict[str, str]
) -> None:
    """Tutorials' frontends send FastAPI's own form, in which it may be left out; no value is none (RFC 6749 3.1)."""
    answer = await client.post(TOKEN, data={**grant_type, "username": ada.email, "password": PASSWORD})
    assert answer.status_code == 200
    assert (await ada.keep(answer).get("/api/tasks")).status_code == 200


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "multipart/form-data; boundary=x", "text/plain", "application/xml", "nonsense", "", None),
        *("application/x-www-form-urlencoded; charset=latin-1", "application/x-www-form-urlencoded-not", "*/*"),
    ],
)
async def test_what_is_no_form_is_an_invalid_request(client: httpx.AsyncClient, media_type: str | None) -> None:
    """Whoever sends JSON reads what to send instead, and a library finds OAuth's own word (RFC 6749 3.2 and 5.2)."""
    headers = {} if media_type is None else {"Content-Type": media_type}
    for body in ('{"grant_type": "password"}', "grant_type=refresh_token&refresh_token=x"):
        answer = await client.post(TOKEN, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (
            *(400, "invalid_request"),
            "INVALID_REQUEST",
        )
        assert "application/x-www-form-urlencoded" in answer.json()["detail"]
    packed = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    answer = await client.post(TOKEN, content=b"x", headers=packed)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_the_document_knows_no_415_of_it(client: httpx.AsyncClient) -> None:
    """Generated clients expect what comes."""
    document = (await client.get("/openapi.json")).json()
    assert document["paths"][TOKEN]["post"]["responses"].keys() == {"200", "400", "413", "429", "500", "503"}
    assert "required" not in document["components"]["schemas"]["TokenForm"]


async def test_a_form_is_not_json(client: httpx.AsyncClient) -> None:
    """Each route reads one media type, so no form on another site can sign anybody in."""
    form = {"email": "a@b.co", "password": PASSWORD}
    assert (await client.post("/api/auth/signin", data=form)).status_code == 415
    plain = {"Content-Type": "text/plain"}
    assert (await client.post("/api/auth/signin", content="{}", headers=plain)).status_code == 415


async def test_a_locked_account_is_429_here_too(service: Service) -> None:
    """Guessing through this endpoint counts like guessing at sign-in. Source: NFR-005."""
    async with service(rate_limits="on", rate_limit_signin_account="1/minute") as client:
        ada = await Person.sign_up(client)
        form = {"grant_type": "password", "username": ada.email, "password": "wrong"}
        assert [(await client.post(TOKEN, data=form)).status_code for _ in range(2)] == [400, 429]


async def test_a_parameter_sent_twice_is_an_invalid_request(client: httpx.AsyncClient, ada: Person) -> None:
    """A parameter that is there twice is refused: two readers could take different ones (RFC 6749 3.2)."""
    form = f"grant_type=refresh_token&refresh_token={ada.refresh_token}&refresh_token={ada.refresh_token}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/api/auth/token", content=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await ada.refresh()).status_code == 200, "nothing was used up"


REVOKE = "/api/auth/revoke"


@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "refresh_token"}, {"token_type_hint": "unheard-of"}])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_a_revoked_token_ends_its_session(
    client: httpx.AsyncClient, ada: Person, kind: str, hint: dict[str, str]
) -> None:
    """An OAuth library signs out by either token, whatever it calls it, as often as it likes (RFC 7009 2.1 and 2.2).

    Source: FR-061.
    """
    other = await ada.sign_in()
    for _ in range(2):
        answer = await client.post(REVOKE, data={"token": getattr(ada, kind), **hint})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await ada.refresh()).status_code == 401
    assert (await other.get("/api/tasks")).status_code == 200


async def test_an_expired_token_is_revoked_too(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """Whoever revokes an access token that has just expired ends the refresh token's life, too."""
    ada = await Person.sign_up(clocked)
    clock.advance(minutes=16)
    assert (await clocked.post(REVOKE, data={"token": ada.access_token})).status_code == 200
    assert (await ada.refresh()).status_code == 401


async def test_what_is_no_token_is_revoked_as_well(client: httpx.AsyncClient, ada: Person, bob: Person) -> None:
    """Nobody learns whether a token was good, and nothing but the session of a good one ends (RFC 7009 2.2)."""
    good = await client.post(REVOKE, data={"token": ada.access_token}, headers=bob.bearer)
    for token in ("x", f"{bob.access_token}x", bob.access_token.swapcase(), "é" * 3000):
        answer = await client.post(REVOKE, data={"token": token}, auth=("client", "secret"))
        assert (answer.status_code, answer.content) == (200, good.content)
    assert (await bob.get("/api/tasks")).status_code == 200, "neither the header nor the cookie is looked at"


@pytest.mark.measured
@pytest.mark.parametrize("form", ["", "token=", "token_type_hint=access_token", "token=a&token=b", "toke%6e"])
async def test_a_revocation_without_a_token_is_an_invalid_request(client: httpx.AsyncClient, form: str) -> None:
    """A library finds OAuth's own word, and a person reads what to send (RFC 7009 2.2.1)."""
    for media_type in ("application/x-www-form-urlencoded", "application/json"):
        answer = await client.post(REVOKE, content=form, headers={"Content-Type": media_type})
        assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (
            *(400, "invalid_request"),
            "INVALID_REQUEST",
        )
        assert "with the token as token" in answer.json()["detail"]
