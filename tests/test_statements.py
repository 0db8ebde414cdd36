"""The statements: what `docs/statements.sql` shows of them, and what PostgreSQL says of each."""

from datetime import date, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import psycopg

from app.auth.active_session import UserStatement
from app.core.database.statement import Row, Statement
from app.tasks.changes_repository import Moment
from tests.support.statements import DOCUMENT, document, documented, named_statements, numbered, statements

# What psycopg makes of PostgreSQL's types.
LOADED_AS = {
    "_text": list,
    "bool": bool,
    "bytea": bytes,
    "date": date,
    "float8": float,
    "int4": int,
    "int8": int,
    "text": str,
    "timestamptz": datetime,
    "uuid": UUID,
    "varchar": str,
}
# What stands beside the rows.
BESIDE = {"found": bool, "total": int, **get_type_hints(Moment)}


def test_the_document_shows_every_statement() -> None:
    """Who reads, reviews or plans for the service reads its SQL, as it is run, in one file."""
    shown = documented(DOCUMENT.read_text())
    assert not (missing := {made.name for made in named_statements()} - shown.keys()), f"{missing}: run `make sql`"
    assert document() == DOCUMENT.read_text(), f"{DOCUMENT.name} is out of date: run `make sql`"


def test_what_is_shown_is_what_is_run() -> None:
    """The lines that people read are the statement itself: nothing but white space is different."""
    for made in statements():
        assert "".join(made.sql.split()) == "".join(made.raw.split()), made.name


def test_postgresql_describes_each_statement_as_its_rows_do(own_database_url: str) -> None:
    """No row has a value of another kind than its field says: names and types are what PostgreSQL itself answers."""
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        names: dict[int, str] = dict(connection.execute("SELECT oid, typname FROM pg_type").fetchall())
        for made in statements():
            connection.pgconn.prepare(b"", numbered(made.raw)[0].encode())
            described = connection.pgconn.describe_prepared(b"")
            assert described.status == psycopg.pq.ExecStatus.COMMAND_OK, f"{made.name}: {described.error_message!r}"
            found = {described.fname(i): LOADED_AS[names[described.ftype(i)]] for i in range(described.nfields)}
            if isinstance(made.statement, bytes):
                assert not found, f"{made.name} is run by psql, which would print {found}"
            else:
                check(made.name, made.statement, {(name or b"").decode(): kind for name, kind in found.items()})


def check(name: str, statement: Statement[Any] | UserStatement[Any], found: dict[str, type]) -> None:
    """Compare what PostgreSQL answers with the fields of the rows, or with the type of the only value."""
    row = statement.row
    kinds = get_type_hints(row) if issubclass(row, Row) else {list(found)[-1]: row}
    fields = {field: plain(kind) for field, kind in kinds.items()}
    beside = {column: plain(BESIDE[column]) for column in found if column not in fields}
    assert found == beside | fields, f"{name} answers {found}, its rows are {beside | fields}"
    assert list(found) == [*beside, *fields], f"{name} has its columns in another order"


def plain(kind: Any) -> type:
    """Return the type without None, and of a literal that of its values."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Literal:
        (kind,) = {type(value) for value in get_args(kind)}
    kind = get_origin(kind) or kind
    assert isinstance(kind, type)
    return kind
