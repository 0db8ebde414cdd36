"""A guard that can be removed without a test turning red is no guard."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from queue import Queue

import pytest

from tests.attacks.guards import GUARDS, Guard
from tests.support.settings import ROOT

COPIES = 2


def test_every_guard_stands_where_the_list_says() -> None:
    """A developer who moves guarded code is told to move its row too."""
    for guard in GUARDS:
        found = (ROOT / guard.file).read_text().count(guard.text)
        assert found == 1, f"{guard.text!r} stands {found} times in {guard.file}: mend tests/attacks/guards.py"


class CopyOfTheTree:
    """A copy in which a guard can be removed, and a process that runs tests there."""

    def __init__(self, folder: Path, postgres_url: str) -> None:
        left_out = shutil.ignore_patterns(".git", ".venv", ".data", ".env", "__pycache__", ".*cache", "node_modules")
        self.folder = shutil.copytree(ROOT, folder, ignore=left_out)
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "attacks" / "run_in_copies.py"],
            env={**os.environ, "TEST_DATABASE_URL": postgres_url, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turns_red(self, guard: Guard) -> bool:
        """Return whether a test fails without the guard."""
        file = self.folder / guard.file
        text = file.read_text()
        file.write_text(text.replace(guard.text, guard.without))
        try:
            code = self.run(guard.tests)
        finally:
            file.write_text(text)
        assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), f"tests ended with {code} without {guard}"
        return code == pytest.ExitCode.TESTS_FAILED

    def run(self, tests: str) -> int:
        """Run tests until one fails, a test by its name also if it is a slow one. Return the exit code of pytest."""
        assert self.process.stdin
        assert self.process.stdout
        arguments = ["-x", *tests.split()]
        if "::" in tests:
            arguments += ["-m", "slow or not slow"]
        self.process.stdin.write(json.dumps([str(self.folder), *arguments]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture
def copies(tmp_path: Path, postgres_url: str) -> "Iterator[Queue[CopyOfTheTree]]":
    free: Queue[CopyOfTheTree] = Queue()
    with ExitStack() as stack:
        for number in range(COPIES):
            free.put(stack.enter_context(closing(CopyOfTheTree(tmp_path / str(number), postgres_url))))
        yield free


@pytest.mark.slow
def test_without_any_one_guard_the_suite_turns_red(copies: "Queue[CopyOfTheTree]") -> None:
    """No guard can be lost unseen: each is removed once, in a copy of the tree."""
    guards = [guard for guard in GUARDS if os.geteuid() == 0 or not guard.needs_root]

    def turns_red(guard: Guard) -> bool:
        copy = copies.get()
        try:
            return copy.turns_red(guard)
        finally:
            copies.put(copy)

    assert [copy.run("tests/sessions/test_refresh.py") for copy in copies.queue] == [0] * COPIES, "red with every guard"
    with ThreadPoolExecutor(COPIES) as pool:
        red = list(pool.map(turns_red, guards))
    print(f"guards removed: {len(guards)}; suite red: {sum(red)}")
    green = [f"{g.file}: {g.text}" for g, is_red in zip(guards, red, strict=True) if not is_red]
    assert green == [], "\n".join(green)
    assert len(GUARDS) >= 30
