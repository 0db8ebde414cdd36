"""Which of the limiters counts."""

from app.core.clock import Clock
from app.core.config import Settings
from app.core.database.pool import Database
from app.core.rate_limits.database import DatabaseRateLimiter
from app.core.rate_limits.limiter import NoRateLimiter, RateLimiter


def make_limiter(settings: Settings, database: Database, clock: Clock) -> RateLimiter:
    """Return the limiter that the settings ask for."""
    if settings.rate_limits == "off":
        return NoRateLimiter()
    if settings.rate_limit_storage is None:
        return DatabaseRateLimiter(database, clock)
    from app.core.rate_limits.redis import RedisRateLimiter  # an extra that most do without

    return RedisRateLimiter(settings.rate_limit_storage.get_secret_value())
