"""The SQL with which somebody takes the list of their sessions along, those that have ended too."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlmodel import col

from app.auth.active_session import user_id
from app.auth.models import DeniedToken
from app.core.database.sql import constant, parameter
from app.core.database.statement import Row, Statement
from app.sessions.models import Session


class ExportedSession(Row):
    id: UUID
    device: str | None
    created_at: datetime
    last_used_at: datetime
    ended: str | None


_of_session = and_(col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == col(Session.id))
# How it ended: the denylist says `active` of one that has been refreshed and has not.
_ended = func.nullif(col(DeniedToken.reason), constant("active"))
EXPORT_SESSIONS = Statement(
    select(
        *(col(Session.id), col(Session.device), col(Session.created_at)),
        func.coalesce(col(DeniedToken.denied_at), col(Session.created_at)).label("last_used_at"),
        _ended.label("ended"),
    )
    .outerjoin(DeniedToken, _of_session)
    .where(col(Session.user_id) == user_id, col(Session.id) > parameter("after", UUID))
    .order_by(col(Session.id))
    .limit(parameter("limit", int)),
    ExportedSession,
)
