"""Moving in: the accounts of another system are taken, some at a time, and keep their passwords."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID, uuid4

from app.accounts.incoming import Arrival, Refused
from app.accounts.moving_repository import INSERT_USERS, SELECT_TAKEN
from app.core.database.pool import Database

BATCH = 500

# An account's id ends in the number of its line. So one that is there already tells whether this run has made it, and
# from which line, without every address being kept in memory.
_LINE_BITS = 40


@dataclass
class Import:
    """What one run has done so far; `record` is told of each account that it has made."""

    record: Callable[[UUID], None]
    run: int = 0
    taken: int = 0
    skipped: int = 0
    refused: int = 0
    without_password: int = 0

    def __post_init__(self) -> None:
        self.run = uuid4().int >> _LINE_BITS

    def id_of(self, line: int) -> UUID:
        """Return the id of the account that a line makes."""
        return UUID(int=self.run << _LINE_BITS | line)

    def line_of(self, user_id: UUID) -> int | None:
        """Return the line that has made an account, None if it was there before."""
        return user_id.int & (1 << _LINE_BITS) - 1 if user_id.int >> _LINE_BITS == self.run else None


async def take_in(
    database: Database, arrivals: Iterable[Arrival | Refused], done: Import, *, no_password: str, now: datetime
) -> AsyncIterator[tuple[int, str]]:
    """Take accounts in, and yield each line that was not taken as it is, with the reason. Raises: DatabaseUnavailable.

    What is interrupted is finished by doing it again: an address that is there is left as it is. `no_password` is the
    hash of those who have yet to choose a password.
    """
    lines = iter(arrivals)
    while batch := list(islice(lines, BATCH)):
        there = await _insert(database, [it for it in batch if isinstance(it, Arrival)], done, no_password, now)
        for line, reason in _judge(batch, there, done):
            yield line, reason


async def _insert(
    database: Database, arrivals: list[Arrival], done: Import, no_password: str, now: datetime
) -> dict[str, UUID]:
    """Insert those whose address is free, and return the id that each address has now."""
    ordered = sorted(arrivals, key=lambda arrival: (arrival.email, arrival.line))  # two runs do not wait for each other
    if not ordered:
        return {}
    emails = [arrival.email for arrival in ordered]
    await database.fetch_all(
        INSERT_USERS,
        user_ids=[done.id_of(arrival.line) for arrival in ordered],
        emails=emails,
        names=[arrival.name for arrival in ordered],
        hashes=[arrival.password_hash or no_password for arrival in ordered],
        created=[arrival.created_at for arrival in ordered],
        now=now,
    )
    return {row.email: row.id for row in await database.fetch_all(SELECT_TAKEN, emails=emails)}


def _judge(batch: list[Arrival | Refused], there: dict[str, UUID], done: Import) -> Iterator[tuple[int, str]]:
    """Count what became of each line, and yield what is to be said of some."""
    for each in batch:
        if isinstance(each, Refused):
            done.refused += 1
            yield each.line, f"not taken: {each.why}"
            continue
        line = done.line_of(there[each.email]) if each.email in there else None
        if line == each.line:
            done.taken += 1
            done.record(there[each.email])
            if each.password_hash is None:
                done.without_password += 1
                yield each.line, f"taken without a password: {each.email} ({each.why_no_hash})"
        else:
            done.skipped += 1
            yield each.line, f"skipped: {each.email} " + (f"is in line {line}" if line else "has an account already")
