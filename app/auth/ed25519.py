"""Signs with Ed25519 and verifies, by a key that a secret gives. The only module that knows cryptography."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"access tokens"


class Ed25519Key:
    """A private key and the public one that belongs to it. The same text has one signature. Source: RFC 8032 5.1."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key()
        self.public = self._public.public_bytes_raw()

    def sign(self, text: bytes) -> bytes:
        """Return the signature of a text."""
        return self._private.sign(text)

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Return whether this is a signature of the text."""
        try:
            self._public.verify(signature, text)
        except InvalidSignature:
            return False
        return True


def derive(secret: str) -> Ed25519Key:
    """Return the key of a secret, which nobody has to keep. Source: RFC 5869."""
    return Ed25519Key(HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode()))
