"""What counts attempts, wherever they are counted."""

import hashlib
from typing import Protocol

from app.core.setting_types import Limit


class RateLimiter(Protocol):
    """Counts attempts of one kind (`name`) by one client or account (`key`)."""

    async def hit(self, name: str, key: str, limit: Limit) -> None:
        """Count one attempt. Raises: TooManyRequests when that makes more than the limit."""

    async def give_back(self, name: str, key: str) -> None:
        """Uncount one attempt that succeeded."""

    async def clear(self, name: str, key: str) -> None:
        """Uncount every attempt."""

    async def close(self) -> None:
        """Close the connections."""


class NoRateLimiter:
    """Counts nothing, for `RATE_LIMITS=off`."""

    async def hit(self, name: str, key: str, limit: Limit) -> None: ...

    async def give_back(self, name: str, key: str) -> None: ...

    async def clear(self, name: str, key: str) -> None: ...

    async def close(self) -> None: ...


def limit_key(name: str, key: str) -> bytes:
    """Return a key of constant size, so that neither an address nor an e-mail is stored."""
    return hashlib.sha256(f"{name}\0{key}".encode()).digest()
