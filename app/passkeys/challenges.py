"""Challenges that prove themselves: nothing is stored when one is made, and any process can read it."""

import hmac
import secrets
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal, NamedTuple
from uuid import UUID

from app.auth.principal import Principal
from app.auth.proof import Act
from app.core.config import Settings

SECONDS = 300
_RANDOM, _END = 16, 8
_HEAD = _RANDOM + _END
_LENGTH = _HEAD + sha256().digest_size

Purpose = Literal["signin", "make", "proof"]


class InvalidChallenge(Exception):
    """It was not made here, for this, or it is too old."""


class Challenge(NamedTuple):
    """What a genuine challenge is known by once it is used, and when it ends."""

    id: UUID
    ends_at: datetime


class Challenges:
    """Makes them with the current secret, and knows those of the previous one.

    A challenge is 16 random bytes, its end, and an HMAC over both and over what it is for: the purpose, the act that
    it proves, the user and the session.
    """

    def __init__(self, secret: str, previous: str | None) -> None:
        self._keys = [sha256(b"passkey challenge:" + text.encode()).digest() for text in (secret, previous) if text]

    def make(self, now: datetime, purpose: Purpose, who: Principal | None = None, act: Act | None = None) -> bytes:
        """Return a new challenge, which is good for five minutes."""
        head = secrets.token_bytes(_RANDOM) + (int(now.timestamp()) + SECONDS).to_bytes(_END, "big")
        return head + _digest(self._keys[0], head, purpose, who, act)

    def read(
        self, challenge: bytes, now: datetime, purpose: Purpose, who: Principal | None = None, act: Act | None = None
    ) -> Challenge:
        """Return what a challenge of this purpose is known by. Raises: InvalidChallenge."""
        head, digest = challenge[:_HEAD], challenge[_HEAD:]
        known = [hmac.compare_digest(digest, _digest(key, head, purpose, who, act)) for key in self._keys]
        if len(challenge) != _LENGTH or not any(known):
            raise InvalidChallenge
        ends_at = int.from_bytes(head[_RANDOM:], "big")
        if ends_at <= now.timestamp():
            raise InvalidChallenge
        return Challenge(UUID(bytes=head[:_RANDOM]), datetime.fromtimestamp(ends_at, UTC))


def make_challenges(settings: Settings) -> Challenges:
    """Return what makes and reads them with these settings."""
    previous = settings.better_auth_secret_previous
    return Challenges(settings.better_auth_secret.get_secret_value(), previous.get_secret_value() if previous else None)


def _digest(key: bytes, head: bytes, purpose: Purpose, who: Principal | None, act: Act | None) -> bytes:
    bound = (purpose, act or "", who.user_id if who else "", who.session_id if who else "")
    return hmac.digest(key, "\0".join(map(str, bound)).encode() + b"\0" + head, "sha256")
