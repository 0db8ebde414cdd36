"""What is installed and run on the way here: actions by commit, and an audit and an SBOM that leave nothing out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.settings import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
USES = re.compile(r"(?m)^\s*(?:- )?uses:\s*(.+)$")
BY_COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
PINNED = """\
alembic==1.20.1 \\
    --hash=sha256:83490def1f723413db5096591f7609ac52544805be93849170088ed04f5a2e0b
Colour_ama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:4f1d9991f5acc0ca119f9d443620b77f9d6b33703e51011c16baf57afb285fc6
idna==3.20 ; python_version >= '3.11' \\
    --hash=sha256:a7db850025b95ded1eae8a46181a1a6c56c92c96f0e2b005d9ff8dc0210cab44
"""
ALEMBIC, IDNA = {"name": "alembic", "version": "1.20.1"}, {"name": "idna", "version": "3.20"}
BAD = {"id": "PYSEC-1", "fix_versions": ["3.21"]}


def test_actions_are_taken_by_commit() -> None:
    """Whoever moves a tag of somebody's action changes nothing here."""
    used = [use for file in WORKFLOWS for use in USES.findall(file.read_text())]
    assert used
    assert [use for use in used if not BY_COMMIT.fullmatch(use)] == []


def run(folder: Path, command: str, answer: dict[str, Any], pinned: str = PINNED) -> "subprocess.CompletedProcess[str]":
    """Run the script with tools that give this answer and exit code 0."""
    for tool in ("pip_audit", "cyclonedx_py"):
        (folder / f"{tool}.py").write_text(f"print({json.dumps(answer)!r})")
    (folder / "requirements.txt").write_text(pinned)
    arguments = [command, "requirements.txt", *(["sbom.json"] if command == "sbom" else [])]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([ALEMBIC | {"vulns": []}, IDNA | {"vulns": []}], ""),
        ([ALEMBIC | {"vulns": []}, IDNA | {"vulns": [BAD]}], "idna 3.20 has PYSEC-1, mended in 3.21"),
        ([ALEMBIC | {"vulns": []}, {"name": "idna", "skip_reason": "not found"}], "1 of 2 left out: idna"),
        ([], "2 of 2 left out: alembic, idna"),
    ],
    ids=["all good", "vulnerable", "one skipped", "nothing looked up"],
)
def test_the_audit_fails_unless_everything_was_looked_up(tmp_path: Path, found: list[Any], said: str) -> None:
    """pip-audit ends with 0 also when it could look up nothing, as without a network or behind a mirror."""
    done = run(tmp_path, "audit", {"dependencies": found})
    assert (done.returncode != 0, said in done.stderr) == (bool(said), True)


def test_the_audit_of_a_file_without_a_pin_fails(tmp_path: Path) -> None:
    """A file that was emptied, or whose form has changed, is not audited in silence."""
    assert "pins nothing" in run(tmp_path, "audit", {"dependencies": []}, pinned="alembic>=1\n").stderr


def test_the_sbom_lists_every_pin_of_every_platform(tmp_path: Path) -> None:
    """Who has to know whether a package is in it can rely on the list."""
    components = [{"name": "alembic"}, {"name": "colour-ama"}, {"name": "idna"}]
    assert run(tmp_path, "sbom", {"components": components}).returncode == 0
    assert json.loads((tmp_path / "sbom.json").read_text())["components"] == components
    assert "1 of 3 left out: idna" in run(tmp_path, "sbom", {"components": components[:2]}).stderr
