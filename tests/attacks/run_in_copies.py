"""Runs tests in a copy of the tree, each time in a process of its own that need not import the libraries again.

Reads lines of JSON, the arguments of pytest, and answers each with pytest's exit code and the first test that failed.
"""

import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

LONGEST_SECONDS = 300
QUIETLY = ("-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
OURS = ("app", "tests", "migrations", "auth_tasks_client", "conftest", "__main__")


class FirstFailure:
    """A plugin of pytest that remembers the first test that failed."""

    test: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at what has become of a test."""
        if report.failed and self.test is None:
            self.test = report.nodeid


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


def run(arguments: list[str]) -> tuple[int, str | None]:
    """Run tests."""
    first = FirstFailure()
    code = pytest.main([*QUIETLY, *arguments], plugins=[first])
    return code, first.test


os.chdir(sys.argv[1])
sys.path[0] = sys.argv[1]
for library in in_a_child(libraries) or []:
    with suppress(ImportError):  # some are no modules of their own
        importlib.import_module(library)
gc.freeze()
for line in sys.stdin:
    print(json.dumps(in_a_child(partial(run, json.loads(line)))), flush=True)
