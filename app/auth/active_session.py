"""The SQL of who is asking: statements that do their work for a user with an active session, and for nobody else."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeAlias
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Delete,
    FromClause,
    Select,
    Update,
    and_,
    exists,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import Insert
from sqlmodel import col

from app.auth.models import DeniedToken, User, UserState
from app.auth.principal import Principal
from app.auth.tokens import Claims
from app.core.database.sql import constant, insert_from, parameter
from app.core.database.statement import Row, RowT, Statement


class UserRow(Row):
    id: UUID
    email: str
    name: str | None
    created_at: datetime


class Credentials(Row):
    id: UUID
    email: str
    password_hash: str
    password_version: int


user_columns = (col(User.id), col(User.email), col(User.name), col(User.created_at))

# `user_id` restricts every table of a statement: what belongs to a user is found by the user's id.
user_id, session_id = parameter("user_id", UUID), parameter("session_id", UUID)
token_version = parameter("token_version", int)
user_ids = parameter("user_ids", list[UUID])
own_id: Any = col(UserState.user_id)
"""The user's id in a row that is inserted: of a parameter Citus could not tell on which node the row will be."""


def caller(who: Principal | Claims) -> dict[str, Any]:
    """Return the parameters that say who is asking, in which session."""
    return {"user_id": who.user_id, "session_id": who.session_id, "token_version": who.token_version}


is_active = col(DeniedToken.reason) == constant("active")
"""Whether a session of the denylist has not ended."""
session_has_ended = exists().where(col(DeniedToken.user_id) == user_id, col(DeniedToken.id) == session_id, ~is_active)
is_of_version = and_(col(UserState.user_id) == user_id, col(UserState.token_version) == token_version)
in_active_session = and_(is_of_version, col(UserState.is_active), ~session_has_ended)
"""Whether a valid token speaks for this row of `user_state`."""

# A row's place is another when its part of the table has moved to another node, or was divided.
_place: ColumnElement[int] = literal_column("user_state.tableoid::bigint", BigInteger)
Work: TypeAlias = Select[*tuple[Any, ...]] | Update | Delete
_active_session = (
    select(constant(1).label("one"), _place.label("place"))
    .select_from(UserState)
    .where(in_active_session)
    .cte("active_session")
)
# On the node that has the user's rows: if the function stood in the UPDATE, Citus would ask the one that was asked.
_writing_session = (
    select(constant(1).label("one"), func.pg_current_xact_id().label("transaction"))
    .select_from(UserState)
    .where(in_active_session)
    .cte("writing_session")
    .prefix_with("MATERIALIZED")
)
session_place: ColumnElement[int] = _active_session.c.place
"""For a `UserStatement` that reads: which part of the table has the user's rows."""
this_transaction = select(_writing_session.c.transaction).scalar_subquery()
"""For a `UserStatement` that updates: the id of its transaction, by the node that has the user's rows."""


def work(statement: Work) -> FromClause:
    """Return what a statement finds or, in an active session only, changes, as `work` within a larger one."""
    if isinstance(statement, Select):
        return statement.subquery("work")
    return statement.where(exists().select_from(_session_of(statement))).cte("work")


def _session_of(does: FromClause | Work) -> CTE:
    return _writing_session if isinstance(does, Update) else _active_session


def insert_in_session(into: Any, values: dict[str, ColumnElement[Any]], *conditions: ColumnElement[bool]) -> Insert:
    """Return the INSERT of one row, or without an active session of none."""
    return insert_from(UserState, into, values, in_active_session, *conditions)


LOCK_USER = Statement(select(own_id).where(own_id == user_id).with_for_update(key_share=True), UUID, quiet=True)
"""Holds others of the same back, until the transaction ends; those who sign in, refresh and sign out go on."""


class UserStatement(Generic[RowT]):
    """The rows of some work for a user, checked in the same statement, round trip and moment.

    Without an active session it returns no row; if nothing was found, one whose first column, `found`, is false.
    `counts` are columns beside every row, found or not; they may use columns of the work that the row leaves out.
    Source: FR-013, FR-023.
    """

    def __init__(self, does: FromClause | Work, row: type[RowT], **counts: ColumnElement[Any]) -> None:
        done = does if isinstance(does, FromClause) else work(does)
        first = done.c[0]  # a primary key: null only where the outer join found nothing
        before = (first.is_not(None).label("found"), *(value.label(name) for name, value in counts.items()))
        fields = row.__struct_fields__ if issubclass(row, Row) else (first.key,)
        clause = select(*before, *(done.c[name] for name in fields)).select_from(
            _session_of(does).outerjoin(done, true())
        )
        self.row = row
        self._make: Callable[..., RowT] = row if issubclass(row, Row) else lambda value: value
        self.width = len(before)
        self.statement: Statement[tuple[Any, ...]] = Statement(clause, tuple, fields=("found", *counts, *fields))

    def rows(self, answer: list[tuple[Any, ...]]) -> list[RowT]:
        """Return the rows that were found."""
        return [self._make(*values[self.width :]) for values in answer if values[0]]


_account = and_(col(User.id) == user_id, in_active_session)
SELECT_ACTIVE_USER = Statement(select(*user_columns).where(_account), UserRow)
SELECT_CREDENTIALS = Statement(
    select(col(User.id), col(User.email), col(User.password_hash), col(User.password_version)).where(_account),
    Credentials,
)
