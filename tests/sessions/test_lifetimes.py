"""How long tokens and the rows of the denylist live, whatever the settings and the clocks do meanwhile."""

from datetime import timedelta

import psycopg
import pytest
from jose import jwt

from app.core.database.pool import Database, DatabaseUnavailable
from app.sessions.denylist import delete_expired_tokens
from tests.support.clock import FrozenClock
from tests.support.people import Person
from tests.support.server import Service, running
from tests.support.settings import make_settings


async def prune(url: str) -> int:
    database = Database(make_settings(url).dsn, pool_min=1, pool_max=1)
    await database.open()
    try:
        return sum([deleted async for deleted in delete_expired_tokens(database, batch=1000)])
    finally:
        await database.close()


def let_time_pass(connection: psycopg.Connection, clock: FrozenClock, **duration: float) -> None:
    """Move the workers' clock, and the rows back, since the database's own clock cannot be moved."""
    clock.advance(**duration)
    back = "UPDATE token_denylist SET denied_at = denied_at - %(by)s, expires_at = expires_at - %(by)s"
    connection.execute(back, {"by": timedelta(**duration)})


@pytest.mark.parametrize("ended_by", ["signing out", "reuse"])
async def test_lowering_and_raising_the_refresh_lifetime_revives_no_session(
    own_database_url: str, clock: FrozenClock, ended_by: str
) -> None:
    """Ended while the setting was low: its row outlives the long-lived token that it was given before."""
    low = make_settings(own_database_url, refresh_token_expire_days=2)
    high = make_settings(own_database_url, refresh_token_expire_days=30)
    async with running(low, clock=clock) as client:
        ada = await Person.sign_up(client)
        used = ada.refresh_token
    async with running(high, clock=clock) as client:
        ada.client = client
        ada.keep(await ada.refresh())
    async with running(low, clock=clock) as client:
        ada.client = client
        if ended_by == "reuse":
            assert (await ada.refresh(used)).status_code == 401
        else:
            assert (await ada.send("POST", "/api/auth/signout")).status_code == 200
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        let_time_pass(connection, clock, days=10)
    await prune(own_database_url)
    async with running(high, clock=clock) as client:
        ada.client = client
        assert (await ada.refresh()).status_code == 401


async def test_an_end_outlives_tokens_that_were_never_used(own_database_url: str, clock: FrozenClock) -> None:
    """Signed up while the setting was high, signed out while it was low: the first token is dead for good."""
    low, high = (make_settings(own_database_url, refresh_token_expire_days=days) for days in (2, 30))
    async with running(high, clock=clock) as client:
        ada = await Person.sign_up(client)
    async with running(low, clock=clock) as client:
        ada.client = client
        assert (await ada.send("POST", "/api/auth/signout")).status_code == 200
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        let_time_pass(connection, clock, days=10)
    await prune(own_database_url)
    async with running(high, clock=clock) as client:
        ada.client = client
        assert (await ada.refresh()).status_code == 401


async def test_the_denylist_stays_as_small_as_its_sessions(
    own_database_url: str, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session is one row, however often it is refreshed, which goes a day after its last token has expired."""
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 1)
    settings = make_settings(own_database_url)
    count = "SELECT count(*) FROM token_denylist WHERE user_id = %s"
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        async with running(settings, clock=clock) as client:
            ada, bob = await Person.sign_up(client), await Person.sign_up(client)
            for _ in range(6):
                ada.keep(await ada.refresh())
            bob.keep(await bob.refresh())
            assert connection.execute(count, [ada.user["id"]]).fetchone() == (1,)
            old = ada.refresh_token
            for hours, rows in ((23, 1), (2, 0)):
                let_time_pass(connection, clock, days=7 if rows else 0, hours=hours)
                assert (await ada.refresh(old)).status_code == 401
                again = await ada.sign_in()
                assert connection.execute(count, [ada.user["id"]]).fetchone() == (rows,)
            assert connection.execute(count, [bob.user["id"]]).fetchone() == (1,), "each prunes their own"
            again.keep(await again.refresh())
            assert (await ada.refresh(old)).status_code == 401


async def test_a_row_is_never_needed_for_shorter_than_before(ada: Person, connection: psycopg.Connection) -> None:
    """Whatever a session does under a lower lifetime, its row outlives the tokens that it gave under a higher one."""
    needed = "SELECT expires_at FROM token_denylist WHERE user_id = %s"
    ada.keep(await ada.refresh())
    later = "UPDATE token_denylist SET expires_at = now() + interval '2 years' WHERE user_id = %s RETURNING expires_at"
    before = connection.execute(later, [ada.user["id"]]).fetchall()
    ada.keep(await ada.refresh())
    body = {"current_password": ada.password, "new_password": "another battery staple 5"}
    ada.keep(await ada.send("POST", "/api/auth/password", json=body))
    assert (await ada.send("POST", "/api/auth/signout")).status_code == 200
    assert connection.execute(needed, [ada.user["id"]]).fetchall() == before


async def test_a_sign_in_succeeds_though_pruning_fails(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has signed in gets the tokens, though tidying up behind it fails."""
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 1)

    async def fail(*args: object, **options: object) -> int:
        raise DatabaseUnavailable

    monkeypatch.setattr("app.sessions.denylist.delete_expired_tokens_of", fail)
    assert (await (await ada.sign_in()).get("/api/auth/me")).status_code == 200


async def test_a_worker_whose_clock_runs_ahead_prunes_no_living_row(own_database_url: str, clock: FrozenClock) -> None:
    """Rows go by the database's clock, which all workers share."""
    settings = make_settings(own_database_url)
    ahead = FrozenClock(clock.moment + timedelta(days=400))
    async with running(settings, clock=clock) as client, running(settings, clock=ahead) as elsewhere:
        ada = await Person.sign_up(client)
        used = ada.refresh_token
        ada.keep(await ada.refresh())
        eve = await Person.sign_up(elsewhere)
        for _ in range(3):
            eve.keep(await eve.refresh())
        assert (await ada.refresh(used)).status_code == 401
        assert (await ada.refresh()).status_code == 401, "the reuse was found out, which takes the row"


async def test_expires_in_of_a_pair_that_is_given_again_says_what_is_left(service: Service, clock: FrozenClock) -> None:
    """RFC 6749 5.1: a client that goes by it must not hold a dead token for a living one; contract section 9."""
    async with service(clock=clock, refresh_reuse_leeway_seconds=300, access_token_expire_minutes=2) as client:
        ada = await Person.sign_up(client)
        first = (await ada.refresh()).json()
        assert first["expires_in"] == 120
        for seconds, left in ((45, 75), (75, 0), (60, 0)):
            clock.advance(seconds=seconds)
            again = (await ada.refresh()).json()
            assert again == first | {"expires_in": left}
        expires_at = jwt.get_unverified_claims(again["access_token"])["exp"]
        assert expires_at <= clock.moment.timestamp()


async def test_a_session_ends_however_it_is_used(service: Service, clock: FrozenClock) -> None:
    """A thief who refreshes has no session for years: SESSION_MAX_DAYS after the sign-in it ends. Source: ASVS 7.3.2.

    No token is good for longer, and one that has expired says why.
    """
    async with service(clock=clock, session_max_days=10, access_token_expire_minutes=60 * 24) as client:
        ada = await Person.sign_up(client)
        end = int(clock.moment.timestamp()) + 10 * 86400
        for _ in range(4):
            clock.advance(days=2.4)
            ada.keep(await ada.refresh())
        assert jwt.get_unverified_claims(ada.refresh_token)["exp"] == end
        other = await ada.sign_in()
        clock.advance(days=0.4)
        for _ in range(2):
            answer = await ada.refresh()
            assert (answer.status_code, answer.json()["code"]) == (401, "SESSION_EXPIRED")
        assert (await ada.get("/api/auth/me")).status_code == 401
        assert [s["id"] for s in (await other.get("/api/auth/sessions")).json()] == [
            jwt.get_unverified_claims(other.access_token)["sid"]
        ]
        form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
        assert (await client.post("/api/auth/token", data=form)).json()["error"] == "invalid_grant"


async def test_a_new_password_begins_the_time_of_a_session_anew(service: Service, clock: FrozenClock) -> None:
    """Whoever has proved who they are stays signed in, whatever tokens of before are presented."""
    async with service(clock=clock, session_max_days=10, access_token_expire_minutes=60 * 24) as client:
        ada = await Person.sign_up(client)
        clock.advance(days=6)
        ada.keep(await ada.refresh())
        old = ada.refresh_token
        body = {"current_password": ada.password, "new_password": "another battery staple 5"}
        ada.keep(await ada.send("POST", "/api/auth/password", json=body))
        clock.advance(days=6)
        assert (await ada.refresh(old)).json()["code"] == "SESSION_EXPIRED"
        ada.keep(await ada.refresh())


async def test_a_lowered_limit_ends_older_sessions_and_a_raised_one_revives_none(
    own_database_url: str, clock: FrozenClock
) -> None:
    """An operator who sets it later is not made to wait for the tokens that are out."""
    async with running(make_settings(own_database_url), clock=clock) as client:
        ada = await Person.sign_up(client)
        clock.advance(days=3)
        ada.keep(await ada.refresh())
    for days, code in ((2, "SESSION_EXPIRED"), (0, "INVALID_TOKEN")):
        async with running(make_settings(own_database_url, session_max_days=days), clock=clock) as client:
            ada.client = client
            assert (await ada.refresh()).json()["code"] == code
