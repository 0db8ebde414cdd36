"""`make`, where something is not as it should be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clones import clone


def make(folder: Path, *targets: str, **environment: str) -> "subprocess.Popen[str]":
    command = ["make", f"PYTHON={sys.executable}", *targets]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=pipe, stderr=pipe, text=True)


def test_two_first_starts_at_once_make_one_secret(tmp_path: Path) -> None:
    """Who starts it in two terminals has one `.env`, readable by nobody else, and no error."""
    tree = clone(tmp_path)
    started = [make(tree, ".env") for _ in range(3)]
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert sum("Wrote .env" in out for out, _ in said) == 1
    assert (tree / ".env").stat().st_mode & 0o777 == 0o600
    assert not list(tree.glob(".env.[!e]*"))


def test_an_environment_that_leads_nowhere_is_made_anew(tmp_path: Path) -> None:
    """After a move, or an update of Python, `make run` does not end in "not found"."""
    tree = clone(tmp_path)
    (tree / ".venv").unlink()
    (tree / ".venv").symlink_to(tmp_path / "nowhere")
    make(tree, "help").communicate(timeout=20)
    assert not os.path.lexists(tree / ".venv")
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / ".venv" / "bin" / "python").symlink_to(tmp_path / "nowhere")
    (tree / ".venv" / "run").touch()
    make(tree, "help").communicate(timeout=20)
    assert not (tree / ".venv" / "run").exists()


@pytest.mark.slow
def test_an_installation_without_a_network_says_so(tmp_path: Path) -> None:
    """Who has no network reads that after what pip says; a `pip --user` of his own changes nothing."""
    tree = clone(tmp_path)
    (tree / ".venv").unlink()
    said = make(tree, ".venv/run", PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_USER="1").communicate(timeout=120)[1]
    assert "Is there a network? The address of a mirror goes into PIP_INDEX_URL." in said
    assert "user site-packages are not visible" not in said
