"""Short digests under the secret, by which something is known again that is not kept itself."""

import hmac
from hashlib import sha256

from app.core.config import Settings

LENGTH = 8


class Fingerprints:
    """Makes them with the current secret, and knows those of the previous one."""

    def __init__(self, secret: str, previous: str | None) -> None:
        self._keys = [sha256(b"fingerprint:" + text.encode()).digest() for text in (secret, previous) if text]

    def of(self, *parts: object) -> bytes:
        """Return the digest of these parts, of which only the last may hold a NUL."""
        return _digest(self._keys[0], parts)

    def match(self, found: bytes, *parts: object) -> bool:
        """Return whether this is the digest of these parts, or its beginning, under either secret."""
        return any(hmac.compare_digest(found, _digest(key, parts)[: len(found)]) for key in self._keys)


def make_fingerprints(settings: Settings) -> Fingerprints:
    """Return what makes and knows them with these settings."""
    previous = settings.better_auth_secret_previous
    return Fingerprints(
        settings.better_auth_secret.get_secret_value(), previous.get_secret_value() if previous else None
    )


def _digest(key: bytes, parts: tuple[object, ...]) -> bytes:
    return hmac.digest(key, "\0".join(map(str, parts)).encode(), "sha256")[:LENGTH]
