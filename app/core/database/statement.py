"""Statements: written with SQLModel, compiled once to SQL for psycopg, with the type of their rows."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import starmap
from operator import itemgetter
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.selectable import ReturnsRows

_dialect = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
_PARAMETER = re.compile(r"%\((\w+)\)s")

RowT = TypeVar("RowT")


class Row(msgspec.Struct, gc=False):
    """A row: its fields have the names and the order of the statement's columns."""


class Statement(Generic[RowT]):
    """A compiled statement and the type of its rows: a `Row`, or that of its only column, or with `fields` tuples.

    A `quiet` one writes nothing that anybody waits for. `is_told` says of all others that write that somebody may.

    Raises: TypeError if the columns are not the row's fields. psycopg fills rows by position, so that a column in the
    wrong place would go unnoticed.
    """

    types: list[int] | None = None
    """Of its parameters, once a server has said them."""

    def __init__(
        self, clause: ReturnsRows, row: type[RowT], *, fields: Sequence[str] | None = None, quiet: bool = False
    ) -> None:
        columns = clause.exported_columns.keys()
        if fields is None:
            fields = row.__struct_fields__ if issubclass(row, Row) else columns[:1]
        if list(fields) != columns:
            raise TypeError(f"The columns {columns} are not the fields of {row.__name__}, {list(fields)}")
        compiled = clause.compile(dialect=_dialect)
        values = {name for name, value in compiled.params.items() if value is not None}
        if values:
            raise TypeError(f"{values} would be sent with each execution: make them constants")
        sql = str(compiled)
        self.sql = sql.encode()
        self.parameters = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
        numbers = {name: f"${number}" for number, name in enumerate(self.parameters, 1)}
        self.numbered = _PARAMETER.sub(lambda found: numbers[found[1]], sql).replace("%%", "%").encode()
        """The same as PostgreSQL itself writes it, with its parameters in their order."""
        self.only_reads = not re.search(rb"\b(INSERT|UPDATE|DELETE)\b", self.sql)
        self.is_told = not (self.only_reads or quiet)
        self.row = row
        self._make: Callable[[Iterable[Any]], Iterable[RowT]] = iter
        if not issubclass(row, tuple):
            self._make = partial(starmap, row) if issubclass(row, Row) else partial(map, itemgetter(0))

    def rows(self, answer: Iterable[tuple[Any, ...]]) -> list[RowT]:
        """Return what PostgreSQL has answered as rows."""
        return list(self._make(answer))
