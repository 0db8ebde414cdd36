"""Places in the source that have a name, wherever their file is: functions, methods, classes and constants."""

import ast
import threading
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tests.support.settings import ROOT

_PARSING = threading.Lock()


class Place(NamedTuple):
    """From where to where the definition of a name stands in a file."""

    file: str
    name: str
    start: int
    end: int


class Found(NamedTuple):
    """From where to where a text stands in a file."""

    file: str
    start: int
    end: int


def find(name: str, text: str) -> list[Found]:
    """Return where a text stands in the places of a name, however its words are spaced.

    A name is qualified as Python does it, `Tokens.read`; where several files have one, the end of the module's name
    stands before it, `tasks.repository.SELECT`.
    """
    return [found for place in places().get(name, []) for found in _find(place, text)]


def names_around(text: str) -> list[str]:
    """Return the qualified names of the innermost places in which a text stands."""
    around: dict[Found, Place] = {}
    for name, named in places().items():
        for place in named:
            if place.name == name:
                for found in _find(place, text):
                    inner = around.get(found)
                    if inner is None or place.end - place.start < inner.end - inner.start:
                        around[found] = place
    return sorted(f"{_module(place.file)}.{place.name}" for place in around.values())


def _find(place: Place, text: str) -> Iterator[Found]:
    squeezed, positions = _squeezed(place.file)
    sought = "".join(text.split())
    first, last = bisect(positions, place.start - 1), bisect(positions, place.end - 1)
    while (first := squeezed.find(sought, first, last)) >= 0:
        yield Found(place.file, positions[first], positions[first + len(sought) - 1] + 1)
        first += 1


@cache
def _squeezed(file: str) -> tuple[str, list[int]]:
    """Return a file's text without white space, and where each of its characters stands in the file."""
    positions = [at for at, character in enumerate(source(file)) if not character.isspace()]
    return "".join(source(file)[at] for at in positions), positions


@cache
def source(file: str) -> str:
    """Return the text of a file of this tree."""
    return (ROOT / file).read_text()


@cache
def places() -> dict[str, list[Place]]:
    """Return all places of `app/` by their names, with and without that of the module."""
    by_name: dict[str, list[Place]] = defaultdict(list)
    for path in sorted((ROOT / "app").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        starts = list(accumulate((len(line) + 1 for line in source(file).split("\n")), initial=0))
        for name, node in _definitions(parsed(source(file)), ""):
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
            place = Place(file, name, starts[first - 1], starts[node.end_lineno or first])
            module = _module(file).split(".")
            for length in range(len(module) + 1):
                by_name[".".join([*module[len(module) - length :], name])].append(place)
    return dict(by_name)


def _module(file: str) -> str:
    return ".".join(Path(file).with_suffix("").parts)


def parsed(text: str) -> ast.Module:
    """Return the tree of a module; one at a time, because CPython 3.11 counts the depth of all threads together."""
    with _PARSING:
        return ast.parse(text)


def _definitions(node: ast.AST, within: str) -> Iterator[tuple[str, ast.stmt]]:
    """Yield what a module, a class or a function defines, with its qualified name."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield within + child.name, child
                yield from _definitions(child, f"{within}{child.name}.")
            case ast.Assign() | ast.AnnAssign() if isinstance(node, ast.Module | ast.ClassDef):
                for target in child.targets if isinstance(child, ast.Assign) else [child.target]:
                    yield from ((within + named.id, child) for named in ast.walk(target) if isinstance(named, ast.Name))
            case ast.stmt():
                yield from _definitions(child, within)
