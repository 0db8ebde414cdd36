"""Hashes and verifies passwords, off the event loop, in a pool as wide as the cores behind a bounded queue."""

import os
import secrets
import unicodedata
import warnings
from typing import Any, NamedTuple

from app.auth.hash_queue import HashQueue
from app.core.clock import stopwatch

with warnings.catch_warnings():
    # passlib 1.7.4 imports `crypt`, which Python 3.11 and 3.12 announce to remove; nothing here uses it.
    warnings.filterwarnings("ignore", message="'crypt' is deprecated", category=DeprecationWarning)
    from passlib.context import CryptContext
    from passlib.hash import bcrypt

# In code points of the normal form: a password is as long as what is hashed.
MIN_LENGTH = 8
MAX_LENGTH = 128
# NFKC composes up to four code points into one (U+1F82) and never more, so that a longer text is no password in any
# form. Checked first: NFKC keeps the interpreter to itself for 35 ms at 4,096 combining marks, for 0.3 ms at these.
MAX_INPUT_LENGTH = 4 * MAX_LENGTH


# What other systems call the hashes that are not verified here.
_OTHER_SCHEMES = {
    "$argon2": "argon2",
    "argon2": "argon2",
    "pbkdf2_": "pbkdf2",
    "$pbkdf2": "pbkdf2",
    "$scrypt": "scrypt",
    "scrypt": "scrypt",
    "$2x$": "$2x$",  # of a bcrypt that took some passwords for others
    "$5$": "SHA-crypt",
    "$6$": "SHA-crypt",
    "md5$": "MD5",
    "sha1$": "SHA-1",
}
_DJANGO_BCRYPT = "bcrypt$"
_BCRYPT = ("$2a$", "$2b$", "$2y$")


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


def _forms(password: str) -> list[str]:
    """Return the forms in which a password may have been hashed, ours first; none if it cannot be a password.

    Other systems hash it as it was typed, or decomposed. Most passwords have one form.
    """
    try:
        form = normalise_password(password)
    except ValueError:
        return []
    return list(dict.fromkeys([form, password, unicodedata.normalize("NFKD", password)]))


class PasswordHasher:
    """bcrypt over SHA-256, so that no byte is dropped at 72; plain bcrypt and Django's are still verified."""

    def __init__(self, *, cost: int, queue_seconds: float) -> None:
        self._cost = cost
        schemes = ["bcrypt_sha256", "bcrypt", "django_bcrypt_sha256"]
        costs: dict[str, Any] = {f"{scheme}__rounds": cost for scheme in schemes}
        self._context = CryptContext(schemes, deprecated="auto", **costs)
        started_at = stopwatch()
        # Made now: passlib makes its own at the first use, and that request, of an unknown e-mail, would take longer.
        self.dummy_hash = self._context.hash(secrets.token_urlsafe())
        self.seconds_per_hash = stopwatch() - started_at
        width = os.cpu_count() or 1
        # Twice what can be served in time. More could not be served in time, so they are refused at once.
        longest = max(16, int(2 * width * queue_seconds / self.seconds_per_hash))
        self._queue = HashQueue(width=width, longest=longest, seconds=queue_seconds)

    @property
    def waiting(self) -> int:
        """Return how many passwords wait for their turn."""
        return self._queue.waiting

    async def hash(self, password: str, *, client: str) -> str:
        """Return what to store; `client` is the address whose turn it takes. Raises: HashingOverloaded."""
        return await self._queue.run(lambda: str(self._context.hash(normalise_password(password))), client=client)

    async def verify(self, password: str, password_hash: str, *, client: str) -> Verification:
        """Verify exactly one hash, at the client's turn. Raises: HashingOverloaded."""
        return await self._queue.run(lambda: self._verify(password, password_hash), client=client)

    def close(self) -> None:
        """End the threads."""
        self._queue.close()

    def admit(self, password_hash: str) -> str:
        """Return a hash of another system as it is stored. Raises: ValueError, which says why it cannot be.

        What costs more than ours would tell, by the time of an answer, that the account is there.
        """
        text = password_hash.removeprefix(_DJANGO_BCRYPT)
        scheme = self._context.identify(text, resolve=True)
        if scheme is None or (scheme.name == "bcrypt" and not text.startswith(_BCRYPT)):
            names = [name for prefix, name in _OTHER_SCHEMES.items() if text.startswith(prefix)]
            raise ValueError(f"{names[0]} hashes are not verified here" if names else "the hash is not bcrypt's")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of bits without a meaning, which are cleared
                read = scheme.from_string(text)
                text = str(read.to_string())
        except ValueError:
            raise ValueError("the hash is damaged") from None
        if read.checksum is None:
            raise ValueError("the hash is cut off")
        if read.rounds > self._cost:
            raise ValueError(f"the hash has the cost {read.rounds}, PASSWORD_HASH_COST is {self._cost}")
        return text

    def _verify(self, password: str, password_hash: str) -> Verification:
        """Try each form until one is right: how long a wrong password takes is decided by its text alone."""
        forms = _forms(password)
        for form in forms:
            if self._is_right(form, password_hash):
                is_old = form != forms[0] or self._context.needs_update(password_hash)
                return Verification(correct=True, new_hash=str(self._context.hash(forms[0])) if is_old else None)
        if not forms:
            self._context.verify("", self.dummy_hash)
        return Verification(correct=False, new_hash=None)

    def _is_right(self, form: str, password_hash: str) -> bool:
        """Verify one form. A wrong one takes as long as any other, though the hash may have cost less."""
        try:
            if self._context.verify(form, password_hash):
                return True
            scheme = self._context.identify(password_hash, resolve=True)
            for cost in range(scheme.from_string(password_hash).rounds, self._cost):  # each takes twice the one before
                bcrypt.using(rounds=cost).hash("")
        except ValueError:  # a lone surrogate, a NUL against plain bcrypt, or no hash: no password is like that
            self._context.verify("", self.dummy_hash)
        return False
