"""Statements: written with SQLModel, compiled once to SQL for psycopg, with the type of their rows."""

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from psycopg.rows import args_row, tuple_row
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.selectable import ReturnsRows

_dialect = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

RowT = TypeVar("RowT")


class Row(msgspec.Struct, gc=False):
    """A row: its fields have the names and the order of the statement's columns."""


class NoRow(Row):
    """What a statement without RETURNING returns."""


class Statement(Generic[RowT]):
    """A compiled statement and the type of its rows, a `Row` or, without one, plain tuples.

    Raises: TypeError if the columns are not the row's fields. psycopg fills rows by position, so that a column in the
    wrong place would go unnoticed.
    """

    def __init__(self, clause: ReturnsRows, row: type[RowT], *, fields: Sequence[str] | None = None) -> None:
        fields = row.__struct_fields__ if fields is None else fields  # type: ignore[attr-defined]  # a tuple comes with its fields' names
        columns = clause.exported_columns.keys()
        if list(fields) != columns:
            raise TypeError(f"The columns {columns} are not the fields of {row.__name__}, {list(fields)}")
        compiled = clause.compile(dialect=_dialect)
        self.sql = str(compiled).encode()
        self.only_reads = not re.search(rb"\b(INSERT|UPDATE|DELETE)\b", self.sql)
        self.literals = {name: value for name, value in compiled.params.items() if value is not None}
        self.row_factory: Any = tuple_row if row is tuple else args_row(row)
