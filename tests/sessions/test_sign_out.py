"""Signing out: at once, with any token that was issued here, as often as one likes."""

import httpx
import psycopg
import pytest

from tests.support.clock import FrozenClock
from tests.support.people import Person


async def sign_out(client: httpx.AsyncClient, person: Person | None = None, **body: object) -> httpx.Response:
    headers = person.bearer if person else {}
    return await client.post("/api/auth/signout", headers=headers, json=body)


async def test_signing_out_ends_this_sign_in_at_once_and_no_other(client: httpx.AsyncClient, ada: Person) -> None:
    """Signing out ends all tokens of this session at once, and no other session.

    Source: FR-012.
    """
    other = await ada.sign_in()
    answer = await sign_out(client, ada)
    assert (answer.status_code, answer.json()) == (200, {"detail": "Signed out."})
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await ada.refresh()).status_code == 401
    assert (await other.get("/api/tasks")).status_code == 200
    assert (await other.refresh()).status_code == 200
    assert (await ada.sign_in()).access_token


async def test_the_refresh_token_alone_signs_out(client: httpx.AsyncClient, ada: Person) -> None:
    """A client whose access token is gone can still sign out."""
    assert (await sign_out(client, refresh_token=ada.refresh_token)).status_code == 200
    assert (await ada.get("/api/tasks")).status_code == 401


async def test_signing_out_needs_no_body(client: httpx.AsyncClient, ada: Person) -> None:
    """A client can sign out by its access token alone."""
    assert (await client.post("/api/auth/signout", headers=ada.bearer)).status_code == 200
    assert (await ada.get("/api/tasks")).status_code == 401


async def test_signing_out_twice_is_no_error(client: httpx.AsyncClient, ada: Person) -> None:
    """A sign-out may be sent again when its answer was lost."""
    for _ in range(3):
        assert (await sign_out(client, ada, refresh_token=ada.refresh_token)).status_code == 200


async def test_expired_tokens_still_sign_out(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """Whoever comes back after the access token has expired can still sign out with it."""
    ada = await Person.sign_up(clocked)
    clock.advance(minutes=16)
    assert (await ada.get("/api/auth/me")).status_code == 401
    assert (await sign_out(clocked, ada)).status_code == 200
    assert (await ada.refresh()).status_code == 401


async def test_everywhere_ends_every_sign_in_even_of_the_same_second(
    clocked: httpx.AsyncClient, clock: FrozenClock
) -> None:
    """After a theft one request ends all sessions, and only those that were active then.

    The clock stands still here, so that a comparison of times could not do it.
    """
    ada = await Person.sign_up(clocked)
    other = await ada.sign_in()
    answer = await sign_out(clocked, ada, everywhere=True)
    assert answer.json() == {"detail": "Signed out everywhere."}
    for person in (ada, other):
        assert (await person.get("/api/tasks")).status_code == 401
        assert (await person.refresh()).status_code == 401
    again = await ada.sign_in()
    assert (await again.get("/api/tasks")).status_code == 200
    assert (await sign_out(clocked, ada, everywhere=True)).status_code == 200
    assert (await again.get("/api/tasks")).status_code == 200, "a dead token ends nothing"


async def test_somebody_elses_refresh_token_is_ignored(client: httpx.AsyncClient, ada: Person, bob: Person) -> None:
    """Nobody ends another user's session by sending that user's refresh token with their own access token."""
    assert (await sign_out(client, ada, refresh_token=bob.refresh_token)).status_code == 200
    assert (await ada.get("/api/tasks")).status_code == 401
    assert (await bob.get("/api/tasks")).status_code == 200


async def test_both_tokens_of_two_sign_ins_end_both(client: httpx.AsyncClient, ada: Person) -> None:
    """A client that sends tokens of two sessions of one user ends both."""
    other = await ada.sign_in()
    assert (await sign_out(client, ada, refresh_token=other.refresh_token)).status_code == 200
    assert (await other.get("/api/tasks")).status_code == 401


@pytest.mark.measured
@pytest.mark.parametrize(
    ("headers", "body", "challenge"),
    [
        ({}, {}, "Bearer"),
        ({}, {"refresh_token": None}, "Bearer"),
        ({"Authorization": "Bearer x.y.z"}, {}, 'Bearer error="invalid_token"'),
        ({}, {"refresh_token": "x.y.z"}, 'Bearer error="invalid_token"'),
        ({"Authorization": "Basic x"}, {}, 'Bearer error="invalid_token"'),
    ],
)
async def test_without_a_genuine_token_there_is_nothing_to_end(
    client: httpx.AsyncClient, headers: dict[str, str], body: dict[str, object], challenge: str
) -> None:
    """Whoever sends no valid token gets a 401 that tells whether one was sent at all (RFC 6750 3.1)."""
    answer = await client.post("/api/auth/signout", headers=headers, json=body)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("body", ['{"everywhere":"yes"}', '{"everywhere":1}', '{"refresh_token":5}'])
async def test_a_wrong_body_is_422_and_ends_nothing(client: httpx.AsyncClient, ada: Person, body: str) -> None:
    """A sign-out with a mistake in its body is told so, and ends nothing."""
    assert (await client.post("/api/auth/signout", headers=ada.bearer, content=body)).status_code == 422
    assert (await ada.get("/api/tasks")).status_code == 200


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("GET", "?limit=x", None),
        ("GET", "?cursor=x", None),
        ("POST", "", b'{"title": "x"}'),
        ("POST", "", b"{bad"),
        ("POST", "", b"{}"),
        ("GET", "/{id}", None),
        ("GET", "/5", None),
        ("PUT", "/{id}", b'{"title": "x"}'),
        ("PATCH", "/{id}", b"{}"),
        ("PATCH", "/{id}/toggle", None),
        ("DELETE", "/{id}", None),
    ],
)
async def test_whoever_signed_out_hears_that_and_nothing_else(
    client: httpx.AsyncClient, ada: Person, method: str, rest: str, body: bytes | None
) -> None:
    """After signing out every request is 401, whatever else is wrong with it, and does nothing.

    One statement checks the session and does the work, yet 401 comes before 400, 404 and 422.
    """
    other, task = await ada.sign_in(), await ada.add_task()
    await sign_out(client, ada)
    for headers in ({}, {"Idempotency-Key": "k"}, {"If-Match": '"9"'}):
        answer = await ada.send(method, f"/api/tasks{rest.format(id=task['id'])}", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_TOKEN")
    assert (await other.get("/api/tasks")).json() == [task]


async def test_everywhere_works_from_a_session_that_has_ended(client: httpx.AsyncClient, ada: Person) -> None:
    """Whoever is told that a token was reused can sign out everywhere, by the session that the reuse has ended."""
    other = await ada.sign_in()
    first = ada.refresh_token
    await ada.refresh()
    assert (await ada.refresh(first)).status_code == 401  # reuse: this session is over, the other goes on
    assert (await other.get("/api/tasks")).status_code == 200
    assert (await sign_out(client, ada, everywhere=True)).json() == {"detail": "Signed out everywhere."}
    assert (await other.get("/api/tasks")).status_code == 401
    assert (await other.refresh()).status_code == 401


async def test_others_ends_every_session_but_this_one(client: httpx.AsyncClient, ada: Person, bob: Person) -> None:
    """Whoever lost a telephone signs out everywhere else: at once, access tokens too, and this session goes on.

    Source: FR-057.
    """
    people = [await ada.sign_in() for _ in range(3)]
    for person in (ada, people[1]):
        person.keep(await person.refresh())
    answer = await sign_out(client, ada, others=True)
    assert (answer.status_code, answer.json()) == (200, {"detail": "Signed out everywhere else."})
    for person in people:
        assert (await person.get("/api/tasks")).status_code == 401
        assert (await person.refresh()).status_code == 401
    assert (await sign_out(client, ada, others=True)).status_code == 200, "it may be sent again"
    assert (await ada.get("/api/tasks")).status_code == 200
    ada.keep(await ada.refresh())
    assert (await bob.get("/api/tasks")).status_code == 200
    assert (await (await ada.sign_in()).get("/api/tasks")).status_code == 200


async def test_others_ends_sessions_from_before_there_was_a_list(
    client: httpx.AsyncClient, ada: Person, connection: psycopg.Connection
) -> None:
    """A session that is not in the list is ended too, as soon as it has been refreshed once. Source: FR-057."""
    unlisted, never_refreshed = await ada.sign_in(), await ada.sign_in()
    unlisted.keep(await unlisted.refresh())
    connection.execute("DELETE FROM sessions WHERE user_id = %s", [ada.user["id"]])
    await sign_out(client, ada, others=True)
    assert (await unlisted.get("/api/tasks")).status_code == 401
    assert (await unlisted.refresh()).status_code == 401
    assert (await ada.get("/api/tasks")).status_code == 200
    # What nothing tells of is left: docs/operating.md says so, and that signing out everywhere ends it.
    assert (await never_refreshed.get("/api/tasks")).status_code == 200
    await sign_out(client, ada, everywhere=True)
    assert (await never_refreshed.get("/api/tasks")).status_code == 401


async def test_others_needs_a_token_of_today(client: httpx.AsyncClient, ada: Person, bob: Person) -> None:
    """A token from before signing out everywhere ends nobody's session; nor does somebody else's. Source: FR-057."""
    old = await ada.sign_in()
    await sign_out(client, ada, everywhere=True)
    again, other = await ada.sign_in(), await ada.sign_in()
    again.keep(await again.refresh())
    assert (await sign_out(client, old, others=True)).status_code == 401
    assert (await sign_out(client, bob, refresh_token=again.refresh_token, others=True)).status_code == 200
    assert (await client.post("/api/auth/signout", json={"others": True})).status_code == 401
    for person in (again, other, bob):
        assert (await person.get("/api/tasks")).status_code == 200


async def sign_out_with_each(client: httpx.AsyncClient, person: Person, **body: bool) -> list[int]:
    """Send the access token alone, and the refresh token alone."""
    refresh_token: dict[str, object] = {"refresh_token": person.refresh_token}
    answers = [await sign_out(client, person, **dict(body)), await sign_out(client, None, **(refresh_token | body))]
    return [answer.status_code for answer in answers]


async def test_a_session_that_was_ended_ends_no_other(client: httpx.AsyncClient, ada: Person) -> None:
    """A lost telephone that its owner has put out cannot sign the owner out, as often as it tries. Source: FR-057."""
    lost = await ada.sign_in()
    (one,) = [s for s in (await ada.get("/api/auth/sessions")).json() if not s["current"]]
    assert (await ada.send("DELETE", f"/api/auth/sessions/{one['id']}")).status_code == 204
    for body in ({"others": True}, {"everywhere": True}):
        assert await sign_out_with_each(client, lost, **body) == [401, 401]
    assert await sign_out_with_each(client, lost) == [200, 200], "it has ended, and may hear so"
    assert (await ada.get("/api/tasks")).status_code == 200
    ada.keep(await ada.refresh())


async def test_a_session_that_ended_by_a_reuse_ends_everything_but_not_others(
    client: httpx.AsyncClient, ada: Person
) -> None:
    """Its owner, who is told of the theft, can sign out everywhere; there are no others of a session that has ended."""
    other, first = await ada.sign_in(), ada.refresh_token
    await ada.refresh()
    assert (await ada.refresh(first)).json()["code"] == "REFRESH_TOKEN_REUSED"
    assert await sign_out_with_each(client, ada, others=True) == [401, 401]
    assert (await other.get("/api/tasks")).status_code == 200
    assert await sign_out_with_each(client, ada, everywhere=True) == [200, 200], "the second finds it done"
    assert (await other.get("/api/tasks")).status_code == 401


async def test_tokens_lose_their_power_over_other_sessions(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """What was found in an old backup ends nothing: neither an access token nor a refresh token of a living session."""
    ada, bob = await Person.sign_up(clocked), await Person.sign_up(clocked)
    old = Person(clocked, ada.email, access_token=ada.access_token, refresh_token=ada.refresh_token)

    async def go_on(days: float) -> None:
        clock.advance(days=days)
        ada.keep(await ada.refresh())

    await go_on(days=6.9)
    assert await sign_out_with_each(clocked, old, others=True) == [200, 200]
    await go_on(days=0.2)
    assert await sign_out_with_each(clocked, old, others=True) == [401, 401]
    assert (await sign_out(clocked, old, everywhere=True)).status_code == 401
    await go_on(days=6.8)
    assert (await sign_out(clocked, refresh_token=bob.refresh_token, everywhere=True)).status_code == 200
    await go_on(days=0.2)
    assert await sign_out_with_each(clocked, old, everywhere=True) == [401, 401]
    assert (await ada.get("/api/tasks")).status_code == 200
    assert (await sign_out(clocked, ada, everywhere=True)).status_code == 200
    assert await sign_out_with_each(clocked, old, everywhere=True) == [200, 200], "of an older version: done already"


async def test_a_token_of_before_a_new_password_does_not_end_the_session(
    client: httpx.AsyncClient, ada: Person
) -> None:
    """Whoever copied tokens, and was shut out by a new password, cannot sign its owner out."""
    thief = Person(client, ada.email, access_token=ada.access_token, refresh_token=ada.refresh_token)
    body = {"current_password": ada.password, "new_password": "another battery staple 5"}
    ada.keep(await ada.send("POST", "/api/auth/password", json=body))
    assert await sign_out_with_each(client, thief) == [200, 200]
    assert await sign_out_with_each(client, thief, everywhere=True) == [200, 200]
    assert await sign_out_with_each(client, thief, others=True) == [401, 401]
    assert (await ada.get("/api/tasks")).status_code == 200
    ada.keep(await ada.refresh())


async def test_others_keeps_the_session_of_the_access_token(client: httpx.AsyncClient, ada: Person) -> None:
    """With tokens of two sessions, the one that asks is that of the access token; everywhere is more than others.

    Source: FR-057.
    """
    other = await ada.sign_in()
    await sign_out(client, ada, refresh_token=other.refresh_token, others=True)
    assert (await other.get("/api/tasks")).status_code == 401
    assert (await ada.get("/api/tasks")).status_code == 200
    answer = await sign_out(client, ada, others=True, everywhere=True)
    assert answer.json() == {"detail": "Signed out everywhere."}
    assert (await ada.get("/api/tasks")).status_code == 401
