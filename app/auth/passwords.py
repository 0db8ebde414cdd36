"""Hashes and verifies passwords, off the event loop, in a pool as wide as the cores behind a bounded queue."""

import asyncio
import os
import secrets
import sys
import unicodedata
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from app.core.clock import stopwatch
from app.core.errors import ServiceUnavailable

with warnings.catch_warnings():
    # passlib 1.7.4 imports `crypt`, which Python 3.11 and 3.12 announce to remove; nothing here uses it.
    warnings.filterwarnings("ignore", message="'crypt' is deprecated", category=DeprecationWarning)
    from passlib.context import CryptContext

T = TypeVar("T")

# passlib refuses longer ones; no account can have such a password.
MAX_LENGTH = 4096
_NICENESS = 10


class Verification(NamedTuple):
    """Whether the password was right, and a stronger hash to store when the old one is out of date."""

    correct: bool
    new_hash: str | None


class HashingOverloaded(ServiceUnavailable):
    """More sign-ins at once than can be hashed in time."""

    code = "TOO_BUSY"
    message = "Too many sign-ins at the moment. Please try again in a few seconds."


def normalise_password(password: str) -> str:
    """Return the form that is hashed, at sign-up and at sign-in. Source: NIST SP 800-63B-4 3.1.1.2."""
    return unicodedata.normalize("NFKC", password)


class PasswordHasher:
    """bcrypt over SHA-256, so that no byte is dropped at 72; plain bcrypt is still verified."""

    def __init__(self, *, cost: int, queue_seconds: float) -> None:
        self._context = CryptContext(
            ["bcrypt_sha256", "bcrypt"], deprecated="auto", bcrypt_sha256__rounds=cost, bcrypt__rounds=cost
        )
        width = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="hash", initializer=_lower_priority)
        self._turn = asyncio.Semaphore(width)
        self._queue_seconds = queue_seconds
        started_at = stopwatch()
        # Made now: passlib makes its own at the first use, and that request, of an unknown e-mail, would take longer.
        self.dummy_hash = self._context.hash(secrets.token_urlsafe())
        self.seconds_per_hash = stopwatch() - started_at
        # Twice what can be served in time. Beyond that the answer is certain, and is sent at once.
        self._longest_queue = max(16, int(2 * width * queue_seconds / self.seconds_per_hash))
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises: HashingOverloaded."""
        return await self._run_queued(lambda: str(self._context.hash(normalise_password(password))))

    async def verify(self, password: str, password_hash: str) -> Verification:
        """Verify exactly one hash. Raises: HashingOverloaded."""
        return await self._run_queued(lambda: self._verify(password, password_hash))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, password_hash: str) -> Verification:
        try:
            if len(password) <= MAX_LENGTH:
                return Verification(*self._context.verify_and_update(normalise_password(password), password_hash))
        except ValueError:  # a lone surrogate, or a NUL against a plain bcrypt hash: nobody's password
            pass
        self._context.verify("", self.dummy_hash)  # refused, and no sooner than others
        return Verification(correct=False, new_hash=None)

    async def _run_queued(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._longest_queue:
            raise HashingOverloaded(retry_after_seconds=5)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise HashingOverloaded(retry_after_seconds=5) from None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._turn.release()


def _lower_priority() -> None:
    """Let requests go before hashes when both want a core. Linux sets the priority of this thread alone."""
    if sys.platform == "linux":  # pragma: no branch  # the tests run on one of them
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
