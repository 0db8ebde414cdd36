"""docs/requirements.md and the docstrings that cite it, held together."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.settings import ROOT

INDEX = "docs/requirements.md"
CODE = re.compile(r"\b(?:FR|NFR|SC|V1|PATH|ENVELOPE)-\d{3}\b")
DEFINITION = re.compile(rf"(?m)^- \*\*({CODE.pattern})\*\* \S.*\.$")
MISSPELLED = re.compile(r"\b[A-HS]\d{1,2}\b|\b(?:FR|NFR|SC|V1|PATH|ENVELOPE|T)-[A-H]?\d+\b")
DEFINED = [found[1] for found in DEFINITION.finditer((ROOT / INDEX).read_text())]


@cache
def sources() -> dict[str, str]:
    """Return the text of every file that may cite a code."""
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in _files()}


def _files() -> Iterator[Path]:
    for folder in ("app", "tests", "clients", "migrations"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not re.search(r"/(build|\.?venv|node_modules)/", file.as_posix()):
                yield file


def cited() -> dict[str, str]:
    """Return each code that is cited, and a file in which it is."""
    return {code: file for file, text in sources().items() for code in CODE.findall(text)}


@cache
def docstrings() -> list[tuple[str, str, str]]:
    """Return file, name and docstring of every module, class and function; an empty one of what has none."""
    return [
        (file, getattr(node, "name", "the module"), ast.get_docstring(node) or "")
        for file, text in sources().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_every_code_that_is_cited_is_explained() -> None:
    """A reader who meets a code in a docstring finds in one place what it stands for."""
    unknown = {code: file for code, file in cited().items() if code not in DEFINED}
    assert not unknown, f"{unknown}: add a line `- **CODE** What is promised.` to {INDEX}, or mend the code"


def test_every_code_that_is_explained_is_cited() -> None:
    """A reader of the requirements finds for each of them what keeps it and what proves it."""
    unused = sorted(set(DEFINED) - cited().keys())
    assert not unused, (
        f"{unused}: cite them where they are kept or tested (Source: …), or delete their lines in {INDEX}"
    )


def test_every_requirement_is_one_line_and_stands_once() -> None:
    """A reader finds one line for each code, and no line that the tests above would overlook."""
    lines = [line for line in (ROOT / INDEX).read_text().splitlines() if line.startswith("- ")]
    wrong = [line for line in lines if not DEFINITION.fullmatch(line)]
    assert not wrong, f"{wrong}: write `- **CODE** What is promised.`, the code as FR-019"
    twice = sorted({code for code in DEFINED if DEFINED.count(code) > 1})
    assert not twice, f"{twice} stand twice in {INDEX}: keep one line, give the other the next free number"


def test_codes_are_written_in_one_way() -> None:
    """A search for a code finds every place that cites it."""
    wrong = [
        f"{file}: {name} has {code}"
        for file, name, text in docstrings()
        for code in MISSPELLED.findall(text)
        if not CODE.fullmatch(code)
    ]
    assert not wrong, f"{wrong}: write codes as in {INDEX}, FR-019, each of a range by itself"


def test_every_test_says_in_a_sentence_what_is_relied_on() -> None:
    """A reader learns from the docstring of a test who relies on what, before any code."""
    wrong = [
        f"{file}: {name}"
        for file, name, text in docstrings()
        if name.startswith("test_") and not re.match(r"\S*\w\S*( \S*\w\S*){3}", CODE.sub("", text).strip())
    ]
    assert not wrong, f"{wrong}: begin with a sentence about what a user relies on, and end with Source: and the codes"
