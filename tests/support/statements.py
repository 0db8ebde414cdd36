"""Every statement of the service, written so that people can read it.

`python -m tests.support.statements > docs/statements.sql`, which is `make sql`, writes those that the reader is shown.
"""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from itertools import combinations, cycle, product
from random import Random
from typing import Any, NamedTuple, get_args

from app.auth.active_session import UserStatement
from app.core.database.statement import Statement
from app.tasks.list_repository import FILTERS, ListShape, list_statement
from app.tasks.models import Order, Sort
from app.tasks.repository import update_statement
from app.tasks.schemas import TaskUpdate
from tests.support.settings import ROOT

DOCUMENT = ROOT / "docs" / "statements.sql"
HEADER = """\
-- Every statement as it is run, under the file and the name where it is made; `make sql` writes this anew.
-- The list and the update of tasks have many shapes: here stands each filter, each order and each field once.
"""


WRITABLE = sorted(set(TaskUpdate.model_fields) - {"completed", "version"})
"""The columns of a task that a client can change."""


class Made(NamedTuple):
    """A statement of the service, or the text of one that psql runs too, with its name."""

    name: str
    statement: Statement[Any] | UserStatement[Any] | bytes

    @property
    def raw(self) -> str:
        """Return its text as it is sent."""
        made = self.statement.statement if isinstance(self.statement, UserStatement) else self.statement
        return (made if isinstance(made, bytes) else made.sql).decode()

    @property
    def sql(self) -> str:
        """Return its text, in lines that people can read."""
        return pretty(self.raw)


def named_statements() -> Iterator[Made]:
    """Yield those that have a name of their own, by file and in the order in which they stand there."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        source = path.read_text()
        if not re.search(r"\bStatement\(", source):
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.parse(source).body:
            for target in node.targets if isinstance(node, ast.Assign) else ():
                value = getattr(module, target.id, None) if isinstance(target, ast.Name) else None
                if isinstance(value, Statement | UserStatement | bytes):
                    yield Made(f"{path.relative_to(ROOT)} {ast.unparse(target)}", value)


def list_shapes() -> Iterator[ListShape]:
    """Yield every shape that a list can have: no query asks for a flag and for its opposite."""
    names = [frozenset(chosen) for count in range(len(FILTERS) + 1) for chosen in combinations(FILTERS, count)]
    possible = [filters for filters in names if not any(f"not {name}" in filters for name in filters)]
    for filters, sort, order, counted, after in product(
        possible, get_args(Sort), get_args(Order), *[[False, True]] * 2
    ):
        yield ListShape(filters, sort, order, counted=counted, after=after)


def chosen_shapes() -> Iterator[ListShape]:
    """Yield so few that any three options that can come together do so in one of them.

    A shape is made of its options one by one, so that what any three make of a statement all of them make of it.
    """
    shapes, seen = list(list_shapes()), set[tuple[object, ...]]()
    Random(0).shuffle(shapes)  # in order, three times as many would be chosen
    for shape in shapes:
        filters = [(name, name in shape.filters) for name in FILTERS]
        options = [*filters, *shape._replace(filters=frozenset())._asdict().items()]
        new = set(combinations(options, 3)) - seen
        if new:
            seen |= new
            yield shape


def made_list(shape: ListShape) -> Made:
    flags = [name for name, is_on in (("counted", shape.counted), ("after a cursor", shape.after)) if is_on]
    name = ", ".join([*sorted(shape.filters), f"by {shape.sort} {shape.order}", *flags])
    return Made(f"app/tasks/list_repository.py list_statement: {name}", list_statement(shape))


def statements(shapes: Iterable[ListShape] | None = None) -> Iterator[Made]:
    """Yield all of them, of the lists those of these shapes."""
    yield from named_statements()
    yield from updates()
    yield from map(made_list, chosen_shapes() if shapes is None else shapes)


def updates() -> Iterator[Made]:
    """Yield the update of every combination of fields."""
    for count in range(len(WRITABLE) + 1):
        for fields in combinations(WRITABLE, count):
            yield made_update(*fields)
            yield made_update(*fields, contradicts=True) if "status" in fields else made_update(*fields, reopen=True)


def made_update(*fields: str, **flags: bool) -> Made:
    name = ", ".join([*fields, *flags])
    return Made(f"app/tasks/repository.py update_statement: {name}", update_statement(frozenset(fields), **flags))


def shown() -> Iterator[Made]:
    """Yield what stands in the document."""
    yield from named_statements()
    yield made_update(*WRITABLE)
    yield made_update(reopen=True)
    yield made_update("status", contradicts=True)
    yield made_list(ListShape())
    orders = list(product(get_args(Sort), get_args(Order)))
    every = zip(range(max(len(orders), len(FILTERS))), cycle(orders), cycle(FILTERS), strict=False)
    for _, (sort, order), name in every:
        yield made_list(ListShape(frozenset([name]), sort, order, counted=order == "asc", after=True))


def document() -> str:
    """Return what stands in `docs/statements.sql`."""
    return HEADER + "".join(f"\n-- {made.name}\n{made.sql};\n" for made in shown())


def documented(text: str) -> dict[str, str]:
    """Return the statements of such a document by their names."""
    parts = re.split(r"^-- (app/.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: sql.strip().removesuffix(";") for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def numbered(sql: str) -> tuple[str, int]:
    """Write the parameters as PREPARE wants them, and say how many there are."""
    names = list(dict.fromkeys(PARAMETER.findall(sql)))
    return PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql).replace("%%", "%"), len(names)


PARAMETER = re.compile(r"%\((\w+)\)s")
# The words that begin a line; FOR UPDATE and DO UPDATE are no changes.
CLAUSE = re.compile(
    r"(?:WITH|SELECT|FROM|(?:LEFT OUTER )?JOIN|WHERE|AND|OR|GROUP BY|ORDER BY|LIMIT|FOR (?:UPDATE|KEY|NO KEY UPDATE)"
    r"|UNION(?: ALL)?|INSERT INTO|VALUES|ON CONFLICT|RETURNING|UPDATE|SET|DELETE FROM)\b"
)
QUERY = re.compile(r"\b(SELECT|UPDATE|DELETE)\b")
TOKEN = re.compile(r"'[^']*'|(?:%\(\w+\)s)?::TIMESTAMP WITH TIME ZONE|%\(\w+\)s|[(),]|[^\s(),']+")
WIDTH = 120


def pretty(sql: str) -> str:
    """Write SQL in lines, each clause and each query on lines of their own: nothing but its white space changes."""
    lines = [""]
    _write(lines, " ".join(sql.split()), 0, clauses=True)
    return "\n".join(line.rstrip() for line in lines)


def _write(lines: list[str], sql: str, indent: int, *, clauses: bool) -> None:
    place, begins = 0, False
    while found := TOKEN.search(sql, place):
        start, place = found.span()
        spaced = sql[start - 1 : start] == " " and bool(lines[-1].strip())
        clause = CLAUSE.match(sql, start) if clauses else None
        if clause and not (clause[0] in ("SET", "UPDATE") and lines[-1].endswith(("DO", "DO UPDATE"))):
            place = clause.end()
            _newline(lines, indent + 2 * (clause[0] in ("AND", "OR")))
            lines[-1] += clause[0]
        else:
            if (begins or found[0] in ("WHEN", "ELSE")) and len(lines[-1]) + _length(sql, start) >= WIDTH:
                _newline(lines, indent if lines[-1].strip() == ")," else indent + 4)
                spaced = False
            lines[-1] += " " * spaced + found[0]
            if found[0] == "(":
                place = _closing(sql, start) + 1
                _write_within(lines, sql[start + 1 : place - 1].strip(), indent)
        begins = found[0] == ","


def _write_within(lines: list[str], inside: str, indent: int) -> None:
    """Write what stands within parentheses, and the one that closes them."""
    if QUERY.match(inside):
        indent = len(lines[-1]) - len(lines[-1].lstrip())
        _newline(lines, indent + 4)
        _write(lines, inside, indent + 4, clauses=True)
        _newline(lines, indent)
    elif QUERY.search(inside) or len(lines[-1]) + len(inside) > WIDTH:
        _write(lines, inside, indent, clauses=False)
    else:
        lines[-1] += inside
    lines[-1] += ")"


def _newline(lines: list[str], indent: int) -> None:
    if lines[-1].strip():
        lines.append("")
    lines[-1] = " " * indent


def _length(sql: str, start: int) -> int:
    """Return how long the text is up to where it could go on in another line."""
    place = start
    while found := TOKEN.search(sql, place):
        if place > start and (found[0] in (",", "WHEN", "ELSE") or CLAUSE.match(sql, found.start())):
            return found.start() - start
        place = _closing(sql, found.start()) + 1 if found[0] == "(" else found.end()
    return len(sql) - start


def _closing(sql: str, opening: int) -> int:
    depth = 0
    for found in TOKEN.finditer(sql, opening):
        depth += (found[0] == "(") - (found[0] == ")")
        if depth == 0:
            return found.start()
    raise ValueError(sql)


if __name__ == "__main__":
    print(document(), end="")
