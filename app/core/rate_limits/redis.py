"""Rate limits counted in Redis, for `RATE_LIMIT_STORAGE`; needs the `redis` extra."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil

from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.core.clock import system_clock
from app.core.errors import ServiceUnavailable, TooManyRequests
from app.core.logging import get_logger
from app.core.rate_limits.limiter import limit_key
from app.core.setting_types import Limit

logger = get_logger(__name__)

TIMEOUT_SECONDS = 1
CONNECTIONS = 20


class LimitsUnavailable(ServiceUnavailable):
    """Redis does not answer. Nobody signs in uncounted meanwhile, and nobody is signed out."""

    code = "LIMITS_UNAVAILABLE"


class RedisRateLimiter:
    """Fixed windows, by the scripts of the `limits` package: atomic over every process."""

    def __init__(self, url: str) -> None:
        # Its own pool: the library's opens a connection for every request that is waiting.
        self._pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # once: a connection that died in the pool shows only in use
        )
        # Not its default coredis, whose current release it cannot use (limits 5.8).
        self._storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="auth-tasks",
            connection_pool=self._pool,  # type: ignore[arg-type]  # documented, but not in the annotation
        )

    async def hit(self, name: str, key: str, limit: Limit) -> None:
        """Count one attempt. Raises: TooManyRequests, LimitsUnavailable."""
        stored = limit_key(name, key).hex()
        async with _answering():
            count = await self._storage.incr(stored, limit.window_seconds)
            if count <= limit.amount:
                return
            await self._storage.incr(stored, limit.window_seconds, amount=-1)  # not counted: it was not tried
            ends_at = await self._storage.get_expiry(stored)  # by this machine's clock, as the library gives it
        raise TooManyRequests(retry_after_seconds=max(1, ceil(ends_at - system_clock().timestamp())))

    async def give_back(self, name: str, key: str) -> None:
        stored = limit_key(name, key).hex()
        async with _answering():
            if await self._storage.get(stored) > 0:
                await self._storage.incr(stored, 1, amount=-1)

    async def clear(self, name: str, key: str) -> None:
        async with _answering():
            await self._storage.clear(limit_key(name, key).hex())

    async def close(self) -> None:
        """Close the connections; the library leaves them open."""
        await self._pool.aclose()


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except (StorageError, ConnectionError, TimeoutError, OSError) as error:
        logger.warning("redis_unavailable", extra={"error": type(error).__name__})
        raise LimitsUnavailable from error
