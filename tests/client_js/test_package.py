"""The JavaScript package: its types are the document's, its entries are small, and strict TypeScript takes it."""

import json
import subprocess
import sys

import pytest

from app import __version__
from tests.client_js.conftest import PACKAGE, Project
from tests.support.settings import ROOT

ENTRIES = ["index", "offline", "react", "server"]


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
    """Minified and compressed, the core has at most 3 KB, and all entries together 9."""
    core, everything = (int(project.run("node", "programs/size.mjs", *names)) for names in (ENTRIES[:1], ENTRIES))
    print(f"{core} bytes the core, {everything} all entries")
    assert core <= 3 * 1024
    assert everything <= 9 * 1024


@pytest.mark.slow
def test_each_entry_has_a_source_map(project: Project) -> None:
    """A developer steps through what was written, and not what was built."""
    dist = project.folder / "node_modules" / "auth-tasks-client" / "dist"
    for entry in ENTRIES:
        source = json.loads((dist / f"{entry}.js.map").read_text())["sources"]
        assert [(dist / path).resolve().is_file() for path in source] == [True]
