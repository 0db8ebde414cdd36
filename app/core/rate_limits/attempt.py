"""One try to guess something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from app.core.errors import ServiceUnavailable, TooManyRequests
from app.core.rate_limits.limiter import RateLimiter
from app.core.setting_types import Limit


class Attempt(NamedTuple):
    """A try that is counted before its outcome is known, so that many at once cannot slip through together."""

    limiter: RateLimiter
    name: str
    key: str
    limit: Limit

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        """Count what is done in this block. Raises: TooManyRequests.

        Not what could not be tried, because the service is too busy or another limit refuses it: whoever asks again as
        they were told must not be locked out for it.
        """
        await self.limiter.hit(self.name, self.key, self.limit)
        try:
            yield
        except (ServiceUnavailable, TooManyRequests):
            with suppress(ServiceUnavailable):
                await self.take_back()
            raise

    async def take_back(self) -> None:
        """Uncount this one."""
        await self.limiter.give_back(self.name, self.key)

    async def succeed(self) -> None:
        """Uncount all of its kind."""
        await self.limiter.clear(self.name, self.key)
