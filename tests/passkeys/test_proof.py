"""The proof in a request: by a password or a passkey, for one act, in one session, once."""

import asyncio
from typing import Any

import httpx
import pytest

from app.passkeys.challenges import SECONDS
from app.sessions.repository import MAX_SCRIPT_TOKENS
from tests.support.authenticator import (
    PASSKEYS,
    Authenticator,
    add_passkey,
    creation_options,
    proof_of,
    proof_options,
    sign_in_options,
    spelled,
)
from tests.support.clock import FrozenClock
from tests.support.mail import mail_settings
from tests.support.people import PASSWORD, Person, is_signed_in, new_email
from tests.support.server import Service

NEW = "another battery staple 5"
ACTS = ("password", "delete", "email", "passkey", "token")


async def ask(person: Person, act: str, proof: Any, own: Authenticator | None = None) -> httpx.Response:
    """Ask for an act with this proof."""
    body: dict[str, Any] = {"proof": proof}
    match act:
        case "password":
            path, body["new_password"] = "/api/auth/password", NEW
        case "delete":
            path = "/api/auth/me/delete"
        case "email":
            path, body["email"] = "/api/auth/email", new_email()
        case "token":
            path, body = "/api/auth/tokens", body | {"name": "x", "scopes": ["tasks:read"], "days": 1}
        case _:
            path, body["credential"] = PASSKEYS, (own or Authenticator()).make(await creation_options(person))
    return await person.send("POST", path, json=body)


@pytest.fixture
async def all_on(service: Service, port: int) -> Any:
    """A service with passkeys and mail."""
    async with service(passkeys="on", **mail_settings(port, frontend_url="http://localhost:3000")) as client:
        yield client


@pytest.mark.parametrize("act", ACTS)
async def test_a_passkey_proves_for_one_act(all_on: httpx.AsyncClient, act: str) -> None:
    """Whoever has a passkey needs no password; what it has signed for one act does no other. Source: FR-065."""
    ada = await Person.sign_up(all_on)
    own = await add_passkey(ada)
    for other in ACTS:
        if other != act:
            refused = await ask(ada, act, await proof_of(ada, own, other))
            assert (refused.status_code, refused.json()["code"]) == (422, "WRONG_PROOF")
            assert refused.json()["errors"][0]["field"] == "proof"
    proof = await proof_of(ada, own, act)
    answer = await ask(ada, act, proof)
    assert answer.is_success, answer.text
    if act == "password":
        ada.keep(answer)
    if act != "delete":
        again = await ask(ada, act, proof)
        assert again.json()["code"] == "WRONG_PROOF", "it is good for one use"


@pytest.mark.parametrize("act", ACTS)
async def test_a_password_proves_as_before(all_on: httpx.AsyncClient, act: str) -> None:
    """The password proves every act, in `proof`; a wrong one says in which field it was. Source: FR-065."""
    ada = await Person.sign_up(all_on)
    wrong = await ask(ada, act, {"current_password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "WRONG_PASSWORD")
    assert wrong.json()["errors"][0]["field"] == "proof"
    assert (await ask(ada, act, {"current_password": PASSWORD})).is_success


@pytest.mark.parametrize("path", ["/api/auth/password", "/api/auth/me/delete"])
async def test_what_was_sent_before_goes_on(ada: Person, phone: Authenticator, path: str) -> None:
    """Clients that send `current_password` as such go on, and nobody has to guess which of two proofs counts."""
    more = {"new_password": NEW} if path.endswith("password") else {}
    proof = {"current_password": PASSWORD}
    for body, field, code in (
        (more, "current_password", "missing"),
        ({**more, "proof": {}}, "proof.current_password", "missing"),
        ({**more, **proof, "proof": proof}, "current_password", "two_proofs"),
        ({**more, "proof": {**proof, **await proof_of(ada, phone, "delete")}}, "proof.current_password", "two_proofs"),
        ({**more, "proof": {"passkey": {}}}, "proof.passkey.id", "missing"),
        ({**more, "proof": "x"}, "proof", "model_attributes_type"),
        ({**more, "current_password": 5}, "current_password", "string_type"),
    ):
        answer = await ada.send("POST", path, json=body)
        assert answer.status_code == 422
        assert (answer.json()["errors"][0]["field"], answer.json()["errors"][0]["code"]) == (field, code), answer.text
    wrong = await ada.send("POST", path, json={**more, "current_password": "wrong"})
    assert wrong.json()["errors"][0]["field"] == "current_password"
    assert (await ada.send("POST", path, json={**more, **proof})).status_code == 200


async def test_a_proof_is_of_this_user_and_session(ada: Person, bob: Person, phone: Authenticator) -> None:
    """What was signed in another session, by another's key, or for signing in proves nothing here. Source: FR-065."""
    other, bobs = await ada.sign_in(), await add_passkey(bob)
    options = await proof_options(ada, "delete")
    for what, proof in {
        "another session's": await proof_of(other, phone, "delete"),
        "another user's challenge": {"passkey": phone.sign(await proof_options(bob, "delete"))},
        "another user's key": {"passkey": bobs.sign(options)},
        "another user's handle": {"passkey": phone.sign(options, handle=bobs.keys[0].user_handle)},
        "signing in": {"passkey": phone.sign(await sign_in_options(ada.client))},
        "making a key": {"passkey": phone.sign(await creation_options(ada))},
        "another origin": {"passkey": phone.sign(options, origin="https://evil.example")},
        "another domain": {"passkey": phone.sign(options, domain="evil.example")},
        "nobody verified": {"passkey": phone.sign(options, flags=0x01)},
        "no signature": {"passkey": phone.sign(options, signature=b"")},
    }.items():
        assert (await ask(ada, "delete", proof)).json()["code"] == "WRONG_PROOF", what
    assert (await ask(ada, "delete", {"passkey": phone.sign(options)})).status_code == 200


async def test_a_key_that_the_device_keeps_elsewhere_proves_too(ada: Person, phone: Authenticator) -> None:
    """An authenticator that does not tell the user proves as well: the session says who it is."""
    phone.tells_user = False
    options = await proof_options(ada, "token")
    assert options["allowCredentials"] == [{"type": "public-key", "id": spelled(phone.keys[0].id)}]
    assert (await ask(ada, "token", {"passkey": phone.sign(options)})).status_code == 201


async def test_a_proof_is_good_for_five_minutes(keyed_clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """A proof that somebody finds later does nothing."""
    ada = await Person.sign_up(keyed_clocked)
    own = await add_passkey(ada)
    proof = await proof_of(ada, own, "delete")
    clock.advance(seconds=SECONDS)
    assert (await ask(ada, "delete", proof)).json()["code"] == "WRONG_PROOF"


@pytest.mark.parametrize("counts", [True, False])
async def test_a_proof_is_used_once(ada: Person, counts: bool) -> None:
    """Of fifty who send the same proof at once one makes a token. Source: FR-065."""
    own = await add_passkey(ada, Authenticator(counts=counts))
    proof = await proof_of(ada, own, "token")
    answers = await asyncio.gather(*[ask(ada, "token", proof) for _ in range(50)])
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 49


async def test_what_is_refused_otherwise_uses_no_proof_up(service: Service) -> None:
    """Who is refused for another reason touches the key once: the proof is still good."""
    async with service(passkeys="on", common_passwords="refuse") as client:
        ada = await Person.sign_up(client)
        own = await add_passkey(ada)
        proof = await proof_of(ada, own, "password")
        body = {"proof": proof, "new_password": "password1"}
        assert (await ada.send("POST", "/api/auth/password", json=body)).json()["errors"][0]["field"] == "new_password"
        assert (await ask(ada, "password", proof)).status_code == 200


async def test_a_token_too_many_uses_no_proof_up(ada: Person, phone: Authenticator) -> None:
    """Who has as many tokens as one may have ends one, and need not touch the key once more."""
    for _ in range(MAX_SCRIPT_TOKENS):
        made = await ask(ada, "token", {"current_password": PASSWORD})
    proof = await proof_of(ada, phone, "token")
    assert (await ask(ada, "token", proof)).json()["code"] == "TOO_MANY_TOKENS"
    assert (await ada.send("DELETE", f"/api/auth/sessions/{made.json()['id']}")).status_code == 204
    assert (await ask(ada, "token", proof)).status_code == 201


async def test_a_copied_keys_proof_is_refused(ada: Person, phone: Authenticator) -> None:
    """A key that has fallen behind its copy proves nothing."""
    for _ in range(2):
        assert (await ask(ada, "token", await proof_of(ada, phone, "token"))).status_code == 201
    for act in ("token", "password", "delete"):
        assert (await ask(ada, act, await proof_of(ada, phone, act, count=1))).json()["code"] == "WRONG_PROOF"


async def test_an_ended_session_proves_nothing(ada: Person, phone: Authenticator) -> None:
    """Who was signed out is told so, whatever was signed before."""
    proof = await proof_of(ada, phone, "delete")
    await ada.send("POST", "/api/auth/signout")
    assert (await ask(ada, "delete", proof)).status_code == 401
    assert (await ada.send("POST", "/api/auth/proof/options", json={"for": "delete"})).status_code == 401
    assert not await is_signed_in(ada)


@pytest.mark.parametrize("body", [{}, {"for": "everything"}, {"for": None}, {"act": "delete"}, {"for": ["delete"]}])
async def test_a_proof_is_for_an_act_that_there_is(ada: Person, body: dict[str, Any]) -> None:
    """A developer reads which acts take a proof."""
    answer = await ada.send("POST", "/api/auth/proof/options", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "for"
