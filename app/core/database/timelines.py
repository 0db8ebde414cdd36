"""Which of several servers that take writes is the one: a standby that is promoted begins a timeline of its own."""

from typing import Any, NamedTuple

from psycopg import AsyncConnection, Error

# In a standby the functions fail; a service that has its own kind of log may not have them.
_ASK = (
    "SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int "
    "FROM pg_control_system()"
)


class Timeline(NamedTuple):
    """The line of writes of a server, by the identifier that it shares with its standbys and the number of the line."""

    system: int
    number: int


async def ask(connection: AsyncConnection[Any]) -> Timeline | None:
    """Return the timeline of the server that a connection leads to, None if it does not say."""
    try:
        row = await (await connection.execute(_ASK, prepare=False)).fetchone()
    except Error:
        return None
    return Timeline(*row) if row else None


class Timelines:
    """Remembers the highest number of each system that any server had."""

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}

    def note(self, timeline: Timeline | None) -> bool:
        """Remember it, and return whether it is beyond one that was known."""
        if timeline is None:
            return False
        known = self._highest.get(timeline.system)
        self._highest[timeline.system] = max(timeline.number, known or 0)
        return known is not None and timeline.number > known

    def is_left_behind(self, timeline: Timeline | None) -> bool:
        """Return whether some server has a higher one: what is written here now, it will not have."""
        return timeline is not None and timeline.number < self._highest.get(timeline.system, 0)
