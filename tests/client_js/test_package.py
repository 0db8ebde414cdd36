"""The JavaScript package: its types are the document's, its entries are small, and strict TypeScript takes it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from examples.take_client import taken
from tests.client_js.conftest import PACKAGE, Project
from tests.support.pages import EXAMPLE
from tests.support.settings import ROOT

ENTRIES = ["index", "offline", "passkeys", "react", "script", "server"]


def test_the_types_are_those_of_the_document() -> None:
    """What the client calls and what it is answered is what the service says: `make openapi` writes both."""
    command = [sys.executable, str(PACKAGE / "write_types.py"), str(ROOT / "docs" / "openapi.json")]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (PACKAGE / "src" / "api.ts").read_text() == written


def test_the_package_depends_on_nothing() -> None:
    """Installing it installs nothing else; React is there already where `/react` is used."""
    package = json.loads((PACKAGE / "package.json").read_text())
    assert "dependencies" not in package
    assert list(package["devDependencies"]) == ["typescript"]
    assert package["peerDependenciesMeta"] == {"react": {"optional": True}}
    assert package["version"] == __version__


@pytest.mark.slow
def test_the_entries_are_small(project: Project) -> None:
    """Minified and compressed, the core has at most 3 KB, passkeys 1 more, a script's 1.5, all together 10."""

    def size(*names: str) -> int:
        return int(project.run("node", "programs/size.mjs", *names))

    core, script, everything = size("index"), size("script"), size(*ENTRIES)
    passkeys = size("index", "passkeys") - core
    print(f"{core} bytes the core, {passkeys} passkeys, {script} a script's, {everything} all entries")
    assert core <= 3 * 1024
    assert passkeys <= 1024
    assert script <= 1.5 * 1024
    assert everything <= 10 * 1024


@pytest.mark.slow
def test_each_entry_has_a_source_map(project: Project) -> None:
    """A developer steps through what was written, and not what was built."""
    dist = project.folder / "node_modules" / "auth-tasks-client" / "dist"
    for entry in ENTRIES:
        source = json.loads((dist / f"{entry}.js.map").read_text())["sources"]
        assert [(dist / path).resolve().is_file() for path in source] == [True]


@pytest.mark.slow
def test_the_example_has_this_client(project: Project) -> None:
    """The page that `make example` serves needs no build: `make client` takes what `tsc` makes of the client."""
    built = taken(project.folder / "node_modules" / "auth-tasks-client" / "dist")
    assert {path.name: path.read_text() for path in (EXAMPLE / "client").iterdir()} == built


def test_the_example_keeps_all_of_its_files() -> None:
    """What is not in the list of its service worker would be missing without a network."""
    worker = (EXAMPLE / "sw.js").read_text()
    listed = set(re.findall(r'"([\w./-]+)"', worker[worker.index("const FILES") : worker.index("const CACHE")]))
    own = {path.name for path in EXAMPLE.iterdir() if path.is_file()} - {"index.html", "sw.js"}
    assert listed == {"./"} | own | {path.stem for path in (EXAMPLE / "client").iterdir()}


STRICT = ["--strict", "--noEmit", "--jsx", "react-jsx", "--lib", "esnext,dom,dom.iterable", "--target", "es2022"]
STRICT += ["--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--types", "react"]
MISTAKES = {
    'sort: "priority"': 'sort: "colour"',
    "device: ": "devise: ",
    "change.reason.toUpperCase()": "change.reason.points",
    '"mine"': '"ours"',
    '{ title: "New" }': "{}",
    '"tasks:read" as const': '"tasks:all" as const',
    'prove("passkey")': 'prove("everything")',
    "script.tasks.list()": "script.auth.listSessions()",
}


@pytest.mark.slow
def test_programs_in_strict_typescript(project: Project) -> None:
    """A page, a copy and a component with its server compile, and what is wrong in them does not."""
    programs = [f"strict/{name}" for name in ("page.ts", "train.ts", "list.tsx")]
    sources = {name: (project.folder / name).read_text() for name in programs}
    files = []
    for number, (right, wrong) in enumerate(MISTAKES.items()):
        [name] = [name for name, source in sources.items() if right in source]
        files.append(f"strict/wrong{number}{Path(name).suffix}")
        (project.folder / files[-1]).write_text(sources[name].replace(right, wrong))
    said = project.run("npx", "tsc", *STRICT, "--module", "nodenext", *programs, *files, fails=True)
    assert {line.partition("(")[0] for line in said.splitlines() if "error TS" in line} == set(files)
