"""The SQL of who is calling: what a statement names to do its work for a signed-in user, and for nobody else."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Integer, Select, Uuid, bindparam, exists, select, true
from sqlalchemy.orm import Mapped
from sqlmodel import col

from app.auth.models import DeniedToken, User
from app.core.database.pool import Statement


class UserRow(NamedTuple):
    id: UUID
    email: str
    name: str | None
    created_at: datetime


user_columns = (col(User.id), col(User.email), col(User.name), col(User.created_at))


def signed_in() -> tuple[ColumnElement[bool] | Mapped[bool], ...]:
    """The conditions under which a genuine token speaks for its user."""
    return (
        col(User.id) == bindparam("user_id", type_=Uuid),
        col(User.is_active),
        col(User.token_version) == bindparam("version", type_=Integer),
        ~exists().where(col(DeniedToken.id) == bindparam("session_id", type_=Uuid)),
    )


# A genuine token's user, if its sign-in lives: one row or none. Statements name `owner`, so that the check and the
# work are one statement, one round trip and one moment.
alive = select(col(User.id)).where(*signed_in()).cte("alive")
owner = select(alive.c.id).scalar_subquery()


def only_if_active(work: FromClause) -> Select[Any]:
    """Give the rows of work that names `owner`, or one of nulls; no row at all if the sign-in is over."""
    return select(*work.c).select_from(alive.outerjoin(work, true()))


SELECT_SIGNED_IN_USER = Statement(select(*user_columns).where(*signed_in()), UserRow)
