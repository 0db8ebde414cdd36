"""One try to guess something."""

from typing import NamedTuple

from app.core.config import Limit
from app.core.rate_limits.limiter import RateLimiter


class Attempt(NamedTuple):
    """A try that is counted before its outcome is known, so that many at once cannot slip through together."""

    limiter: RateLimiter
    name: str
    key: str
    limit: Limit

    async def begin(self) -> None:
        """Count it. Raises: TooManyRequests."""
        await self.limiter.hit(self.name, self.key, self.limit)

    async def take_back(self) -> None:
        """Uncount this one."""
        await self.limiter.give_back(self.name, self.key)

    async def succeed(self) -> None:
        """Uncount all of its kind."""
        await self.limiter.clear(self.name, self.key)
