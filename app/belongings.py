"""What belongs to a user besides the account, in the order in which it is deleted."""

from app.sessions import denylist
from app.sessions import repository as sessions
from app.tasks import changes_repository, repository

BELONGINGS = (
    *(repository.DELETE_SOME, changes_repository.DELETE_SOME),
    *(sessions.DELETE_SOME, denylist.DELETE_SOME),
)
