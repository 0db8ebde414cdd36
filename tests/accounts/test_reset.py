"""A new password by a link that an operator has made."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from jose import JWTError, jwt

from app.accounts.common_passwords import is_common
from app.auth.tokens import TokenCodec
from app.core.database.pool import DatabaseUnavailable
from tests.accounts.conftest import Run
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person
from tests.support.server import Service, app_of
from tests.support.settings import SECRET

NEW = "another battery staple 5"


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command where there are two pages."""
    monkeypatch.setenv("FRONTEND_URL", "https://app.example.com/,https://other.example.com")
    return run


async def reset(client: httpx.AsyncClient, token: str, new: str = NEW) -> httpx.Response:
    return await client.post("/api/auth/reset", json={"token": token, "new_password": new})


def token_for(person: Person, version: int = 0) -> str:
    """Make the token of a link, as the command does."""
    auth = app_of(person.client).state.auth
    made: str = auth.tokens.issue_reset(UUID(person.user["id"]), version, auth.clock())
    return made


async def can_sign_in(person: Person, password: str) -> bool:
    body = {"email": person.email, "password": password}
    return (await person.client.post("/api/auth/signin", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("origins", "page"),
    [
        ("", "http://localhost:3000"),
        ("capacitor://localhost,https://app.example.com:443", "https://app.example.com"),
    ],
)
async def test_a_link_leads_to_the_first_page(
    own_client: httpx.AsyncClient, run: Run, monkeypatch: pytest.MonkeyPatch, origins: str, page: str
) -> None:
    """Who is given it opens it in a browser: where the example is served in development, never in an app's scheme."""
    monkeypatch.setenv("FRONTEND_URL", origins)
    ada = await Person.sign_up(own_client)
    link, token = (await asyncio.to_thread(run, "reset", ada.email)).splitlines()
    assert link == f"{page}/reset#token={token}"


async def test_an_operators_link_gives_a_new_password(own_client: httpx.AsyncClient, run: Run) -> None:
    """Whoever forgot the password gets in again by a link, and whoever was signed in is out. Source: FR-056."""
    ada, bob = await Person.sign_up(own_client), await Person.sign_up(own_client)
    link, token = (await asyncio.to_thread(run, "reset", f" {ada.email.upper()}")).splitlines()
    assert link == f"https://app.example.com/reset#token={token}"
    assert (await ada.get("/api/tasks")).status_code == 200, "the link itself changes nothing"
    answer = await reset(own_client, token)
    assert (answer.status_code, list(answer.json())) == (200, ["detail"])
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await ada.refresh()).status_code == 401
    assert not await can_sign_in(ada, PASSWORD)
    assert await can_sign_in(ada, NEW)
    assert await can_sign_in(bob, PASSWORD)
    second = await reset(own_client, token, PASSWORD)
    assert (second.status_code, second.json()["code"]) == (401, "INVALID_TOKEN")
    assert await can_sign_in(ada, NEW)


async def test_no_link_for_an_account_that_is_not_there_or_closed(own_client: httpx.AsyncClient, run: Run) -> None:
    """An operator who makes a link that cannot work is told why. Source: FR-056."""
    ada = await Person.sign_up(own_client)
    with pytest.raises(SystemExit, match="There is no account"):
        await asyncio.to_thread(run, "reset", "nobody@example.test")
    await asyncio.to_thread(run, "deactivate", ada.email)
    with pytest.raises(SystemExit, match="activate it first"):
        await asyncio.to_thread(run, "reset", ada.email)


async def change_password(ada: Person) -> None:
    body = {"current_password": PASSWORD, "new_password": PASSWORD}
    assert (await ada.send("POST", "/api/auth/password", json=body)).status_code == 200


async def use_another_link(ada: Person) -> None:
    assert (await reset(ada.client, token_for(ada), PASSWORD)).status_code == 200


async def sign_out_everywhere(ada: Person) -> None:
    assert (await ada.send("POST", "/api/auth/signout", json={"everywhere": True})).status_code == 200


@pytest.mark.parametrize("what", [change_password, use_another_link, sign_out_everywhere])
async def test_a_link_dies_with_whatever_ends_every_session(ada: Person, what: Any) -> None:
    """An older link is no way back in for whoever has it."""
    token = token_for(ada)
    await what(ada)
    assert (await reset(ada.client, token)).status_code == 401
    assert await can_sign_in(ada, PASSWORD)


async def test_a_link_dies_with_the_account(ada: Person, bob: Person, connection: psycopg.Connection) -> None:
    """A closed account cannot be opened by a link, nor a deleted one."""
    tokens = [token_for(ada), token_for(bob)]
    connection.execute("UPDATE user_state SET is_active = false WHERE user_id = %s", [ada.user["id"]])
    connection.execute("DELETE FROM users WHERE id = %s", [bob.user["id"]])
    answers = [await reset(ada.client, token) for token in tokens]
    assert [answer.status_code for answer in answers] == [401, 401]
    connection.execute("UPDATE user_state SET is_active = true WHERE user_id = %s", [ada.user["id"]])
    assert await can_sign_in(ada, PASSWORD)


async def test_a_link_is_good_for_an_hour(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """A link that lies around is soon worthless."""
    clock.moment = clock.moment.replace(microsecond=0)
    ada = await Person.sign_up(clocked)
    token = token_for(ada)
    clock.advance(minutes=59, seconds=59.9)
    good = token_for(ada, version=7)
    clock.advance(seconds=0.1)
    assert (await reset(clocked, token)).status_code == 401
    assert (await reset(clocked, good)).status_code == 401
    clock.advance(seconds=-1)
    assert (await reset(clocked, token)).status_code == 200


async def test_a_link_is_good_for_nothing_else(client: httpx.AsyncClient, ada: Person) -> None:
    """Neither this service nor another one with its secret takes a link's token for one that signs in.

    Libraries that are told of no audience refuse it by that.
    """
    token = token_for(ada)
    as_bearer = Person(client, ada.email, access_token=token, refresh_token=token)
    assert (await as_bearer.get("/api/auth/me")).status_code == 401
    assert (await as_bearer.refresh()).status_code == 401
    assert (await as_bearer.send("POST", "/api/auth/signout", json={"everywhere": True})).status_code == 401
    assert (await client.post("/api/auth/signout", json={"refresh_token": token})).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": token}
    assert (await client.post("/api/auth/token", data=form)).json()["error"] == "invalid_grant"
    with pytest.raises(JWTError, match="audience"):
        jwt.decode(token, SECRET, ["HS256"])
    assert jwt.get_unverified_header(token)["typ"] == "pr+jwt"
    assert (await ada.get("/api/auth/me")).status_code == 200


def signed(claims: dict[str, Any], header: dict[str, Any]) -> str:
    made: str = jwt.encode(claims, SECRET, "HS256", header)
    return made


async def test_nothing_else_resets_a_password(ada: Person) -> None:
    """Only the token of a link sets a password: no other token, nor one that was changed."""
    token = token_for(ada)
    claims, header = jwt.get_unverified_claims(token), jwt.get_unverified_header(token)
    stranger = TokenCodec("another secret of 32 characters!", None, access_seconds=900, refresh_seconds=900)
    others = {
        "none": "",
        "nonsense": "a.b.c",
        "access": ada.access_token,
        "refresh": ada.refresh_token,
        "unsigned": f"{token.rpartition('.')[0]}.",
        "cut": token[:-1],
        "of another service": stranger.issue_reset(UUID(ada.user["id"]), 0, app_of(ada.client).state.auth.clock()),
        "of another version": token_for(ada, 1),
        "for a longer time": signed({**claims, "exp": claims["iat"] + 3601}, header),
        "for another use": signed({**claims, "aud": "another"}, header),
        "for any use": signed({name: value for name, value in claims.items() if name != "aud"}, header),
        "of another type": signed({**claims, "type": "refresh"}, header),
    }
    for what, other in others.items():
        answer = await reset(ada.client, other)
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN"), what
    assert await can_sign_in(ada, PASSWORD)
    assert (await reset(ada.client, signed(claims, header))).status_code == 200, "what was changed is what is refused"


async def test_a_hash_is_made_for_every_genuine_token(
    service: Service, monkeypatch: pytest.MonkeyPatch, connection: psycopg.Connection
) -> None:
    """The time of an answer tells nothing of the account, and a forged token costs no hash."""
    async with service(common_passwords="refuse") as client:
        ada, gone = await Person.sign_up(client), await Person.sign_up(client)
        tokens = {"used": token_for(ada, 3), "of nobody": token_for(gone), "forged": "a.b.c", "good": token_for(ada)}
        connection.execute("DELETE FROM users WHERE id = %s", [gone.user["id"]])
        hasher, hashed = app_of(client).state.auth.passwords, []
        hash_password = hasher.hash

        async def count(password: str, **options: Any) -> str:
            hashed.append(password)
            made: str = await hash_password(password, **options)
            return made

        monkeypatch.setattr(hasher, "hash", count)
        statuses = {what: (await reset(client, token)).status_code for what, token in tokens.items()}
    assert statuses == {"used": 401, "of nobody": 401, "forged": 401, "good": 200}
    assert len(hashed) == 3


async def test_a_reset_password_is_held_to_the_rules_of_signing_up(service: Service) -> None:
    """A password that is too short, or common where that is refused, is not set, and the link stays good.

    Source: FR-003.
    """
    async with service(common_passwords="refuse") as client:
        ada = await Person.sign_up(client)
        token = token_for(ada)
        for new in ("seven77", "Password123", ada.email):
            answer = await reset(client, token, new)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "new_password")
        assert is_common("Password123", ada.email)
        assert (await reset(client, token)).status_code == 200


@pytest.mark.parametrize("body", [{}, {"token": "x"}, {"new_password": NEW}, {"token": 5, "new_password": NEW}, []])
async def test_a_body_without_both_is_the_clients_error(client: httpx.AsyncClient, body: object) -> None:
    """A reset without a token or a password is 422. Source: FR-029."""
    assert (await client.post("/api/auth/reset", json=body)).status_code == 422


async def test_uses_of_one_users_links_are_limited(
    service: Service, clock: FrozenClock, connection: psycopg.Connection
) -> None:
    """An old link cannot be used to keep the machine hashing, and stops neither a change nor other users' links.

    A success clears the count. Source: NFR-005.
    """
    connection.execute("TRUNCATE rate_limit_counters")
    async with service(clock=clock, rate_limits="on", rate_limit_signin_account="3/15minutes") as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        old = token_for(ada, 9)
        for version in range(2):
            assert [(await reset(client, old)).status_code for _ in range(2)] == [401, 401]
            assert (await reset(client, token_for(ada, version), PASSWORD)).status_code == 200
        assert [(await reset(client, old)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert (await reset(client, token_for(ada, 2))).status_code == 429
        await change_password(await ada.sign_in())
        assert (await reset(client, token_for(bob))).status_code == 200
        clock.advance(minutes=15)
        assert (await reset(client, token_for(ada, 3))).status_code == 200


async def test_of_two_uses_at_once_one_wins(ada: Person) -> None:
    """A link that is used twice in one moment sets one password."""
    token = token_for(ada)
    answers = await asyncio.gather(*(reset(ada.client, token, f"{NEW} {n}") for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert await can_sign_in(ada, f"{NEW} {winner}")


async def test_a_reset_is_an_event_and_is_done_whatever_fails_then(
    ada: Person, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator sees a reset in the log, and whoever has used a link is told so. Source: FR-056."""
    caplog.set_level("INFO")

    async def fail(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr("app.core.rate_limits.limiter.NoRateLimiter.clear", fail)
    assert (await reset(ada.client, token_for(ada))).status_code == 200
    monkeypatch.undo()
    assert [r.getMessage() for r in caplog.records if r.name == "audit"][-1] == "password_reset"
    assert await can_sign_in(ada, NEW)


async def test_a_secret_that_was_changed_still_reads_a_link(ada: Person, service: Service) -> None:
    """Changing the secret with the previous one kept does not spoil a link that is on its way."""
    token = token_for(ada)
    async with service(better_auth_secret="x1" + SECRET[2:], better_auth_secret_previous=SECRET) as client:
        assert (await reset(client, token)).status_code == 200
