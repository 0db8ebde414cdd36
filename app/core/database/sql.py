"""What statements have in common: parameters and constants with their types, and the shapes that are used again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy
from sqlalchemy import BindParameter, ColumnElement, FromClause, TextualSelect, literal_column, select
from sqlalchemy.dialects.postgresql import INTERVAL, Insert, insert
from sqlalchemy.types import ARRAY, Boolean, DateTime, Integer, LargeBinary, String, TypeEngine, Uuid
from sqlmodel import SQLModel

T = TypeVar("T")

_TYPES: dict[Any, TypeEngine[Any]] = {
    bool: Boolean(),
    bytes: LargeBinary(),
    datetime: DateTime(timezone=True),
    int: Integer(),
    list[UUID]: ARRAY(Uuid()),
    list[int]: ARRAY(Integer()),
    str: String(),
    timedelta: INTERVAL(),
    UUID: Uuid(),
}


def parameter(name: str, of: type[T] | TypeEngine[T]) -> BindParameter[T]:
    """Return a value that is sent with each execution."""
    return sqlalchemy.bindparam(name, type_=of if isinstance(of, TypeEngine) else _TYPES[of])


def constant(value: T) -> ColumnElement[T]:
    """Return a value that stands in the SQL, so that it is not sent."""
    text = f"'{value}'" if isinstance(value, str) else str(value).lower()
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
    values: Mapping[str, ColumnElement[Any]],
    *conditions: ColumnElement[bool],
    key_share: type[SQLModel] | None = None,
) -> Insert:
    """Return an INSERT of one row for each of the source that meets the conditions.

    With `key_share` the source's rows of this table are locked FOR KEY SHARE: they can be changed, but not deleted.
    """
    rows = select(*(value.label(name) for name, value in values.items())).select_from(source).where(*conditions)
    if key_share:
        rows = rows.with_for_update(key_share=True, read=True, of=key_share)
    return insert(into).from_select(list(values), rows)
