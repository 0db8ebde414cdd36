"""Runs tests in a copy of the tree, each time in a process of its own that need not import what the last one did.

Says that it is ready once it has imported the service: from then on files may change. Then reads lines of JSON, the
arguments of pytest and a file of the copy that has changed, or null, and answers each with pytest's exit code, the
first test that failed and why.
"""

import gc
import importlib
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import CO_NEWLOCALS
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

LONGEST_SECONDS = 300
QUIETLY = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
OURS = ("app", "tests", "migrations", "auth_tasks_client", "conftest", "__main__")
ORIGINAL = Path(__file__).parents[2]

Answer = tuple[int, str | None, str]


class FirstFailure:
    """A plugin of pytest that remembers the first test that failed."""

    test: str | None = None
    text = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at what has become of a test."""
        if report.failed and self.test is None:
            self.test, self.text = report.nodeid, report.longreprtext


def in_a_child(work: Callable[[], Any]) -> Any:
    """Return what the work returns in a process of its own, None if that ends otherwise."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(LONGEST_SECONDS)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def libraries() -> list[str]:
    """Return what the service and its tests import that is not their own."""
    before = set(sys.modules)
    pytest.main([*QUIETLY, "--collect-only", "tests/sessions/test_refresh.py"])
    return [name for name in sys.modules.keys() - before if name.split(".")[0] not in OURS]


def run(arguments: list[str]) -> Answer:
    """Run tests."""
    first = FirstFailure()
    code = pytest.main([*QUIETLY, *arguments], plugins=[first])
    return code, first.test, first.text[-1000:]


def shape(code: CodeType) -> tuple[object, ...]:
    """Return what makes a piece of code differ from another, but not where it stands, nor the code within."""
    constants = [(type(one), one) for one in code.co_consts if not isinstance(one, CodeType)]
    return (code.co_code, code.co_names, code.co_varnames, code.co_cellvars, code.co_freevars, constants)


def changed_functions(old: CodeType, new: CodeType) -> dict[tuple[str, int], CodeType] | None:
    """Return the new code of the functions that differ, by their names and former first lines; None if more differs."""
    was, becomes = ([one for one in code.co_consts if isinstance(one, CodeType)] for code in (old, new))
    if [one.co_qualname for one in was] != [one.co_qualname for one in becomes]:
        return None
    found: dict[tuple[str, int], CodeType] = {}
    for one, other in zip(was, becomes, strict=True):
        within = changed_functions(one, other)
        if within is None:
            return None
        found |= within
        if within or shape(one) != shape(other):
            found[one.co_qualname, one.co_firstlineno] = other
    return found if shape(old) == shape(new) or old.co_flags & CO_NEWLOCALS else None


class Imported:
    """A process that has imported the service, and gives functions the code that a changed file has for them.

    That saves two thirds of a test's time. What a module or a class did when it was imported has been done.
    """

    def __init__(self) -> None:
        importlib.import_module("app.main")
        self._functions = defaultdict[tuple[str, str, int], list[FunctionType]](list)
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                code = one.__code__
                self._functions[code.co_filename, code.co_qualname, code.co_firstlineno].append(one)

    def run(self, arguments: list[str], file: str | None) -> Answer | None:
        """Run tests, unless the file that has changed was imported and its change is not one of functions alone."""
        return run(arguments) if file is None or self._take_over(file, str(Path.cwd() / file)) else None

    def _take_over(self, file: str, path: str) -> bool:
        if path not in {getattr(module, "__file__", None) for module in sys.modules.values()}:
            return True
        was, becomes = (compile(Path(text).read_text(), path, "exec") for text in (ORIGINAL / file, path))
        living = [
            (function, code)
            for (name, line), code in (changed_functions(was, becomes) or {}).items()
            for function in self._functions[path, name, line]
        ]
        with suppress(ValueError):  # it has other free variables
            for function, code in living:
                function.__code__ = code
            return bool(living)
        return False


def answering(make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Return a function that has another, made in a process of its own, called in a child of that process."""
    questions, asking = os.pipe()
    answering, answers = os.pipe()
    if os.fork() == 0:
        os.close(asking)
        work = make()
        gc.freeze()
        with os.fdopen(questions) as lines, os.fdopen(answers, "w") as answer:
            print("ready", file=answer, flush=True)
            for line in lines:
                print(json.dumps(in_a_child(partial(work, *json.loads(line)))), file=answer, flush=True)
        os._exit(0)
    os.close(questions)
    os.close(answers)
    asked, answered = os.fdopen(asking, "w"), os.fdopen(answering)
    answered.readline()

    def ask(*question: Any) -> Any:
        print(json.dumps(question), file=asked, flush=True)
        return json.loads(answered.readline())

    return ask


os.chdir(sys.argv[1])
sys.path[0] = sys.argv[1]
for library in in_a_child(libraries) or []:
    with suppress(ImportError):  # some are no modules of their own
        importlib.import_module(library)
gc.freeze()
run_imported = answering(lambda: Imported().run)
print("ready", flush=True)
for question in sys.stdin:
    arguments, changed = json.loads(question)
    answer = run_imported(arguments, changed)
    if changed and (answer is None or answer[1] is None):
        answer = in_a_child(partial(run, arguments))
    print(json.dumps(answer), flush=True)
