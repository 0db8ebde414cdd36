"""What belongs to a user besides the account: how it is taken along, and in which order it is deleted.

What is little goes with the account's row: passkeys.
"""

from typing import Any

from app.core.database.statement import Statement
from app.passkeys import going_repository as passkeys
from app.passkeys.going_repository import EXPORT_PASSKEYS
from app.sessions import denylist
from app.sessions import repository as sessions
from app.sessions.export_repository import EXPORT_SESSIONS
from app.tasks import changes_repository, repository
from app.tasks.export_repository import EXPORT_DELETED_TASKS, EXPORT_TASKS

BELONGINGS = (
    *(repository.DELETE_SOME, changes_repository.DELETE_SOME),
    *(sessions.DELETE_SOME, denylist.DELETE_SOME),
)
ENDED_BY_RESET = (passkeys.DELETE_ALL,)
"""What was made before a reset, and is worthless by it."""

EXPORTED: dict[str, Statement[Any]] = {
    "tasks": EXPORT_TASKS,
    "deleted_tasks": EXPORT_DELETED_TASKS,
    "sessions": EXPORT_SESSIONS,
    "passkeys": EXPORT_PASSKEYS,
}
"""By the names that they have in an export.

Each returns rows with an `id`, `limit` of them `after` one; or all, if it takes no `after`.
"""
