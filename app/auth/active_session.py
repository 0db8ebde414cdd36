"""The SQL of who is asking: statements that do their work for a user with an active session, and for nobody else."""

from datetime import datetime
from typing import Any, Generic, cast
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Integer, Subquery, Uuid, bindparam, exists, literal_column, select, true
from sqlmodel import col

from app.auth.models import DeniedToken, User
from app.core.database.statement import Row, RowT, Statement


class Id(Row):
    id: UUID


class UserRow(Row):
    id: UUID
    email: str
    name: str | None
    created_at: datetime


class Credentials(Row):
    id: UUID
    email: str
    password_hash: str


user_columns = (col(User.id), col(User.email), col(User.name), col(User.created_at))

# Restricts every table of a statement: what belongs to a user is found by the user's id.
user_id = bindparam("user_id", type_=Uuid)


is_not_denied: ColumnElement[bool] = ~exists().where(
    col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == bindparam("session_id", type_=Uuid)
)


def session_is_active() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions under which a valid token speaks for its user."""
    conditions = (
        col(User.id) == user_id,
        col(User.is_active),
        col(User.token_version) == bindparam("token_version", type_=Integer),
        is_not_denied,
    )
    return cast("tuple[ColumnElement[bool], ...]", conditions)


active_session = (
    select(literal_column("1", Integer).label("one"))
    .select_from(User)
    .where(*session_is_active())
    .cte("active_session")
)
in_active_session = exists().select_from(active_session)
"""For the WHERE of a change inside of a `UserStatement`."""


class UserStatement(Generic[RowT]):
    """The rows of some work for a user, checked in the same statement, round trip and moment.

    Without an active session it returns no row; if nothing was found, one whose first column, `found`, is false.
    `counts` are further columns that stand beside every row, found or not; the work may have columns for them that are
    no fields of the row. Source: FR-013, FR-023.
    """

    def __init__(self, work: Subquery | CTE, row: type[RowT], **counts: ColumnElement[Any]) -> None:
        first, *_ = work.c  # a primary key: null only where the outer join found nothing
        before = (first.is_not(None).label("found"), *(value.label(name) for name, value in counts.items()))
        fields: tuple[str, ...] = row.__struct_fields__  # type: ignore[attr-defined]  # a Row
        clause = select(*before, *(work.c[name] for name in fields)).select_from(active_session.outerjoin(work, true()))
        self.row = row
        self.width = len(before)
        self.statement: Statement[tuple[Any, ...]] = Statement(clause, tuple, fields=("found", *counts, *fields))

    def rows(self, answer: list[tuple[Any, ...]]) -> list[RowT]:
        """Return the rows that were found."""
        return [self.row(*values[self.width :]) for values in answer if values[0]]


SELECT_ACTIVE_USER = Statement(select(*user_columns).where(*session_is_active()), UserRow)
SELECT_CREDENTIALS = Statement(
    select(col(User.id), col(User.email), col(User.password_hash)).where(*session_is_active()), Credentials
)
