"""Limits on guessing: by account, by address, by session; exact, and true about when to come again."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from app.auth.hash_queue import HashingOverloaded, HashQueue
from app.core.rate_limits.database import SLICES
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service, app_of, client_of


@pytest.fixture
def limited(service: Service, clock: FrozenClock, connection: psycopg.Connection) -> Any:
    connection.execute("TRUNCATE rate_limit_counters")

    def start(**overrides: Any) -> Any:
        limits = {"rate_limit_signin_account": "3/15minutes", "rate_limit_signin_address": "1000/15minutes"}
        return service(clock=clock, rate_limits="on", **(limits | overrides))

    return start


async def fail(client: httpx.AsyncClient, email: str, **headers: str) -> httpx.Response:
    body = {"email": email, "password": "wrong password"}
    return await client.post("/api/auth/signin", json=body, headers=headers)


async def right(client: httpx.AsyncClient, email: str) -> int:
    answer = await client.post("/api/auth/signin", json={"email": email, "password": PASSWORD})
    return answer.status_code


def at(client: httpx.AsyncClient, address: str) -> httpx.AsyncClient:
    """Return a client of the same service that calls from another address."""
    return client_of(app_of(client), address)


async def test_an_account_is_locked_after_its_failures_and_opens_in_time(limited: Any, clock: FrozenClock) -> None:
    """A guesser gets so many tries; then the right password waits too, for exactly as long as Retry-After says.

    Source: NFR-005.
    """
    async with limited() as client:
        ada = await Person.sign_up(client)
        assert [(await fail(client, ada.email)).status_code for _ in range(4)] == [401, 401, 401, 429]
        assert await right(client, ada.email) == 429
        clock.advance(seconds=100.5)
        answer = await fail(client, ada.email.upper())
        assert answer.json()["code"] == "TOO_MANY_REQUESTS"
        wait = int(answer.headers["retry-after"])
        assert wait == 800
        clock.advance(seconds=wait - 1)
        assert await right(client, ada.email) == 429
        clock.advance(seconds=0.5)
        assert await right(client, ada.email) == 200


async def test_unknown_emails_are_locked_alike(limited: Any) -> None:
    """The limit does not tell which e-mail addresses have an account."""
    async with limited() as client:
        email = new_email()
        assert [(await fail(client, email)).status_code for _ in range(4)] == [401, 401, 401, 429]


async def test_a_success_clears_the_count(limited: Any) -> None:
    """Somebody who mistypes a password now and then is never locked out."""
    async with limited() as client:
        ada = await Person.sign_up(client)
        for _ in range(3):
            assert [(await fail(client, ada.email)).status_code for _ in range(2)] == [401, 401]
            assert await right(client, ada.email) == 200


async def test_an_address_is_limited_over_all_accounts_and_successes_are_free(limited: Any) -> None:
    """One password cannot be tried on all accounts from one address, and correct sign-ins cost nothing."""
    async with limited(rate_limit_signin_address="5/minute") as client, at(client, "198.51.100.1") as attacker:
        ada = await Person.sign_up(client)
        for _ in range(9):
            assert await right(attacker, ada.email) == 200
        statuses = [(await fail(attacker, new_email())).status_code for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        assert await right(attacker, ada.email) == 429
        assert await right(client, ada.email) == 200


async def test_a_locked_account_does_not_lock_its_office(limited: Any) -> None:
    """Colleagues behind one address can sign in while somebody keeps trying a locked account there."""
    async with limited(rate_limit_signin_address="6/minute") as client, at(client, "198.51.100.2") as office:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        for _ in range(20):
            await fail(office, ada.email)
        assert await right(office, bob.email) == 200


async def test_refused_attempts_at_once_do_not_use_up_the_address(limited: Any) -> None:
    """An attempt that one limit refuses uses up no other limit, not even when many come at once."""
    async with limited(rate_limit_signin_address="6/minute") as client, at(client, "198.51.100.7") as office:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        answers = await asyncio.gather(*(fail(office, ada.email) for _ in range(30)))
        assert sorted(a.status_code for a in answers) == [401] * 3 + [429] * 27
        statuses = [(await fail(office, bob.email)).status_code for _ in range(4)]
        assert statuses == [401] * 3 + [429]


async def test_exactly_so_many_of_many_at_once_pass(limited: Any) -> None:
    """Guessing in parallel gains nothing: an attempt is counted before its password is hashed."""
    async with limited(rate_limit_signin_account="7/minute") as client:
        email = new_email()
        answers = await asyncio.gather(*(fail(client, email) for _ in range(35)))
        assert sorted(a.status_code for a in answers) == [401] * 7 + [429] * 28


async def test_sign_ups_are_limited_by_address(limited: Any) -> None:
    """Nobody makes accounts without end from one address. Source: NFR-005."""
    async with limited(rate_limit_signup_address="2/minute") as client, at(client, "198.51.100.3") as somebody:
        body = [{"email": new_email(), "password": PASSWORD} for _ in range(3)]
        answers = [await somebody.post("/api/auth/signup", json=each) for each in body]
        assert [a.status_code for a in answers] == [201, 201, 429]


async def test_refreshes_are_limited_by_sign_in(limited: Any) -> None:
    """A client caught in a loop is stopped, and its user's other sessions go on. Source: NFR-005."""
    async with limited(rate_limit_refresh_session="2/minute") as client:
        ada = await Person.sign_up(client)
        other = await ada.sign_in()
        for _ in range(2):
            ada.keep(await ada.refresh())
        answer = await ada.refresh()
        assert answer.status_code == 429
        assert (await ada.get("/api/auth/me")).status_code == 200, "a limit is no reuse"
        assert (await other.refresh()).status_code == 200


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(limited: Any) -> None:
    """Nobody escapes a limit by writing X-Forwarded-For: what counts is what a trusted proxy added."""
    overrides = {"rate_limit_signin_address": "2/minute"}
    async with limited(**overrides) as client, at(client, "198.51.100.4") as liar:
        headers = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(4)]
        assert [(await fail(liar, new_email(), **h)).status_code for h in headers] == [401, 401, 429, 429]
    trusted = overrides | {"trusted_proxies": "10.0.0.0/8"}
    async with limited(**trusted) as client, at(client, "10.0.0.1") as proxy:
        one = [{"X-Forwarded-For": f"192.0.2.{n}, 198.51.100.5, 10.0.0.9"} for n in range(3)]
        assert [(await fail(proxy, new_email(), **h)).status_code for h in one] == [401, 401, 429]
        assert (await fail(proxy, new_email(), **{"X-Forwarded-For": "198.51.100.6"})).status_code == 401


@pytest.mark.parametrize("path", ["/api/auth/signin?x=1", "/api/auth/%73ignin"])
async def test_another_spelling_of_the_path_is_the_same_limit(limited: Any, path: str) -> None:
    """A query or an escaped letter in the path is no way around a limit."""
    async with limited() as client:
        email = new_email()
        body = {"email": email, "password": "wrong"}
        statuses = [(await client.post(path, json=body)).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert (await fail(client, email)).status_code == 429


async def test_counters_do_not_pile_up(
    limited: Any, clock: FrozenClock, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator needs no command to delete counters whose window is over: attempts delete them, slice by slice."""
    monkeypatch.setattr("app.core.rate_limits.database.PRUNE_EVERY", 1)
    async with limited() as client:
        for _ in range(SLICES):  # two attempts each: at every address, and of every account
            await fail(client, new_email())
            clock.advance(minutes=16)
    ((left,),) = connection.execute("SELECT count(*) FROM rate_limit_counters").fetchall()
    assert left < SLICES * 3 // 4  # of as many accounts and an address


@pytest.mark.parametrize("path", ["signin", "login", "token", "signin with the cookie", "login with the cookie"])
async def test_a_stranger_cannot_lock_out_a_device_that_has_signed_in_before(
    limited: Any, clock: FrozenClock, path: str
) -> None:
    """Somebody who has signed in here before can do so while a stranger keeps their account locked.

    The device sends a refresh token of the account, which may be used or expired, and has failures of its own.
    """
    async with limited(api_contracts="path") as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        clock.advance(days=8)
        for _ in range(4):
            await fail(client, ada.email)
        assert await right(client, ada.email) == 429

        async def attempt(password: str, refresh_token: str) -> int:
            client.cookies.clear()
            way, _, by_cookie = path.partition(" with ")
            form = {"username": ada.email, "password": password, "refresh_token": refresh_token}
            body = {"email": ada.email, "password": password, "refresh_token": refresh_token}
            page = {"Origin": origin, "Cookie": f"__Host-refresh={refresh_token}"}
            if by_cookie:
                del body["refresh_token"]
                options: dict[str, Any] = {"json": body | {"cookie": True}, "headers": page}
            else:
                options = {"data": form} if way == "token" else {"json": body}
            answer = await client.post(f"/api/auth/{way}", **options)
            status: int = answer.status_code
            return status

        origin, refused = "http://localhost:3000", 400 if path == "token" else 401
        assert await attempt(PASSWORD, bob.refresh_token) == 429, "somebody else's token opens nothing"
        assert await attempt(PASSWORD, "x.y.z") == 429
        assert await attempt(PASSWORD, ada.refresh_token) == 200
        wrong = [await attempt("wrong password", ada.refresh_token) for _ in range(4)]
        assert wrong == [refused, refused, refused, 429]


async def test_ended_sessions_give_no_guesses_of_their_own(limited: Any) -> None:
    """Whoever has the tokens of many ended sessions guesses no more often than with one of them.

    A device that was signed out, by its owner or by a new password, is known all the same.
    """
    async with limited() as client:
        ada = await Person.sign_up(client)
        gone = [await ada.sign_in() for _ in range(3)]
        for person in gone:
            await person.send("POST", "/api/auth/signout")
        for _ in range(4):
            await fail(client, ada.email)

        async def attempt(person: Person, password: str = "wrong password") -> int:
            body = {"email": ada.email, "password": password, "refresh_token": person.refresh_token}
            status: int = (await client.post("/api/auth/signin", json=body)).status_code
            return status

        assert await attempt(gone[0], PASSWORD) == 200
        assert [await attempt(person) for person in (*gone, *gone)] == [401] * 3 + [429] * 3
        assert await attempt(ada, PASSWORD) == 200


async def test_a_device_that_was_away_for_a_year_signs_in(limited: Any, clock: FrozenClock) -> None:
    """A token of a session of which nothing is known any more still says that the device is known."""
    async with limited() as client:
        ada = await Person.sign_up(client)
        clock.advance(days=400)
        for _ in range(4):
            await fail(client, ada.email)
        body = {"email": ada.email, "password": PASSWORD, "refresh_token": ada.refresh_token}
        assert (await client.post("/api/auth/signin", json=body)).status_code == 200


async def test_what_a_full_queue_sheds_is_not_counted(
    limited: Any, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes again as a 503 says is not locked out for it, wherever a password is hashed, by whatever limit."""
    async with limited(
        api_contracts="path", rate_limit_signin_address="3/hour", rate_limit_signup_address="3/hour"
    ) as client:
        ada = await Person.sign_up(client)
        auth = app_of(client).state.auth
        link = auth.tokens.issue_reset(UUID(ada.user["id"]), 0, auth.clock())
        account = {"email": ada.email, "password": PASSWORD}
        form = {"grant_type": "password", "username": ada.email, "password": PASSWORD}
        new = {"new_password": "another battery staple 5"}
        requests: dict[str, dict[str, Any]] = {
            "signup": {"json": {"email": new_email(), "password": PASSWORD}},
            "signin": {"json": account},
            "signin of a device": {"json": account | {"refresh_token": ada.refresh_token}},
            "signin of nobody": {"json": account | {"email": new_email()}},
            "login": {"json": account},
            "token": {"data": form},
            "password": {"json": new | {"current_password": PASSWORD}},
            "me/delete": {"json": {"current_password": PASSWORD}},
            "reset": {"json": new | {"token": link}},
        }

        async def send(name: str) -> int:
            path = f"/api/auth/{name.partition(' ')[0]}"
            status: int = (await ada.send("POST", path, **requests[name])).status_code
            return status

        def counted() -> Any:
            return connection.execute("SELECT sum(count) FROM rate_limit_counters").fetchone()

        before = counted()
        with monkeypatch.context() as patch:
            patch.setattr(HashQueue, "_acquire", shed)
            for name in requests:
                assert [await send(name) for _ in range(5)] == [503] * 5, name
                assert counted() == before, name
        assert [await send(name) for name in ("signin", "signup", "reset")] == [200, 201, 200]


async def test_every_limit_that_is_met_is_an_event(limited: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An operator reads who guesses, at whatever door. Source: FR-048, ASVS 5.0 16.3.3."""
    trail = logging.getLogger("audit")
    async with limited(rate_limit_signup_address="1/hour", rate_limit_signin_account="1/hour") as client:
        trail.addHandler(caplog.handler)
        ada = await Person.sign_up(client)
        auth = app_of(client).state.auth
        link = auth.tokens.issue_reset(UUID(ada.user["id"]), 7, auth.clock())
        wrong, new = "wrong password", "another battery staple 5"
        for _ in range(2):
            await client.post("/api/auth/signup", json={"email": new_email(), "password": PASSWORD})
            await fail(client, ada.email)
            await ada.send("POST", "/api/auth/password", json={"current_password": wrong, "new_password": new})
            await client.post("/api/auth/reset", json={"token": link, "new_password": new})
    trail.removeHandler(caplog.handler)
    met = {record.getMessage(): vars(record) for record in caplog.records if record.name == "audit"}
    for event in ("sign_up_limited", "sign_in_locked", "own_password_limited", "reset_limited"):
        assert (met[event]["actor"], met[event]["address"]) == ("unknown", "203.0.113.7")
    assert str(met["sign_in_locked"]["user_id"]) == ada.user["id"]


async def shed(*_: object) -> None:
    raise HashingOverloaded(retry_after_seconds=5)
