"""Counts attempts, exactly, over all workers and machines: one atomic upsert in the database."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Any, NamedTuple, NoReturn, Protocol

from sqlalchemy import Column, DateTime, Integer, LargeBinary, bindparam, case, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, col

from app.core.clock import Clock
from app.core.config import Limit
from app.core.database.pool import Database, Statement
from app.core.database.table import Table
from app.core.errors import TooManyRequests


class RateLimitCounter(Table, table=True):
    """How often something happened in its current window. UNLOGGED: a crash of the database forgets it."""

    __tablename__ = "rate_limit_counters"
    __table_args__ = {"prefixes": ["UNLOGGED"], "postgresql_with": {"fillfactor": 50}}  # noqa: RUF012  # their form

    key: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    count: int = Field(sa_column=Column(Integer, nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, index=True))


class Window(NamedTuple):
    ends_at: datetime


class Key(NamedTuple):
    key: bytes


class Joined(NamedTuple):
    """For a statement that names `counted`: its parameters, and the refusal to raise when that gave no row."""

    params: dict[str, Any]
    refuse: Callable[[], Awaitable[NoReturn]]


class RateLimiter(Protocol):
    """Where attempts are counted."""

    async def hit(self, name: str, key: str, limit: Limit) -> None:
        """Count one attempt. Raises: TooManyRequests when that makes more than the limit."""

    async def join(self, name: str, key: str, limit: Limit) -> Joined | None:
        """Let the statement that is tried count its attempt; None if that is done, or not wanted. Raises: as above."""

    async def give_back(self, name: str, key: str) -> None:
        """Uncount one attempt, because it turned out to be none."""

    async def clear(self, name: str, key: str) -> None:
        """Forget every attempt."""

    async def close(self) -> None:
        """Let go of what the counting holds."""


_now = bindparam("now", type_=DateTime(timezone=True))
_window_end = bindparam("window_end", type_=DateTime(timezone=True))
_over = col(RateLimitCounter.expires_at) <= _now

# Gives no row when the window is full. A refused attempt is not counted, so that giving back stays exact.
_hit = (
    insert(RateLimitCounter)
    .values(key=bindparam("key"), count=1, expires_at=_window_end)
    .on_conflict_do_update(
        index_elements=[col(RateLimitCounter.key)],
        set_={
            "count": case((_over, 1), else_=col(RateLimitCounter.count) + 1),
            "expires_at": case((_over, _window_end), else_=col(RateLimitCounter.expires_at)),
        },
        where=_over | (col(RateLimitCounter.count) < bindparam("amount", type_=Integer)),
    )
    .returning(col(RateLimitCounter.expires_at))
)
HIT = Statement(_hit, Window)
counted = _hit.cte("counted")
SELECT_WINDOW = Statement(
    select(col(RateLimitCounter.expires_at)).where(col(RateLimitCounter.key) == bindparam("which")), Window
)
GIVE_BACK = Statement(
    update(RateLimitCounter)
    .where(col(RateLimitCounter.key) == bindparam("which"), col(RateLimitCounter.count) > 0)
    .values(count=col(RateLimitCounter.count) - 1)
    .returning(col(RateLimitCounter.key)),
    Key,
)
CLEAR = Statement(
    delete(RateLimitCounter)
    .where(col(RateLimitCounter.key) == bindparam("which"))
    .returning(col(RateLimitCounter.key)),
    Key,
)
_expired = (
    select(col(RateLimitCounter.key))
    .where(_over)
    .order_by(col(RateLimitCounter.expires_at))
    .limit(bindparam("batch", type_=Integer))
    .with_for_update(skip_locked=True)
)
PRUNE = Statement(
    delete(RateLimitCounter).where(col(RateLimitCounter.key).in_(_expired)).returning(col(RateLimitCounter.key)), Key
)


class DatabaseRateLimiter:
    """Fixed windows, counted in the service's own database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock

    async def hit(self, name: str, key: str, limit: Limit) -> None:
        params, refuse = await self.join(name, key, limit)
        if await self.database.fetch_one(HIT, **params, now=self.clock()) is None:
            await refuse()

    async def join(self, name: str, key: str, limit: Limit) -> Joined:
        now, counter = self.clock(), limit_key(name, key)

        async def refuse() -> NoReturn:
            full = await self.database.fetch_one(SELECT_WINDOW, which=counter)
            wait = full.ends_at - now if full else timedelta()
            raise TooManyRequests(retry_after_seconds=max(1, ceil(wait.total_seconds())))

        window_end = now + timedelta(seconds=limit.window_seconds)
        return Joined({"key": counter, "window_end": window_end, "amount": limit.amount}, refuse)

    async def give_back(self, name: str, key: str) -> None:
        await self.database.fetch_one(GIVE_BACK, which=limit_key(name, key))

    async def clear(self, name: str, key: str) -> None:
        await self.database.fetch_one(CLEAR, which=limit_key(name, key))

    async def close(self) -> None: ...


class NoRateLimiter:
    """Counts nothing, for `RATE_LIMITS=off`."""

    async def hit(self, name: str, key: str, limit: Limit) -> None: ...

    async def join(self, name: str, key: str, limit: Limit) -> None: ...

    async def give_back(self, name: str, key: str) -> None: ...

    async def clear(self, name: str, key: str) -> None: ...

    async def close(self) -> None: ...


async def prune_counters(database: Database, now: datetime, *, batch: int = 1000) -> int:
    """Delete up to `batch` counters whose window is over, and say how many."""
    return len(await database.fetch_all(PRUNE, now=now, batch=batch))


def limit_key(name: str, key: str) -> bytes:
    """Give a key of constant size, so that neither an address nor an e-mail is stored here."""
    return hashlib.sha256(f"{name}\0{key}".encode()).digest()
