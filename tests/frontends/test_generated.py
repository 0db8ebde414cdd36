"""Python programs with packages of their own: a client generated from the committed document, and httpx-auth."""

import subprocess
import sys
from pathlib import Path

import httpx
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


def test_a_program_with_httpx_auth_refreshes_its_one_session(database_url: str, tmp_path: Path) -> None:
    """A program that leaves its tokens to httpx-auth goes on, with one refresh for each token that ran out."""
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", "httpx-auth==0.23.1")
    seconds, email = 3, new_email()
    with serving(tmp_path, DATABASE_URL=database_url, ACCESS_TOKEN_EXPIRE_MINUTES=str(seconds / 60)) as server:
        httpx.post(f"{server.url}/api/auth/signup", json={"email": email, "password": PASSWORD}).raise_for_status()
        program = Path(__file__).parent / "httpx_auth_program.py"
        said = run(programs / "python", program, server.url, email, PASSWORD, str(seconds))
        assert said.split() == ["200"] * 4 + ["2"]  # that of sign-up, and its own
        assert "refresh_reuse_detected" not in server.log.read_text()
