"""The conformance kit: both clients pass it, and one that is careless does not."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.client_js.conftest import Project
from tests.support.settings import ROOT

pytestmark = pytest.mark.slow

KIT = ROOT / "clients" / "kit"
CARELESS = """
import runpy, sys
from auth_tasks_client import TokenAuth, auth
{}
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def told(*command: str, only: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the kit with a driver."""
    whole = [sys.executable, str(KIT / "kit.py"), "--only", only, *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")}
    return subprocess.run(whole, capture_output=True, text=True, timeout=240, check=False, env=environment)


def test_the_python_client_passes_the_kit() -> None:
    """Whatever is lost, cut, busy or somebody else's page: the session and what was typed stay."""
    done = told(sys.executable, str(KIT / "drivers" / "driver.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 do not, 0 could not be tried." in done.stdout


def test_the_javascript_client_passes_the_kit(project: Project) -> None:
    """So does the JavaScript client."""
    driver = shutil.copy(KIT / "drivers" / "driver.mjs", project.folder)
    done = told(shutil.which("node") or "", str(driver))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 do not, 0 could not be tried." in done.stdout


@pytest.mark.parametrize(
    ("carelessness", "story", "sentence"),
    [
        ("auth.token_urlsafe = lambda _: 'x' * 32", "an access token expires", "another one for each pair of tokens"),
        ("auth.REFRESHES = 1", "answers to refreshes are lost", "exchanged once more"),
        ("auth.code_of = lambda answer: 'x'", "a hotel answers", "ends no session"),
    ],
)
def test_a_careless_client_does_not_pass(carelessness: str, story: str, sentence: str) -> None:
    """The kit finds keys that repeat, pairs that are given up, and a session that a hotel's page ends."""
    program = CARELESS.format(carelessness)
    done = told(sys.executable, "-c", program, str(KIT / "drivers" / "driver.py"), only=story)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("NO ") and sentence in line], done.stdout
