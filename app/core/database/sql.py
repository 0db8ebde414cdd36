"""What statements have in common: parameters and constants with their types, and the shapes that are used again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy
from sqlalchemy import BindParameter, ColumnElement, FromClause, TextualSelect, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import INTERVAL, Insert, insert
from sqlalchemy.sql.dml import ReturningDelete
from sqlalchemy.types import ARRAY, Boolean, DateTime, Integer, LargeBinary, String, TypeEngine, Uuid
from sqlmodel import SQLModel

T = TypeVar("T")

_TYPES: dict[Any, TypeEngine[Any]] = {
    bool: Boolean(),
    bytes: LargeBinary(),
    datetime: DateTime(timezone=True),
    int: Integer(),
    list[UUID]: ARRAY(Uuid()),
    list[datetime]: ARRAY(DateTime(timezone=True)),
    list[int]: ARRAY(Integer()),
    list[str]: ARRAY(String()),
    str: String(),
    timedelta: INTERVAL(),
    UUID: Uuid(),
}


def parameter(name: str, of: type[T] | TypeEngine[T]) -> BindParameter[T]:
    """Return a value that is sent with each execution."""
    return sqlalchemy.bindparam(name, type_=of if isinstance(of, TypeEngine) else _TYPES[of])


def constant(value: T) -> ColumnElement[T]:
    """Return a value that stands in the SQL, so that it is not sent."""
    text = f"'{value}'" if isinstance(value, str) else "''::bytea" if value == b"" else str(value).lower()
    return literal_column(text, _TYPES[type(value)])


def null(of: type[T]) -> ColumnElement[T | None]:
    """Return a null of this type."""
    return sqlalchemy.null().cast(_TYPES[of])


def plain(text: str, **columns: type) -> TextualSelect:
    """Return a query in SQL's own words, and the columns that it has."""
    return sqlalchemy.text(text).columns(**{name: _TYPES[of] for name, of in columns.items()})


now = parameter("now", datetime)
"""The moment of the request, by this process's clock."""


def insert_from(
    source: type[SQLModel] | FromClause,
    into: type[SQLModel],
    values: Mapping[str, Any],
    *conditions: ColumnElement[bool],
    key_share: type[SQLModel] | None = None,
    share: type[SQLModel] | None = None,
    order_by: ColumnElement[Any] | None = None,
) -> Insert:
    """Return an INSERT of one row for each of the source that meets the conditions.

    With `key_share` the source's rows of this table are locked FOR KEY SHARE: they can be changed, but not deleted.
    With `share` they are locked FOR SHARE: whoever is changing one is waited for, and the conditions asked again.
    """
    rows = select(*(value.label(name) for name, value in values.items())).select_from(source).where(*conditions)
    if order_by is not None:
        rows = rows.order_by(order_by)
    if locked := key_share or share:
        rows = rows.with_for_update(key_share=locked is key_share, read=True, of=locked)
    return insert(into).from_select(list(values), rows)


def delete_some(table: Any, *conditions: ColumnElement[bool]) -> ReturningDelete[tuple[UUID]]:
    """Return a DELETE of at most `batch` rows that meet the conditions, with their ids."""
    # An array, not IN: a plan that was made while the table was small would scan it.
    some = select(table.id).where(*conditions).limit(parameter("batch", int)).scalar_subquery()
    return delete(table).where(*conditions, table.id == func.array(some).any_()).returning(table.id)
