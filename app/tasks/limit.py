"""How many tasks a user may have."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.auth.user_database import UserDatabase
from app.tasks import repository
from app.tasks.errors import TooManyTasks

COUNTED_EVERY = timedelta(minutes=1)
FULL_FOR = timedelta(seconds=1)
"""How long somebody who may have no more is not counted anew: who deletes some wants to go on."""
USERS_KNOWN = 10_000


class _Count(NamedTuple):
    tasks: int
    at: datetime


class TaskLimit:
    """Counts a user's tasks once a minute and adds those that this process makes: no row for all of a user's writes.

    Several processes may so let a few hundred more pass. An `amount` of 0 is no limit.
    """

    def __init__(self, amount: int) -> None:
        self._amount = amount
        self._counts: dict[UUID, _Count] = {}  # in the order in which they were counted

    async def check(self, db: UserDatabase) -> None:
        """Raise TooManyTasks if the user may have no more."""
        if not self._amount:
            return
        user_id, now = db.principal.user_id, db.principal.now
        known = self._counts.get(user_id)
        if known is None or now - known.at >= (FULL_FOR if known.tasks >= self._amount else COUNTED_EVERY):
            known = _Count(await repository.count_tasks(db, most=self._amount), now)
            self._counts.pop(user_id, None)
            self._counts[user_id] = known
            if len(self._counts) > USERS_KNOWN:
                del self._counts[next(iter(self._counts))]
        if known.tasks >= self._amount:
            raise TooManyTasks

    def add(self, user_id: UUID) -> None:
        """Note a task that was made."""
        if known := self._counts.get(user_id):
            self._counts[user_id] = known._replace(tasks=known.tasks + 1)
