"""Rate limits counted in the database, exactly, over all workers and machines: one atomic upsert."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import Column, DateTime, Integer, LargeBinary, case, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, col

from app.core.clock import Clock
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.database.sql import constant, now, parameter
from app.core.database.statement import Statement
from app.core.database.table import SQLModel
from app.core.errors import TooManyRequests
from app.core.rate_limits.limiter import limit_key
from app.core.setting_types import Limit

PRUNE_EVERY = 32
"""Attempts that a process counts between two deletions of expired counters."""
SLICES = 256
"""Parts of the keys, by their first byte."""


class RateLimitCounter(SQLModel, table=True):
    """How often something happened in its current window. UNLOGGED: a crash of the database forgets it."""

    __tablename__ = "rate_limit_counters"
    __table_args__ = {"prefixes": ["UNLOGGED"], "postgresql_with": {"fillfactor": 50}}  # noqa: RUF012  # their form

    key: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    count: int = Field(sa_column=Column(Integer, nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, index=True))


_count, _expires_at = col(RateLimitCounter.count), col(RateLimitCounter.expires_at)
_key, _window_end = parameter("key", bytes), parameter("window_end", datetime)
_is_over = _expires_at <= now
_is_asked_for = col(RateLimitCounter.key) == _key

# Returns no row when the window is full. A refused attempt is not counted, so that giving back stays exact.
HIT = Statement(
    insert(RateLimitCounter)
    .values(key=_key, count=constant(1), expires_at=_window_end)
    .on_conflict_do_update(
        index_elements=[col(RateLimitCounter.key)],
        set_={
            "count": case((_is_over, constant(1)), else_=_count + constant(1)),
            "expires_at": case((_is_over, _window_end), else_=_expires_at),
        },
        where=_is_over | (_count < parameter("amount", int)),
    )
    .returning(_expires_at),
    datetime,
)
SELECT_WINDOW_END = Statement(select(_expires_at).where(_is_asked_for), datetime)
GIVE_BACK = Statement(
    update(RateLimitCounter)
    .where(_is_asked_for, _count > constant(0))
    .values(count=_count - constant(1))
    .returning(_count),
    int,
)
CLEAR = Statement(delete(RateLimitCounter).where(_is_asked_for).returning(_count), int)
# By slices of the keys, which are digests and so evenly spread: several nodes could not share a LIMIT.
PRUNE = Statement(
    delete(RateLimitCounter)
    .where(
        col(RateLimitCounter.key) >= parameter("first", bytes),
        col(RateLimitCounter.key) < parameter("end", bytes),
        _is_over,
    )
    .returning(_count),
    int,
)


class DatabaseRateLimiter:
    """Fixed windows, counted in the service's own database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self._hits = 0

    async def hit(self, name: str, key: str, limit: Limit) -> None:
        now, counter = self.clock(), limit_key(name, key)
        window_end = now + timedelta(seconds=limit.window_seconds)
        counted = await self.database.fetch_value(HIT, key=counter, amount=limit.amount, window_end=window_end, now=now)
        if counted is None:
            end = await self.database.fetch_value(SELECT_WINDOW_END, key=counter)
            wait = end - now if end else timedelta()
            raise TooManyRequests(retry_after_seconds=max(1, ceil(wait.total_seconds())))
        await self._prune_at_times(now)

    async def _prune_at_times(self, now: datetime) -> None:
        """Delete the next slice's expired counters, once in so many attempts: none stays for long."""
        self._hits += 1
        if self._hits % PRUNE_EVERY == 0:
            with suppress(DatabaseUnavailable):  # the attempt is counted, and must be answered
                await _prune_slice(self.database, self._hits // PRUNE_EVERY % SLICES, now)

    async def give_back(self, name: str, key: str) -> None:
        await self.database.fetch_value(GIVE_BACK, key=limit_key(name, key))

    async def clear(self, name: str, key: str) -> None:
        await self.database.fetch_value(CLEAR, key=limit_key(name, key))

    async def close(self) -> None: ...


async def prune_counters(database: Database, now: datetime) -> AsyncIterator[int]:
    """Delete every counter whose window is over, slice by slice, and yield how many each time."""
    for number in range(SLICES):
        yield await _prune_slice(database, number, now)


async def _prune_slice(database: Database, number: int, now: datetime) -> int:
    """Delete the expired counters whose keys begin with this byte, and return how many."""
    end = bytes([number + 1]) if number + 1 < SLICES else b"\xff" * 33  # longer than any key
    return len(await database.fetch_all(PRUNE, first=bytes([number]), end=end, now=now))
