"""Hashes and verifies passwords, off the event loop, in a pool as wide as the cores behind a bounded queue."""

import os
import secrets
import unicodedata
import warnings
from typing import NamedTuple

from app.auth.hash_queue import HashQueue
from app.core.clock import stopwatch

with warnings.catch_warnings():
    # passlib 1.7.4 imports `crypt`, which Python 3.11 and 3.12 announce to remove; nothing here uses it.
    warnings.filterwarnings("ignore", message="'crypt' is deprecated", category=DeprecationWarning)
    from passlib.context import CryptContext

# In code points of the normal form: a password is as long as what is hashed.
MIN_LENGTH = 8
MAX_LENGTH = 128
# NFKC composes up to four code points into one (U+1F82) and never more, so that a longer text is no password in any
# form. Checked first: NFKC keeps the interpreter to itself for 35 ms at 4,096 combining marks, for 0.3 ms at these.
MAX_INPUT_LENGTH = 4 * MAX_LENGTH


class Verification(NamedTuple):
    """Whether the password was right, and a stronger hash to store when the old one is out of date."""

    correct: bool
    new_hash: str | None


def normalise_password(password: str) -> str:
    """Return the form that is hashed, at sign-up and at sign-in. Raises: ValueError if it is too long.

    Source: NIST SP 800-63B-4 3.1.1.2.
    """
    if len(password) > MAX_INPUT_LENGTH:
        raise ValueError("longer than a password can be")
    return unicodedata.normalize("NFKC", password)


class PasswordHasher:
    """bcrypt over SHA-256, so that no byte is dropped at 72; plain bcrypt is still verified."""

    def __init__(self, *, cost: int, queue_seconds: float) -> None:
        self._context = CryptContext(
            ["bcrypt_sha256", "bcrypt"], deprecated="auto", bcrypt_sha256__rounds=cost, bcrypt__rounds=cost
        )
        started_at = stopwatch()
        # Made now: passlib makes its own at the first use, and that request, of an unknown e-mail, would take longer.
        self.dummy_hash = self._context.hash(secrets.token_urlsafe())
        self.seconds_per_hash = stopwatch() - started_at
        width = os.cpu_count() or 1
        # Twice what can be served in time. More could not be served in time, so they are refused at once.
        longest = max(16, int(2 * width * queue_seconds / self.seconds_per_hash))
        self._queue = HashQueue(width=width, longest=longest, seconds=queue_seconds)

    async def hash(self, password: str, *, client: str) -> str:
        """Return what to store; `client` is the address whose turn it takes. Raises: HashingOverloaded."""
        return await self._queue.run(lambda: str(self._context.hash(normalise_password(password))), client=client)

    async def verify(self, password: str, password_hash: str, *, client: str) -> Verification:
        """Verify exactly one hash, at the client's turn. Raises: HashingOverloaded."""
        return await self._queue.run(lambda: self._verify(password, password_hash), client=client)

    def close(self) -> None:
        """End the threads."""
        self._queue.close()

    def _verify(self, password: str, password_hash: str) -> Verification:
        try:
            return Verification(*self._context.verify_and_update(normalise_password(password), password_hash))
        except ValueError:  # too long, a lone surrogate, or a NUL against a plain bcrypt hash: no password is like that
            pass
        self._context.verify("", self.dummy_hash)  # a wrong password, which takes as long as any other
        return Verification(correct=False, new_hash=None)
