"""Sessions of 1.0, which kept a row for each used refresh token: they go on, are listed, and end."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from alembic import command
from jose import jwt

from app.auth.tokens import successor_id
from app.core.database.dsn import parse_database_url
from app.operations.migrations import alembic_config, upgrade
from tests.support.clock import FrozenClock
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import SECRET, make_settings

KEY = "0123456789abcdefghijKL"
USED = """INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at, key_hash)
    VALUES (%s, %s, %s, 'used', %s, %s, sha256(%s))"""


class Old:
    """A session of 1.0: its tokens, without numbers, of which all but the last are used."""

    def __init__(self, url: str, person: Person, clock: FrozenClock) -> None:
        self.url, self.person, self.clock = url, person, clock
        self.tokens = [self.forget(person.refresh_token)]

    @property
    def ids(self) -> tuple[str, str]:
        said = jwt.get_unverified_claims(self.person.access_token)
        return said["sid"], said["sub"]

    def sign(self, claims: dict[str, Any]) -> str:
        kind = jwt.get_unverified_header(self.person.refresh_token)
        return jwt.encode(claims, SECRET, "HS256", headers={"typ": kind["typ"], "kid": kind["kid"]})

    def forget(self, token: str) -> str:
        """Return a token as 1.0 would have issued it."""
        new = {"aud", "seq", "auth_time"}
        return self.sign({name: said for name, said in jwt.get_unverified_claims(token).items() if name not in new})

    def refresh(self, key: str | None = None) -> None:
        """Refresh as 1.0 did."""
        used = jwt.get_unverified_claims(self.tokens[-1])
        now = self.clock()
        with psycopg.connect(self.url, autocommit=True) as connection:
            sid, user_id = self.ids
            expires_at = now + timedelta(days=8)
            connection.execute(USED, [used["jti"], sid, user_id, now, expires_at, key.encode() if key else None])
        issued_at = int(now.timestamp())
        times = {"iat": issued_at, "exp": issued_at + 7 * 86400}
        self.tokens.append(self.sign(used | times | {"jti": str(successor_id(UUID(used["jti"])))}))


async def begin(url: str, clock: FrozenClock, *, refreshed: list[str | None], apart: timedelta = timedelta()) -> Old:
    """Sign up, and refresh in 1.0 with these keys, so much apart."""
    async with running(make_settings(url), clock=clock) as client:
        old = Old(url, await Person.sign_up(client, device="telephone"), clock)
    await asyncio.to_thread(command.downgrade, alembic_config(parse_database_url(url)), "0006")
    with psycopg.connect(url, autocommit=True) as connection:  # what going back has ended
        connection.execute("UPDATE users SET token_version = 0")
        connection.execute("UPDATE sessions SET token_version = 0")
    for key in refreshed:
        clock.advance(seconds=apart.total_seconds())
        old.refresh(key)
    await asyncio.to_thread(upgrade, parse_database_url(url))
    return old


async def listed(person: Person) -> list[dict[str, Any]]:
    answer = await person.get("/api/auth/sessions")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_one_that_refreshed_for_twenty_days_goes_on(own_database_url: str, clock: FrozenClock) -> None:
    """A session that was in use goes on as before: its newest token is good once, older ones end it."""
    old = await begin(own_database_url, clock, refreshed=[None] * 40, apart=timedelta(hours=12))
    async with running(make_settings(own_database_url), clock=clock) as client:
        person = Person(client, old.person.email)
        person.keep(await person.refresh(old.tokens[-1]))
        assert jwt.get_unverified_claims(person.refresh_token)["seq"] == 2
        (session,) = await listed(person)
        assert (session["device"], session["current"]) == ("telephone", True)
        for _ in range(3):
            person.keep(await person.refresh())
        assert (await person.refresh(old.tokens[-2])).json()["code"] == "REFRESH_TOKEN_REUSED"
        assert (await person.get("/api/auth/me")).status_code == 401


async def test_one_that_was_off_for_six_days_goes_on(own_database_url: str, clock: FrozenClock) -> None:
    """A session that nobody has used meanwhile is listed with its last use in 1.0, can be ended, and goes on."""
    old = await begin(own_database_url, clock, refreshed=[None])
    used_at = clock()
    clock.advance(days=6)
    async with running(make_settings(own_database_url), clock=clock) as client:
        other = await Person(client, old.person.email).sign_in()
        (session,) = [it for it in await listed(other) if not it["current"]]
        assert datetime.fromisoformat(session["last_used_at"]) == used_at
        person = Person(client, old.person.email)
        person.keep(await person.refresh(old.tokens[-1]))
        assert (await other.send("DELETE", f"/api/auth/sessions/{session['id']}")).status_code == 204
        assert (await person.refresh()).status_code == 401


async def test_one_that_never_refreshed_goes_on(own_database_url: str, clock: FrozenClock) -> None:
    """A session that began in 1.0 is refreshed with the token that it began with, once."""
    old = await begin(own_database_url, clock, refreshed=[])
    async with running(make_settings(own_database_url), clock=clock) as client:
        person = Person(client, old.person.email)
        person.keep(await person.refresh(old.tokens[0]))
        person.keep(await person.refresh())
        assert (await person.refresh(old.tokens[0])).json()["code"] == "REFRESH_TOKEN_REUSED"


@pytest.mark.parametrize("goes_on_with", ["what is given again", "what was lost"])
async def test_one_whose_last_answer_was_lost_asks_again(
    own_database_url: str, clock: FrozenClock, goes_on_with: str
) -> None:
    """A client whose answer was lost across the stop gets a pair by its key, and only one of both is good."""
    old = await begin(own_database_url, clock, refreshed=[None, KEY])
    async with running(make_settings(own_database_url), clock=clock) as client:
        person = Person(client, old.person.email)
        again = [(await person.refresh(old.tokens[-2], key=KEY)).json() for _ in range(2)]
        assert again[0] == again[1]
        given = again[0]["refresh_token"]
        assert jwt.get_unverified_claims(given)["seq"] == 1
        one, two = (given, old.tokens[-1]) if goes_on_with == "what is given again" else (old.tokens[-1], given)
        person.keep(await person.refresh(one))
        assert (await person.refresh(two)).json()["code"] == "REFRESH_TOKEN_REUSED"
        assert (await person.get("/api/auth/me")).status_code == 401


async def test_after_that_the_key_is_worth_nothing(own_database_url: str, clock: FrozenClock) -> None:
    """Once its successor is used, a token of 1.0 is reused by whoever presents it, key or not."""
    old = await begin(own_database_url, clock, refreshed=[KEY])
    async with running(make_settings(own_database_url), clock=clock) as client:
        person = Person(client, old.person.email)
        person.keep(await person.refresh(old.tokens[0], key=KEY))
        person.keep(await person.refresh())
        assert (await person.refresh(old.tokens[0], key=KEY)).json()["code"] == "REFRESH_TOKEN_REUSED"


@pytest.mark.parametrize("leeway", [0, 10])
@pytest.mark.parametrize(("which", "key"), [(-2, None), (-2, "another-key-of-22-char"), (-3, KEY), (-3, None)])
async def test_one_whose_token_was_stolen_ends(
    own_database_url: str, clock: FrozenClock, which: int, key: str | None, leeway: float
) -> None:
    """A token that was used in 1.0 and is presented again ends the session, at once and with any leeway."""
    old = await begin(own_database_url, clock, refreshed=[KEY, KEY])
    settings = make_settings(own_database_url, refresh_reuse_leeway_seconds=leeway)
    async with running(settings, clock=clock) as client:
        thief = Person(client, old.person.email)
        assert (await thief.refresh(old.tokens[which], key=key)).json()["code"] == "REFRESH_TOKEN_REUSED"
        assert (await thief.refresh(old.tokens[-1])).status_code == 401


async def test_of_many_with_one_old_token_one_wins(own_database_url: str, clock: FrozenClock) -> None:
    """Many who present a token of 1.0 at once get one pair, and the session is over."""
    old = await begin(own_database_url, clock, refreshed=[None])
    async with running(make_settings(own_database_url), clock=clock) as client:
        person = Person(client, old.person.email)
        answers = await asyncio.gather(*(person.refresh(old.tokens[-1]) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9


async def test_what_has_ended_in_1_0_stays_ended(own_database_url: str, clock: FrozenClock) -> None:
    """A session that was signed out in 1.0 is not taken over."""
    old = await begin(own_database_url, clock, refreshed=[None])
    sid, user_id = old.ids
    await asyncio.to_thread(command.downgrade, alembic_config(parse_database_url(own_database_url)), "0006")
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("UPDATE users SET token_version = 0")
        connection.execute(
            "INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
            "VALUES (%s, %s, %s, 'signed_out', now(), now() + interval '1 year')",
            [sid, sid, user_id],
        )
    await asyncio.to_thread(upgrade, parse_database_url(own_database_url))
    async with running(make_settings(own_database_url), clock=clock) as client:
        assert (await Person(client, old.person.email).refresh(old.tokens[-1])).status_code == 401
        assert (await client.get("/api/auth/me", headers=old.person.bearer)).status_code == 401


async def test_sessions_of_1_0_end_with_the_others(own_database_url: str, clock: FrozenClock) -> None:
    """Signing out everywhere else ends what 1.0 has refreshed, though it is not in the list."""
    old = await begin(own_database_url, clock, refreshed=[None])
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM sessions")
    async with running(make_settings(own_database_url), clock=clock) as client:
        other = await Person(client, old.person.email).sign_in()
        await other.send("POST", "/api/auth/signout", json={"others": True})
        assert (await other.refresh(old.tokens[-1])).status_code == 401
