"""Making, listing and deleting passkeys."""

import asyncio
import os
from typing import Any
from uuid import UUID

import cbor2
import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from app.core.database.pool import STATEMENTS_PER_USER
from app.passkeys.repository import MAX_PASSKEYS
from tests.support.authenticator import (
    PASSKEYS,
    Authenticator,
    add_passkey,
    creation_options,
    keep_key,
    proof_of,
    sign_in_by,
    sign_in_options,
    spelled,
)
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person
from tests.support.server import Service
from tests.support.waiting import held_statements, until


async def test_the_options_say_what_is_wanted(ada: Person, phone: Authenticator) -> None:
    """A browser learns for whom the key is, that it has to verify its owner, and which it has. Source: FR-063."""
    options = await creation_options(ada)
    assert options["rp"] == {"id": "localhost", "name": "localhost"}
    handle = spelled(UUID(ada.user["id"]).bytes)
    assert options["user"] == {"id": handle, "name": ada.email, "displayName": "Ada"}
    assert {param["alg"] for param in options["pubKeyCredParams"]} == {-8, -7, -257}
    assert options["excludeCredentials"] == [{"type": "public-key", "id": spelled(phone.keys[0].id)}]
    assert (options["attestation"], options["timeout"]) == ("none", 300_000)
    wanted = {"residentKey": "required", "requireResidentKey": True, "userVerification": "required"}
    assert options["authenticatorSelection"] == wanted


async def test_a_made_key_is_shown(ada: Person, bob: Person) -> None:
    """Its owner sees a key by the name that they gave it, and nobody else does."""
    own = Authenticator(synced=True)
    answer = await keep_key(ada, own.make(await creation_options(ada)), name="Phone")
    assert answer.status_code == 201
    (listed,) = (await ada.get(PASSKEYS)).json()
    assert listed == answer.json()
    assert (listed["id"], listed["name"], listed["synced"]) == (spelled(own.keys[0].id), "Phone", True)
    assert listed["last_used_at"] is None
    assert (await bob.get(PASSKEYS)).json() == []
    await add_passkey(ada, name=" ")
    assert [key["name"] for key in (await ada.get(PASSKEYS)).json()] == ["Phone", None]


async def test_who_made_the_authenticator_is_not_asked(keyed: httpx.AsyncClient, ada: Person) -> None:
    """A key of an authenticator that shows a certificate all the same is kept: it is not read."""
    attestation = {"fmt": "packed", "attStmt": {"alg": -7, "sig": b"x", "x5c": [b"\x30" * 3000]}}
    own = Authenticator()
    answer = await keep_key(ada, own.make(await creation_options(ada), attestation=attestation))
    assert answer.status_code == 201, answer.text
    assert (await sign_in_by(keyed, own)).status_code == 200


def key_of(algorithm: int, **made: bytes) -> bytes:
    numbers = generate_private_key(SECP256R1()).public_key().public_numbers()
    x, y = (made.get(name) or getattr(numbers, name).to_bytes(32, "big") for name in ("x", "y"))
    return cbor2.dumps({1: 2, 3: algorithm, -1: 1, -2: x, -3: y})


BAD: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "https://evil.example"},
    "another domain": {"domain": "evil.example"},
    "nobody present": {"flags": 0x04},
    "nobody verified": {"flags": 0x01},
    "what signs in": {"client": {"type": "webauthn.get"}},
    "a page within another": {"client": {"crossOrigin": True}},
    "another id": {"rawId": spelled(b"other")},
    "another id, twice": {"id": spelled(b"other"), "rawId": spelled(b"other")},
    "padding": {"id": "AA==", "rawId": "AA=="},
    "no point of the curve": {"public_key": key_of(-7, y=b"y" * 32)},
    "an algorithm that was not asked for": {"public_key": key_of(-36)},
    "an RSA key that takes long": {"public_key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 384, -2: b"\xff" * 383})},
    "a long RSA key": {"public_key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 2048, -2: b"\x01\x00\x01"})},
    "a short RSA key": {"public_key": cbor2.dumps({1: 3, 3: -257, -1: b"\xff" * 64, -2: b"\x01\x00\x01"})},
    "a key that is a number": {"public_key": b"\x04"},
    "no key": {"public_key": cbor2.dumps({})},
    "more behind the key": {"public_key": cbor2.dumps({1: 1}) + b"\x00"},
    "no data": {"attestation": {"authData": b""}},
    "data that is text": {"attestation": {"authData": "x"}},
}


@pytest.mark.parametrize("what", BAD)
async def test_a_wrong_key_is_not_kept(ada: Person, what: str) -> None:
    """A key that could not sign in, or not only its owner, is refused with one sentence: 422, and no 401."""
    answer = await keep_key(ada, Authenticator().make(await creation_options(ada), **BAD[what]))
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PASSKEY"), answer.text
    assert answer.json()["errors"][0]["field"] == "credential"
    assert (await ada.get(PASSKEYS)).json() == []


async def test_a_challenge_is_good_for_this_user_in_this_session_once(ada: Person, bob: Person) -> None:
    """Nobody plants a key in another's account: what was made for another session, user or purpose is refused."""
    own, other = Authenticator(), await ada.sign_in()
    for options in (await creation_options(bob), await creation_options(other), await sign_in_options(ada.client)):
        user = {"user": (await creation_options(ada))["user"]}
        assert (await keep_key(ada, own.make({**options, **user}))).json()["code"] == "INVALID_PASSKEY"
    options = await creation_options(ada)
    first, second = own.make(options), own.make(options)
    assert (await keep_key(ada, first)).status_code == 201
    assert (await keep_key(ada, second)).json()["code"] == "INVALID_PASSKEY", "it was used"
    assert (await keep_key(ada, first)).json()["code"] == "INVALID_PASSKEY"
    proof = await proof_of(ada, own, "passkey", key=own.keys[-2])
    assert (await keep_key(ada, second, proof=proof)).json()["code"] == "INVALID_PASSKEY"
    answer = await keep_key(ada, own.make(await creation_options(ada)), proof=proof)
    assert answer.status_code == 201, "the proof was not used up"


async def test_of_several_who_send_a_key_at_once_one_makes_it(ada: Person) -> None:
    """A challenge makes one key, however many ask at once."""
    own = Authenticator()
    options = await creation_options(ada)
    made = [own.make(options) for _ in range(8)]
    answers = await asyncio.gather(*[keep_key(ada, credential) for credential in made])
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
    assert len((await ada.get(PASSKEYS)).json()) == 1


async def test_an_old_challenge_makes_no_key(keyed_clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """What a browser was asked for long ago makes no key."""
    ada = await Person.sign_up(keyed_clocked)
    credential = Authenticator().make(await creation_options(ada))
    clock.advance(minutes=5)
    assert (await keep_key(ada, credential)).json()["code"] == "INVALID_PASSKEY"


async def test_there_are_ten(ada: Person) -> None:
    """An account has ten keys; the eleventh is 409, uses no proof up, and one that is deleted makes room."""
    own = Authenticator()
    for _ in range(MAX_PASSKEYS):
        await add_passkey(ada, own)
    proof, credential = await proof_of(ada, own, "passkey"), own.make(await creation_options(ada))
    answer = await keep_key(ada, credential, proof=proof)
    assert (answer.status_code, answer.json()["code"]) == (409, "TOO_MANY_PASSKEYS")
    body = {"proof": {"current_password": PASSWORD}}
    assert (await ada.send("POST", f"{PASSKEYS}/{spelled(own.keys[0].id)}/delete", json=body)).status_code == 200
    assert (await keep_key(ada, credential, proof=proof)).status_code == 201
    assert len((await ada.get(PASSKEYS)).json()) == MAX_PASSKEYS


async def test_of_four_at_once_one_is_the_last(ada: Person, connection: psycopg.Connection) -> None:
    """Those that one account has made at the same moment are counted as well: it has no more than ten."""
    for _ in range(MAX_PASSKEYS - 1):
        await add_passkey(ada)
    own = Authenticator()
    made = [own.make(await creation_options(ada)) for _ in range(STATEMENTS_PER_USER)]
    columns = b"(user_id, id, public_key, sign_count, synced, passkey_version)"
    row = b"INSERT INTO passkeys %s VALUES (%%s, %%s, '', 0, false, 0)" % columns
    with connection.transaction(force_rollback=True):  # none is written before others have counted, too
        connection.cursor().executemany(row, [(ada.user["id"], key.id) for key in own.keys])
        asked = [asyncio.create_task(keep_key(ada, credential)) for credential in made]
        await until(lambda: held_statements(connection) > 1)
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert sorted(statuses) == [201] + [409] * (STATEMENTS_PER_USER - 1)
    assert len((await ada.get(PASSKEYS)).json()) == MAX_PASSKEYS


async def test_a_deleted_key_signs_nobody_in(keyed: httpx.AsyncClient, ada: Person, phone: Authenticator) -> None:
    """Who has lost a device deletes its key, by the password or by a passkey; what it has begun goes on."""
    begun = Person(keyed, ada.email).keep(await sign_in_by(keyed, phone))
    path = f"{PASSKEYS}/{spelled(phone.keys[0].id)}/delete"
    proof = await proof_of(ada, phone, "passkey")
    assert (await ada.send("POST", path, json={"proof": proof})).status_code == 200
    assert (await sign_in_by(keyed, phone)).status_code == 401
    assert (await begun.get(PASSKEYS)).json() == []


@pytest.mark.parametrize("passkey_id", ["AAAA", "x", "%00", "a" * 2000, "%F0%9F%94%91"])
async def test_a_key_that_is_not_there_is_404(ada: Person, phone: Authenticator, passkey_id: str) -> None:
    """A key that is unknown, malformed or somebody else's is not found, and the proof is not used up."""
    proof = await proof_of(ada, phone, "passkey")
    answer = await ada.send("POST", f"{PASSKEYS}/{passkey_id}/delete", json={"proof": proof})
    assert (answer.status_code, answer.json()["code"]) == (404, "PASSKEY_NOT_FOUND")
    assert (await ada.send("POST", f"{PASSKEYS}/{spelled(phone.keys[0].id)}/delete", json={"proof": proof})).is_success


async def test_somebody_elses_key_is_404(ada: Person, bob: Person, phone: Authenticator) -> None:
    """Nobody deletes another's key, or learns that it is there."""
    body = {"proof": {"current_password": PASSWORD}}
    answer = await bob.send("POST", f"{PASSKEYS}/{spelled(phone.keys[0].id)}/delete", json=body)
    assert answer.status_code == 404
    assert len((await ada.get(PASSKEYS)).json()) == 1


OFF: list[tuple[str, str, Any]] = [
    ("POST", "/signin/options", None),
    ("POST", "/signin", {}),
    ("GET", "", None),
    ("POST", "/options", None),
    ("POST", "", {}),
    ("POST", "/AAAA/delete", {}),
]


async def test_without_passkeys_the_routes_say_so(client: httpx.AsyncClient) -> None:
    """A developer reads why there are no passkeys; a proof by one says so, too. Source: FR-063."""
    ada = await Person.sign_up(client)
    asked = [await ada.send(method, f"{PASSKEYS}{path}", json=body) for method, path, body in OFF]
    asked.append(await ada.send("POST", "/api/auth/proof/options", json={"for": "password"}))
    proof = {"passkey": Authenticator(keys=[]).sign({"challenge": "x"}, key=_any_key())}
    asked.append(await ada.send("POST", "/api/auth/me/delete", json={"proof": proof}))
    assert {(answer.status_code, answer.json()["code"]) for answer in asked} == {(501, "PASSKEYS_ARE_OFF")}


def _any_key() -> Any:
    from tests.support.authenticator import Key

    return Key(generate_private_key(SECP256R1()), os.urandom(16))


async def test_an_app_names_itself(service: Service) -> None:
    """An Android app signs in by the hash of its certificate, where the deployer has named it."""
    app = "android:apk-key-hash:" + "A" * 43
    async with service(passkeys="on", passkey_origins=app, service_name="Tasks") as client:
        ada, own = await Person.sign_up(client), Authenticator()
        options = await creation_options(ada)
        assert options["rp"]["name"] == "Tasks"
        assert (await keep_key(ada, own.make(options, origin=app))).status_code == 201
        assert (await sign_in_by(client, own, origin=app)).status_code == 200
        assert (await sign_in_by(client, own, origin=app[:-1] + "B")).status_code == 401
