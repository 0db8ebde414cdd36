"""The one place that reads the time, so that tests can set it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment as aware UTC."""

moment_of_record = time.time
"""Seconds since 1970, as a record of the log has them."""

monotonic = time.monotonic
"""Seconds from an arbitrary start, as psycopg's pool has them."""

stopwatch = time.perf_counter
"""Seconds from an arbitrary start, for measuring durations."""


def system_clock() -> datetime:
    """Read the machine's clock."""
    return datetime.now(UTC)
