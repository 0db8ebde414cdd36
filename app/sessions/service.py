"""What seeing and ending one's own sessions means."""

from uuid import UUID

from app.accounts.service import AuthService
from app.auth.errors import SessionNotFound
from app.auth.events import logger
from app.auth.user_database import UserDatabase
from app.sessions import repository as sessions
from app.sessions.lifetimes import ENDED_SESSION_KEPT
from app.sessions.repository import ListedSession


async def list_sessions(auth: AuthService, db: UserDatabase) -> list[ListedSession]:
    """Return the user's living sessions, newest first. Raises: InvalidToken."""
    return newest_first(await sessions.select_living(db, oldest=db.principal.now - auth.lifetime))


def newest_first(found: list[ListedSession]) -> list[ListedSession]:
    """Return sessions in the order in which people see them."""
    return sorted(found, key=lambda session: (session.created_at, session.id), reverse=True)


async def end_session(auth: AuthService, db: UserDatabase, session_id: UUID) -> None:
    """End one of the user's living sessions, the current one or another. Raises: SessionNotFound, InvalidToken."""
    now = db.principal.now
    if not await sessions.end_one(db, session_id, oldest=now - auth.lifetime, expires_at=now + ENDED_SESSION_KEPT):
        raise SessionNotFound
    logger.info("session_ended", extra={"user_id": db.principal.user_id, "session_id": session_id})
    auth.record_event("session_ended")
