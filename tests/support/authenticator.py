"""An authenticator in software: what a telephone or a security key does, and what no honest one does."""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key

from tests.support.people import Person

ORIGIN, DOMAIN = "http://localhost:3000", "localhost"
PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
PASSKEYS = "/api/auth/passkeys"
SIGN_IN, SIGN_IN_OPTIONS = f"{PASSKEYS}/signin", f"{PASSKEYS}/signin/options"
PROOF_OPTIONS = "/api/auth/proof/options"


def spelled(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def unspelled(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Key:
    """A key that an authenticator has made, and how often it has signed."""

    private: EllipticCurvePrivateKey
    user_handle: bytes
    id: bytes = field(default_factory=lambda: os.urandom(16))
    count: int = 0


@dataclass
class Authenticator:
    """Makes keys and signs with them: it can be one that verifies nobody, does not count, or is synced."""

    verifies: bool = True
    counts: bool = True
    synced: bool = False
    tells_user: bool = True
    """Whether it sends the handle of the user, as those do that keep the key itself."""
    origin: str = ORIGIN
    """The page in which it is asked."""
    domain: str = DOMAIN
    keys: list[Key] = field(default_factory=list)

    @property
    def flags(self) -> int:
        return PRESENT | VERIFIED * self.verifies | (ELIGIBLE | BACKED_UP) * self.synced

    def data(self, count: int, *, domain: str = "", flags: int | None = None, attested: bytes = b"") -> bytes:
        head = hashlib.sha256((domain or self.domain).encode()).digest()
        return head + bytes([self.flags if flags is None else flags]) + count.to_bytes(4, "big") + attested

    def make(self, options: dict[str, Any], *, public_key: bytes | None = None, **told: Any) -> dict[str, Any]:
        """Make a key for these options; `told` is what a dishonest one says otherwise."""
        key = Key(generate_private_key(SECP256R1()), unspelled(options["user"]["id"]))
        self.keys.append(key)
        client = client_data(
            "webauthn.create", options["challenge"], told.pop("origin", self.origin), **told.pop("client", {})
        )
        attested = (
            bytes(16)
            + len(key.id).to_bytes(2, "big")
            + key.id
            + (cose(key.private) if public_key is None else public_key)
        )
        data = self.data(
            0,
            domain=told.pop("domain", ""),
            flags=told.pop("flags", self.flags) | ATTESTED,
            attested=attested,
        )
        made = {"fmt": "none", "attStmt": {}, "authData": data} | told.pop("attestation", {})
        response = {"clientDataJSON": spelled(client), "attestationObject": spelled(cbor2.dumps(made))}
        return {"id": spelled(key.id), "rawId": spelled(key.id), "type": "public-key", "response": response} | told

    def sign(self, options: dict[str, Any], *, key: Key | None = None, **told: Any) -> dict[str, Any]:
        """Sign these options; `told` is what a dishonest one says otherwise."""
        key = key or self.keys[-1]
        key.count += self.counts
        client = client_data(
            "webauthn.get", options["challenge"], told.pop("origin", self.origin), **told.pop("client", {})
        )
        data = self.data(
            told.pop("count", key.count),
            domain=told.pop("domain", ""),
            flags=told.pop("flags", None),
            attested=told.pop("attested", b""),
        )
        signature = key.private.sign(data + hashlib.sha256(client).digest(), ECDSA(hashes.SHA256()))
        response: dict[str, Any] = {
            "clientDataJSON": spelled(client),
            "authenticatorData": spelled(data),
            "signature": spelled(told.pop("signature", signature)),
        }
        if self.tells_user:
            response["userHandle"] = spelled(told.pop("handle", key.user_handle))
        return {"id": spelled(key.id), "rawId": spelled(key.id), "type": "public-key", "response": response} | told


def client_data(kind: str, challenge: str, origin: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False, **more}).encode()


def cose(private: EllipticCurvePrivateKey) -> bytes:
    numbers = private.public_key().public_numbers()
    return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})


async def sign_in_options(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post(SIGN_IN_OPTIONS)
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()
    return options


async def creation_options(person: Person) -> dict[str, Any]:
    answer = await person.send("POST", f"{PASSKEYS}/options")
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()
    return options


async def proof_options(person: Person, act: str) -> dict[str, Any]:
    answer = await person.send("POST", PROOF_OPTIONS, json={"for": act})
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()
    return options


async def proof_of(person: Person, own: Authenticator, act: str, **told: Any) -> dict[str, Any]:
    """Return a proof by a passkey for an act."""
    return {"passkey": own.sign(await proof_options(person, act), **told)}


async def keep_key(
    person: Person, credential: dict[str, Any], *, proof: dict[str, Any] | None = None, **body: Any
) -> httpx.Response:
    """Ask the service to keep a key that was made."""
    sent = {"credential": credential, "proof": proof or {"current_password": person.password}, **body}
    return await person.send("POST", PASSKEYS, json=sent)


async def add_passkey(person: Person, own: Authenticator | None = None, **body: Any) -> Authenticator:
    """Return an authenticator with a key of this person's."""
    own = own or Authenticator()
    answer = await keep_key(person, own.make(await creation_options(person)), **body)
    assert answer.status_code == 201, answer.text
    return own


async def sign_in_by(
    client: httpx.AsyncClient,
    own: Authenticator,
    *,
    key: Key | None = None,
    body: dict[str, Any] | None = None,
    **told: Any,
) -> httpx.Response:
    """Sign in with a key, telling no name."""
    credential = own.sign(await sign_in_options(client), key=key, **told)
    return await client.post(SIGN_IN, json={"credential": credential, **(body or {})})
