"""Signing in by a passkey: no name, no password, and nothing that tells who has one."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from app.accounts import admin
from app.core.database.pool import Database
from app.passkeys import repository
from app.sessions.denylist import delete_expired_tokens_of
from tests.passkeys.conftest import told
from tests.support.authenticator import (
    SIGN_IN,
    Authenticator,
    Key,
    add_passkey,
    creation_options,
    proof_of,
    proof_options,
    sign_in_by,
    sign_in_options,
    spelled,
)
from tests.support.clock import FrozenClock
from tests.support.mail import mail_settings
from tests.support.people import PASSWORD, Person, is_signed_in
from tests.support.server import Service, app_of, elsewhere

KINDS = {
    "of a telephone": Authenticator(),
    "that does not count": Authenticator(counts=False),
    "that is synced": Authenticator(counts=False, synced=True),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_passkey_signs_its_owner_in(keyed: httpx.AsyncClient, ada: Person, kind: str) -> None:
    """Whoever has the key signs in without a name, again and again, and sees when it was used. Source: FR-063."""
    own = await add_passkey(ada, KINDS[kind], name="Key")
    for _ in range(2):
        answer = await sign_in_by(keyed, own, body={"device": "Phone"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["user"] == ada.user
    again = Person(keyed, ada.email).keep(answer)
    assert "Phone" in [session["device"] for session in (await again.get("/api/auth/sessions")).json()]
    assert (await again.refresh()).status_code == 200
    (listed,) = (await ada.get("/api/auth/passkeys")).json()
    assert listed.keys() == {"id", "name", "created_at", "last_used_at", "synced"}
    assert (listed["name"], listed["synced"], bool(listed["last_used_at"])) == ("Key", own.synced, True)


async def test_the_options_are_the_same_for_everybody(keyed: httpx.AsyncClient, ada: Person) -> None:
    """Nobody learns from the options whether somebody has a passkey, or an account. Source: FR-063."""
    await add_passkey(ada)
    first, second = await sign_in_options(keyed), (await ada.send("POST", f"{SIGN_IN}/options", json={})).json()
    assert first.pop("challenge") != second.pop("challenge")
    assert (
        first
        == second
        == {
            "timeout": 300_000,
            "rpId": "localhost",
            "allowCredentials": [],
            "userVerification": "required",
        }
    )


def without_handle(credential: dict[str, Any]) -> dict[str, Any]:
    del credential["response"]["userHandle"]
    return credential


async def test_whatever_is_wrong_the_answer_is_the_same(
    keyed: httpx.AsyncClient, ada: Person, bob: Person, phone: Authenticator, connection: psycopg.Connection
) -> None:
    """Nobody learns by trying who has an account, a key, or a closed account. Source: FR-063."""
    bobs, closed = await add_passkey(bob), await Person.sign_up(keyed)
    closed_key = await add_passkey(closed)
    await admin.deactivate(app_of(keyed).state.database, closed.email)
    unknown = Authenticator(keys=[Key(phone.keys[0].private, UUID(ada.user["id"]).bytes)])
    nobody = Authenticator(keys=[Key(phone.keys[0].private, uuid4().bytes)])
    others_key = Authenticator(keys=[Key(bobs.keys[0].private, UUID(ada.user["id"]).bytes, phone.keys[0].id)])
    signers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "an unknown key": unknown.sign,
        "nobody": nobody.sign,
        "another key's signature": others_key.sign,
        "no signature": lambda options: phone.sign(options, signature=b""),
        "somebody else's handle": lambda options: phone.sign(options, handle=UUID(bob.user["id"]).bytes),
        "no handle": lambda options: without_handle(phone.sign(options)),
        "a longer handle": lambda options: phone.sign(options, handle=b"x" * 64),
        "a closed account": closed_key.sign,
        "another origin": lambda options: phone.sign(options, origin="https://evil.example"),
        "an origin of another port": lambda options: phone.sign(options, origin="http://localhost:4000"),
        "a page within another": lambda options: phone.sign(options, client={"crossOrigin": True}),
        "another domain": lambda options: phone.sign(options, domain="evil.example"),
        "nobody present": lambda options: phone.sign(options, flags=0x04),
        "nobody verified": lambda options: phone.sign(options, flags=0x01),
        "what makes a key": lambda options: phone.sign(options, client={"type": "webauthn.create"}),
        "backed up but not eligible": lambda options: phone.sign(options, flags=0x15),
        "another id": lambda options: phone.sign(options, rawId=spelled(b"other")),
        "a challenge of its own": lambda options: phone.sign({"challenge": spelled(b"x" * 56)}),
        "a part of a challenge": lambda options: phone.sign({"challenge": options["challenge"][:32]}),
        "no challenge": lambda options: phone.sign({"challenge": ""}),
    }
    answers = {}
    for name, sign in signers.items():
        answer = await keyed.post(SIGN_IN, json={"credential": sign(await sign_in_options(keyed))})
        sent = {k: v for k, v in answer.json().items() if k not in ("instance", "request_id")}
        answers[name] = (answer.status_code, answer.headers["www-authenticate"], len(answer.content), str(sent))
    assert set(answers.values()) == {answers["nobody"]}, answers
    assert answers["nobody"][0] == 401
    assert "INVALID_CREDENTIALS" in answers["nobody"][3]
    assert (await sign_in_by(keyed, phone)).status_code == 200, "and the owner gets in after all that"


async def test_a_challenge_is_good_for_signing_in_alone(
    keyed: httpx.AsyncClient, ada: Person, phone: Authenticator
) -> None:
    """What was signed for something else signs nobody in."""
    for options in (await creation_options(ada), await proof_options(ada, "password")):
        answer = await keyed.post(SIGN_IN, json={"credential": phone.sign(options)})
        assert answer.status_code == 401


async def test_a_challenge_is_good_for_five_minutes(keyed_clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """What a browser was asked for long ago signs nobody in."""
    ada = await Person.sign_up(keyed_clocked)
    own = await add_passkey(ada)
    early, late = await sign_in_options(keyed_clocked), await sign_in_options(keyed_clocked)
    clock.advance(seconds=299)
    answer = await keyed_clocked.post(SIGN_IN, json={"credential": own.sign(early)})
    assert answer.status_code == 200
    clock.advance(seconds=1)
    answer = await keyed_clocked.post(SIGN_IN, json={"credential": own.sign(late)})
    assert answer.status_code == 401


@pytest.mark.parametrize("counts", [True, False])
async def test_what_was_signed_once_signs_in_once(keyed: httpx.AsyncClient, ada: Person, counts: bool) -> None:
    """Of fifty who send the same at once one gets in, and nobody later. Source: FR-063."""
    own = await add_passkey(ada, Authenticator(counts=counts))
    body = {"credential": own.sign(await sign_in_options(keyed))}
    answers = await asyncio.gather(*[keyed.post(SIGN_IN, json=body) for _ in range(50)])
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 49
    assert (await keyed.post(SIGN_IN, json=body)).status_code == 401
    assert (await sign_in_by(keyed, own)).status_code == 200


async def test_a_copied_key_is_found(
    keyed: httpx.AsyncClient, ada: Person, phone: Authenticator, trail: list[logging.LogRecord]
) -> None:
    """Of a key and its copy, each counting for itself, the one that has fallen behind is refused, and a line is logged.

    Source: FR-063, WebAuthn 3, 6.1.1.
    """
    mine = phone.keys[0]
    thiefs = Key(mine.private, mine.user_handle, mine.id)
    for _ in range(3):
        assert (await sign_in_by(keyed, phone)).status_code == 200
    assert (await sign_in_by(keyed, phone, key=thiefs)).status_code == 401
    for count in (0, mine.count):
        assert (await sign_in_by(keyed, phone, key=thiefs, count=count)).status_code == 401
    assert told(trail, "passkey_copied") == ["passkey_copied"] * 3
    assert (await sign_in_by(keyed, phone)).status_code == 200


async def test_a_key_that_goes_at_that_moment_is_no_copy(
    keyed: httpx.AsyncClient,
    ada: Person,
    phone: Authenticator,
    trail: list[logging.LogRecord],
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who deletes a key while it signs in or proves is not told that somebody has copied it."""
    other = await add_passkey(ada)
    proof = await proof_of(ada, other, "token")
    original = repository.count_use

    async def count_use(database: Database, user_id: UUID, passkey_id: bytes, **use: Any) -> bool:
        connection.execute(b"DELETE FROM passkeys WHERE user_id = %s AND id = %s", [user_id, passkey_id])
        return await original(database, user_id, passkey_id, **use)

    monkeypatch.setattr(repository, "count_use", count_use)
    assert (await sign_in_by(keyed, phone)).status_code == 401
    body = {"name": "x", "scopes": ["tasks:read"], "days": 1, "proof": proof}
    assert (await ada.send("POST", "/api/auth/tokens", json=body)).json()["code"] == "WRONG_PROOF"
    refused = ("passkey_copied", "sign_in_failed", "own_passkey_wrong")
    assert told(trail, *refused) == ["sign_in_failed", "own_passkey_wrong"]


async def test_used_challenges_are_no_sessions(
    keyed: httpx.AsyncClient, ada: Person, phone: Authenticator, connection: psycopg.Connection
) -> None:
    """Nobody sees a used challenge in a list, ends it, or loses it before its time; later its row goes."""
    signed_in = Person(keyed, ada.email, PASSWORD).keep(await sign_in_by(keyed, phone))
    await ada.refresh()
    assert len((await signed_in.get("/api/auth/sessions")).json()) == 2
    query = (
        "SELECT id, session_id, denied_at, expires_at FROM token_denylist WHERE user_id = %s AND reason = 'challenge'"
    )
    rows = connection.execute(query.encode(), [ada.user["id"]]).fetchall()
    assert len(rows) == 2, "one of making the key, one of signing in"
    assert all(row[0] == row[1] and 86_400 < (row[3] - row[2]).total_seconds() <= 86_700 for row in rows)
    await signed_in.send("POST", "/api/auth/signout", json={"others": True})
    assert connection.execute(query.encode(), [ada.user["id"]]).fetchall() == rows
    change = "UPDATE token_denylist SET expires_at = now() WHERE id = %s"
    connection.execute(change.encode(), [rows[0][0]])
    assert await delete_expired_tokens_of(app_of(keyed).state.database, UUID(ada.user["id"])) == 1
    assert await is_signed_in(signed_in)


async def test_a_device_signs_in_anew_in_the_place_of_its_session(
    keyed: httpx.AsyncClient, ada: Person, phone: Authenticator
) -> None:
    """A device that has a session of the account gets a new one for it, as by a password; and a page its cookie."""
    other = await ada.sign_in()
    answer = await sign_in_by(keyed, phone, body={"refresh_token": ada.refresh_token})
    assert answer.status_code == 200
    assert not await is_signed_in(ada)
    assert await is_signed_in(other)
    page = await sign_in_by(keyed, phone, body={"cookie": True})
    assert "refresh_token" not in page.json()
    assert "HttpOnly" in page.headers["set-cookie"]
    origin = {"Origin": "https://evil.example"}
    credential = phone.sign(await sign_in_options(keyed))
    body = {"credential": credential, "cookie": True}
    assert (await keyed.post(SIGN_IN, json=body, headers=origin)).json()["code"] == "ORIGIN_REFUSED"
    assert (await keyed.post(SIGN_IN, json={"credential": credential})).status_code == 200, "nothing was used up"


async def test_failures_are_counted_by_address(service: Service) -> None:
    """Who tries many keys from one address has to wait; who succeeds counts for nothing."""
    limits: dict[str, Any] = {"rate_limits": "on", "rate_limit_signin_address": "3/minute"}
    async with service(passkeys="on", **limits) as started, elsewhere(started) as client:
        ada = await Person.sign_up(client)
        own = await add_passkey(ada)
        for _ in range(4):
            assert (await sign_in_by(client, own)).status_code == 200
        codes = [(await sign_in_by(client, own, origin="https://evil.example")).status_code for _ in range(4)]
        assert codes == [401, 401, 401, 429]
        assert (await sign_in_by(client, own)).status_code == 429


async def test_a_key_goes_with_its_account_and_stays_with_a_new_password(
    keyed: httpx.AsyncClient, ada: Person, phone: Authenticator, connection: psycopg.Connection
) -> None:
    """A new password and signing out everywhere leave passkeys; deleting the account takes them. Source: FR-064."""
    new = {"current_password": PASSWORD, "new_password": "another battery staple 5"}
    ada.keep(await ada.send("POST", "/api/auth/password", json=new))
    assert (await ada.send("POST", "/api/auth/signout", json={"everywhere": True})).status_code == 200
    ada = Person(keyed, ada.email, new["new_password"]).keep(await sign_in_by(keyed, phone))
    body = {"current_password": ada.password}
    assert (await ada.send("POST", "/api/auth/me/delete", json=body)).status_code == 200
    assert (await sign_in_by(keyed, phone)).status_code == 401
    query = b"SELECT count(*) FROM passkeys WHERE user_id = %s"
    assert connection.execute(query, [ada.user["id"]]).fetchone() == (0,)


@pytest.mark.parametrize("by_mail", [True, False])
async def test_a_reset_ends_every_passkey(
    keyed: httpx.AsyncClient, ada: Person, phone: Authenticator, connection: psycopg.Connection, by_mail: bool
) -> None:
    """Whoever chooses a new password by a link has the account alone: no key of before is left. Source: FR-064."""
    auth = app_of(keyed).state.auth
    email = ada.email if by_mail else None
    token = auth.tokens.issue_reset(UUID(ada.user["id"]), 0, auth.clock(), email=email)
    kept = connection.execute(b"SELECT * FROM passkeys WHERE user_id = %s", [ada.user["id"]]).fetchone()
    body = {"token": token, "new_password": "another battery staple 5"}
    assert (await keyed.post("/api/auth/reset", json=body)).status_code == 200
    query = b"SELECT count(*) FROM passkeys WHERE user_id = %s"
    assert connection.execute(query, [ada.user["id"]]).fetchone() == (0,)
    assert (await sign_in_by(keyed, phone)).status_code == 401
    # One that was made in that moment has the version of before.
    assert kept
    connection.execute(f"INSERT INTO passkeys VALUES ({', '.join(['%s'] * len(kept))})".encode(), kept)
    assert (await sign_in_by(keyed, phone)).status_code == 401
    ada.password = body["new_password"]
    ada = await ada.sign_in()
    assert (await ada.get("/api/auth/passkeys")).json() == []
    assert (await creation_options(ada))["excludeCredentials"] == []
    await add_passkey(ada, phone)
    assert (await sign_in_by(keyed, phone)).status_code == 200


async def test_its_owner_is_told_by_mail(service: Service, port: int, mailbox: Any) -> None:
    """Whoever reads the mailbox learns of a key that was added, and of a sign-in on a new device."""
    async with service(passkeys="on", **mail_settings(port, frontend_url="http://localhost:3000")) as client:
        ada = await Person.sign_up(client, device="Laptop")
        own = await add_passkey(ada)
        assert (await sign_in_by(client, own, body={"device": "Laptop"})).status_code == 200
        assert (await sign_in_by(client, own, body={"device": "Telephone"})).status_code == 200
        mails = await mailbox.has(2)
        assert "passkey was added" in mails[0]["Subject"]
        assert "sign" in mails[1]["Subject"].lower()
