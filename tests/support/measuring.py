"""What coverage measures: it doubles the time of what it looks at, so that it looks only where it may see something."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest

from tests.support.settings import ROOT

MEASURED_CASES = 2  # of a test with parameters, unless it is marked `measured`
# These look at the whole: what they run, the tests of a part run too.
_OF_THE_WHOLE = {"attacks", "bench", "client_js", "faults", "frontends", "growth", "machines"}
_measured = pytest.StashKey[bool]()


@contextmanager
def untraced() -> Iterator[None]:
    """Run what is in the block without coverage's tracer."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def choose_measured(items: Iterable[pytest.Item]) -> None:
    """Settle which tests are measured: the same ones in every process."""
    cases: Counter[str] = Counter()
    for item in items:
        test, _, _ = item.nodeid.partition("[")
        cases[test] += 1
        folder = item.path.relative_to(ROOT).parts[1]
        is_first = cases[test] <= MEASURED_CASES and folder not in _OF_THE_WHOLE
        item.stash[_measured] = is_first or item.get_closest_marker("measured") is not None


def is_measured(item: pytest.Item) -> bool:
    return item.stash.get(_measured, True)


def import_all() -> None:
    """Import every module of the service and of the client, whose first lines are run only then."""
    for folder, package in ((ROOT, "app"), (ROOT / "clients" / "python", "auth_tasks_client")):
        for file in sorted((folder / package).rglob("*.py")):
            if file.stem != "__main__":
                parts = file.relative_to(folder).with_suffix("").parts
                import_module(".".join(parts[:-1] if file.stem == "__init__" else parts))
