"""A clock that the test moves."""

from datetime import UTC, datetime, timedelta


class FrozenClock:
    """A clock that stands still until it is moved."""

    def __init__(self, moment: datetime | None = None) -> None:
        self.moment = moment or datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)
