"""A guard that can be removed without a test turning red is no guard."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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


@pytest.fixture
def trees(tmp_path: Path) -> "Queue[Path]":
    free: Queue[Path] = Queue()
    for number in range(COPIES):
        tree = tmp_path / str(number)
        left_out = shutil.ignore_patterns(".git", ".venv", ".data", ".env", "__pycache__", ".*cache", "node_modules")
        shutil.copytree(ROOT, tree, ignore=left_out)
        free.put(tree)
    return free


def turns_red(guard: Guard, trees: "Queue[Path]", postgres_url: str) -> bool:
    tree = trees.get()
    file = tree / guard.file
    text = file.read_text()
    file.write_text(text.replace(guard.text, guard.without))
    try:
        environment = {**os.environ, "TEST_DATABASE_URL": postgres_url, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *guard.tests.split()]
        if "::" in guard.tests:  # a test by its name may be a slow one
            command += ["-m", "slow or not slow"]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=120, check=False)
        return done.returncode == 1  # a test failed; 2 to 5 would mean that the tests did not run
    finally:
        file.write_text(text)
        trees.put(tree)


@pytest.mark.slow
def test_without_any_one_guard_the_suite_turns_red(trees: "Queue[Path]", postgres_url: str) -> None:
    """No guard can be lost unseen: each is removed once, in a copy of the tree. Source: T-H20."""
    guards = [guard for guard in GUARDS if os.geteuid() == 0 or not guard.needs_root]
    with ThreadPoolExecutor(COPIES) as pool:
        red = list(pool.map(lambda guard: turns_red(guard, trees, postgres_url), guards))
    print(f"guards removed: {len(guards)}; suite red: {sum(red)}")
    green = [f"{g.file}: {g.text}" for g, is_red in zip(guards, red, strict=True) if not is_red]
    assert green == [], "\n".join(green)
    assert len(GUARDS) >= 30
