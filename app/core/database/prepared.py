"""Statements prepared once for each connection, with the types that the server has given their parameters.

psycopg's cursor would prepare them too, and look up the types of each value anew whenever a statement is another than
the connection's last one.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from psycopg import abc, adapt, generators, pq, waiting
from psycopg.pq import Format
from psycopg.pq.abc import PGconn

from app.core.database.statement import Statement
from app.core.database.wire import Wire

MOST_PREPARED = 100
"""Statements that a connection keeps; the server holds a plan of each. Lists and updates have more shapes than that."""

# What is used of psycopg beyond its documentation, here and in `wire.py`.
_USED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (generators, ("execute",)),
    (waiting, ("Ready", "Wait")),
    (pq.PGconn, ("send_query_params", "send_prepare", "send_describe_prepared", "send_query_prepared", "finish")),
    (pq.PGresult, ("status", "nparams", "param_type", "ntuples")),
    (adapt.Transformer, ("set_dumper_types", "dump_sequence", "set_pgresult", "load_rows")),
)


def missing() -> list[str]:
    """Return what this psycopg lacks of what is used here: then its own cursor runs the statements."""
    return [f"{of.__name__}.{name}" for of, names in _USED for name in names if not hasattr(of, name)]


class Prepared(NamedTuple):
    """A statement that the server knows by this name, and what writes its values and reads its rows."""

    name: bytes
    transformer: abc.Transformer
    formats: Sequence[int]


class PreparedStatements:
    """The statements of one connection."""

    def __init__(self, pgconn: PGconn, wire: Wire) -> None:
        self._pgconn = pgconn
        self._wire = wire
        self._known: dict[Statement[Any], Prepared] = {}
        self._names = count()  # never one that was tried before: its statement may stand though what followed failed

    async def fetch(self, statement: Statement[Any], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        name, transformer, formats = self._known.get(statement) or await self._prepare(statement)
        dumped = transformer.dump_sequence(values, ())
        self._pgconn.send_query_prepared(name, dumped, formats, Format.BINARY)
        result = await self._wire.answer()
        transformer.set_pgresult(result)
        rows: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
        transformer.set_pgresult(None)  # or it would be kept with the connection
        return rows

    async def _prepare(self, statement: Statement[Any]) -> Prepared:
        """Let the server read the statement; its types it is asked for once in a process."""
        if len(self._known) >= MOST_PREPARED:
            self._known.clear()
            self._pgconn.send_query(b"DEALLOCATE ALL")
            await self._wire.answer()
        name = b"s%d" % next(self._names)
        self._pgconn.send_prepare(name, statement.numbered, statement.types)
        await self._wire.answer()
        if statement.types is None:
            self._pgconn.send_describe_prepared(name)
            described = await self._wire.answer()
            statement.types = [described.param_type(number) for number in range(described.nparams)]
        transformer: abc.Transformer = adapt.Transformer()  # of no connection, so that it reads timestamps in UTC
        transformer.set_dumper_types(statement.types, Format.BINARY)
        made = self._known[statement] = Prepared(name, transformer, [Format.BINARY] * len(statement.types))
        return made
