"""A Python program with a client that is generated from the committed document."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.people import PASSWORD, new_email
from tests.support.server import serving
from tests.support.settings import ROOT

GENERATOR = "openapi-python-client==0.29.1"

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_client_of_openapi_python_client_passes_strict_types_and_works(database_url: str, tmp_path: Path) -> None:
    """A Python program with a generated client passes mypy --strict and works."""
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", GENERATOR, "mypy")
    document, client = ROOT / "docs" / "openapi.json", tmp_path / "client"
    run(programs / "openapi-python-client", "generate", "--path", document, "--output-path", client)
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", client)
    program = Path(__file__).parent / "generated_client.py"
    run(programs / "mypy", "--strict", "--cache-dir", tmp_path, program)
    with serving(tmp_path, DATABASE_URL=database_url) as server:
        assert run(programs / "python", program, server.url, new_email(), PASSWORD) == "done\n"
