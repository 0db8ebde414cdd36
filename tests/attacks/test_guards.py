"""A guard that can be removed without a test turning red is no guard."""

import ast
import builtins
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from queue import Queue

import pytest

from tests.attacks.guards import GUARDS, Guard
from tests.attacks.places import find, names_around, parsed, places, source
from tests.support.databases import new_server, new_template
from tests.support.settings import ROOT

COPIES = 4  # a row often waits, for what does not come any more
RED = Path(__file__).parent / "guards_red.json"


def test_every_guard_stands_where_the_list_says() -> None:
    """A developer who changes guarded code reads at once all the rows that no longer fit, and what they may become."""
    wrong = [f"{guard.name}: {guard.text!r} {fault}" for guard in GUARDS if (fault := _fault(guard))]
    assert not wrong, "mend tests/attacks/guards.py:\n" + "\n".join(wrong)


def _fault(guard: Guard) -> str | None:
    found = find(guard.name, guard.text)
    if not found:
        there = "does not stand there" if guard.name in places() else "is looked for in a name that nothing has"
        return f"{there}; it stands in {names_around(guard.text) or 'no other place'}"
    if len(found) > 1:
        return f"stands there {len(found)} times: write more of it, or more of the name"
    try:
        unknown = _unknown_names(_without(guard))
    except SyntaxError as error:
        return f"is no Python as {guard.without!r}: {error}"
    if unknown:
        return f"becomes {guard.without!r}, but the file does not know {unknown}"
    for tests in guard.tests.split():
        file, _, names = tests.partition("::")
        name = names.rpartition("::")[2]  # behind that of its class, if it has one
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text() + "def (":
            return f"shall turn {tests} red, which there is not"
    return None


def _unknown_names(text: str) -> set[str]:
    """Return the names that a module uses and neither makes nor imports."""
    used, known = set[str](), set(dir(builtins)) | {"__file__", "__name__"}
    for node in ast.walk(parsed(text)):
        match node:
            case ast.Name(name, ast.Load()):
                used.add(name)
            case ast.Name(name) | ast.arg(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                known.add(name)
            case ast.ClassDef(name) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                known.add(name)
            case ast.alias(name, other):
                known.add(other or name.partition(".")[0])
    return used - known


def _without(guard: Guard) -> str:
    """Return the text of the guard's file without the guard. Further lines are indented as much as the first."""
    (found,) = find(guard.name, guard.text)
    text = source(found.file)
    line = text[text.rfind("\n", 0, found.start) + 1 : found.start]
    indent = line[: len(line) - len(line.lstrip())]
    return text[: found.start] + guard.without.replace("\n", f"\n{indent}") + text[found.end :]


class CopyOfTheTree:
    """A copy in which a guard can be removed, and a process that runs tests there."""

    def __init__(self, folder: Path, **environment: str) -> None:
        left_out = shutil.ignore_patterns(".git", ".venv", ".data", ".env", "__pycache__", ".*cache", "node_modules")
        self.folder = shutil.copytree(ROOT, folder, ignore=left_out)
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "attacks" / "run_in_copies.py", self.folder],
            # All rounds: a race that shows a missing guard once in hundreds of rounds ends at the first.
            env={**kept, "TEST_ROUNDS": "100", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.why = ""
        self._times = count(1)

    def wait_until_ready(self) -> None:
        """Wait until the process has imported the service, with all guards."""
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def red_without(self, guard: Guard, first: str | None) -> str | None:
        """Return a test that fails without the guard; the `first` that is tried is the one that failed last time."""
        file = find(guard.name, guard.text)[0].file
        self._write(file, _without(guard))
        try:
            slow_too = ["-m", "slow or not slow"] if "::" in guard.tests else []
            found = self.run(first, "-m", "slow or not slow", changed=file, may_be_gone=True) if first else None
            return found or self.run(*guard.tests.split(), *slow_too, changed=file)
        finally:
            self._write(file, source(file))

    def _write(self, file: str, text: str) -> None:
        """Write a file with a time that it never had: bytecode of another text with the same length is not used."""
        (self.folder / file).write_text(text)
        os.utime(self.folder / file, (next(self._times),) * 2)

    def run(self, *arguments: str, changed: str | None = None, may_be_gone: bool = False) -> str | None:
        """Run tests until one fails, and return that."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps((arguments, changed)) + "\n")
        self.process.stdin.flush()
        code, red, self.why = json.loads(self.process.stdout.readline()) or (None, None, "")
        if code == pytest.ExitCode.USAGE_ERROR and may_be_gone:  # no test has this name any more
            return None
        ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
        assert code in ended, f"{arguments} ended with {code}"
        return str(red) if code == pytest.ExitCode.TESTS_FAILED else None

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture
def copies(tmp_path: Path) -> "Iterator[Queue[CopyOfTheTree]]":
    """Copies with a PostgreSQL each: what tests see of a server's transactions is of their own alone."""
    made: list[CopyOfTheTree] = []
    with ExitStack() as stack:
        for number in range(COPIES):
            given = os.environ.get("TEST_DATABASE_URL")
            url = given or stack.enter_context(new_server())
            template = stack.enter_context(new_template(url)) or ""
            copy = CopyOfTheTree(tmp_path / str(number), TEST_DATABASE_URL=url, TEST_TEMPLATE_DATABASE=template)
            made.append(stack.enter_context(closing(copy)))
        free: Queue[CopyOfTheTree] = Queue()
        for copy in made:
            copy.wait_until_ready()
            free.put(copy)
        yield free


@pytest.mark.slow
@pytest.mark.alone
def test_without_any_one_guard_the_suite_turns_red(copies: "Queue[CopyOfTheTree]") -> None:
    """No guard can be lost unseen: each is removed once, in a copy of the tree.

    The test that failed last time is tried first; `GUARDS_RED=write` writes these anew. With every guard all are green;
    those that are marked slow are run elsewhere.
    """
    guards = [guard for guard in GUARDS if os.geteuid() == 0 or not guard.needs_root]
    last: dict[str, str] = json.loads(RED.read_text())

    def in_a_copy(run: Callable[[CopyOfTheTree], str | None]) -> str | None:
        copy = copies.get()
        try:
            return run(copy)
        finally:
            copies.put(copy)

    def red_without(guard: Guard) -> str | None:
        return in_a_copy(lambda copy: copy.red_without(guard, last.get(str(guard))))

    def red_with_all(tests: list[str]) -> str | None:
        """Return a test that is red twice, and why: one that is so once came late, beside the other copies."""
        return in_a_copy(lambda copy: copy.run(*tests) and (red := copy.run(*tests)) and f"{red}: {copy.why}")

    with ThreadPoolExecutor(COPIES) as pool:
        red = dict(zip(map(str, guards), pool.map(red_without, guards), strict=True))
        tests = sorted(set(filter(None, red.values())))
        wrong = list(filter(None, pool.map(red_with_all, [tests[n : n + 20] for n in range(0, len(tests), 20)])))
    missed = sum(red[guard] != last.get(guard) for guard in red)
    print(f"guards removed: {len(guards)}; found by another test than last time: {missed}")
    if os.environ.get("GUARDS_RED") == "write":
        known = {guard: test for guard, test in (last | red).items() if test and guard in set(map(str, GUARDS))}
        RED.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    assert wrong == [], "red with every guard: " + "\n".join(wrong)
    green = [guard for guard, test in red.items() if test is None]
    assert green == [], "\n".join(green)
    assert len(GUARDS) >= 30
