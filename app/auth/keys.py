"""The keys that sign tokens and verify them: a secret, and the key pair that it gives."""

import json
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, Protocol

from jose import jwk, jwt
from jose.backends.base import Key
from jose.utils import base64url_encode

if TYPE_CHECKING:
    from app.auth.ed25519 import Ed25519Key

Algorithm = Literal["HS256", "EdDSA"]


class SigningKey(Protocol):
    """Signs texts and verifies their signatures, by one algorithm."""

    def sign(self, text: bytes, /) -> bytes:
        """Return the signature of a text."""

    def verify(self, text: bytes, signature: bytes, /) -> bool:
        """Return whether this is the signature of the text."""

    def header(self, typ: str) -> str:
        """Return the first part of each token of this type."""


class SecretKey:
    """A secret with its `kid`. python-jose would parse a secret that looks like JSON; a ready key it takes as it is."""

    def __init__(self, secret: str) -> None:
        self._key: Key = jwk.construct(secret, "HS256")
        self._kid = _kid(b"kid:", secret)
        self.sign, self.verify = self._key.sign, self._key.verify

    def header(self, typ: str) -> str:
        """Return the first part of each token of this type."""
        members = {"typ": typ, "kid": self._kid}
        return jwt.encode({}, self._key, algorithm="HS256", headers=members).partition(".")[0]


class PublicKey:
    """The key pair of a secret: by its public half others verify, and cannot sign.

    It is made when it is first needed, because many services never sign or read by it.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._kid = _kid(b"kid:EdDSA:", secret)

    @cached_property
    def _pair(self) -> "Ed25519Key":
        from app.auth.ed25519 import derive  # what is not used is not loaded

        return derive(self._secret)

    def sign(self, text: bytes) -> bytes:
        """Return the signature of a text."""
        return self._pair.sign(text)

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Return whether this is the signature of the text."""
        return self._pair.verify(text, signature)

    def header(self, typ: str) -> str:
        """Return the first part of each token of this type."""
        members = {"alg": "EdDSA", "kid": self._kid, "typ": typ}
        return base64url_encode(json.dumps(members, separators=(",", ":")).encode()).decode()

    def published(self) -> Mapping[str, str]:
        """Return what others verify by. Source: RFC 7517 4, RFC 8037 2."""
        point = base64url_encode(self._pair.public).decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": point, "kid": self._kid, "use": "sig", "alg": "EdDSA"}


def _kid(purpose: bytes, secret: str) -> str:
    return sha256(purpose + secret.encode()).hexdigest()[:8]
