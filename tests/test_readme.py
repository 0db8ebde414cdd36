"""The front page is true: its commands are run, in its order, and answer what it says."""

import json
import os
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import __version__
from app.cli.commands import main
from tests.support.clones import clone, installed_by_make
from tests.support.server import free_port
from tests.support.settings import ROOT

README = (ROOT / "README.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)


def pattern(shown: str) -> str:
    """Match what is shown: an ellipsis stands for anything, an id for any id."""
    return re.escape(shown).replace("…", ".*")


@contextmanager
def run(folder: Path, port: int) -> Iterator[list[str]]:
    """Run `make run` until Ctrl-C, and yield what it has said until it serves."""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    started = subprocess.Popen(
        ["make", "run"],
        cwd=folder,
        env={**environment, "PORT": str(port), "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert started.stdout is not None
    said: list[str] = []
    try:
        for line in started.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("Serving on"):  # from here on it can be reached
                break
        yield said
    finally:
        os.killpg(started.pid, signal.SIGINT)
        started.stdout.read()
        started.wait(30)
        started.stdout.close()


@installed_by_make
def test_the_commands_of_the_front_page_do_what_it_says(folder: Path) -> None:
    """Somebody who follows the README on a fresh clone sees what it shows."""
    port = free_port()
    running, commands = SHELL[0], SHELL[1]
    assert running.startswith("make run\n")
    shown = [line[2:].replace("8000", str(port)) for line in running.splitlines() if line.startswith("# ")]
    with run(clone(folder), port) as said:
        for line in shown[1:]:  # the first is of the installation, which is there
            assert any(re.fullmatch(pattern(line), it) for it in said), f"{line!r} is not in {said}"
        follow(commands.replace("8000", str(port)))


def follow(commands: str) -> None:
    """Run the commands with the tokens that the answers have, and compare each answer with the one below it."""
    shell = ""
    tokens: dict[str, str] = {}
    lines = commands.splitlines()
    for written, after in zip(lines, [*lines[1:], ""], strict=True):
        line = written.replace("token=eyJ…", f"token={tokens.get('access_token')}")
        line = line.replace('"refresh_token": "eyJ…"', f'"refresh_token": "{tokens.get("refresh_token")}"')
        if not line.startswith("curl "):
            shell += f"{line}\n"
            continue
        command = f"{shell}{line} --silent --show-error --fail-with-body"
        answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=False)
        assert answer.returncode == 0, f"{line}: {answer.stdout}{answer.stderr}"
        shown = after.removeprefix("# ").split("        ")[0]
        assert re.fullmatch(ids(pattern(shown)), answer.stdout), f"{line} answers {answer.stdout}, not {shown}"
        if not tokens:
            tokens = json.loads(answer.stdout)


def ids(text: str) -> str:
    """Let the beginning of an id stand for any."""
    return re.sub(r'"id":"[0-9a-f]{4}\.\*', '"id":"[0-9a-f-]{36}.*', text)


def test_the_front_page_is_short() -> None:
    """It is read in five minutes."""
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("count", re.findall(r"some ([\d,]+) tests", README))
def test_the_number_of_tests_is_true(count: str, request: pytest.FixtureRequest) -> None:
    """What it says of the tests is about so."""
    collected = len(request.session.items)
    if collected < 1000:
        pytest.skip("only some of the tests are run")
    assert abs(int(count.replace(",", "")) - collected) <= 60


def test_there_is_one_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The service, its packages, its document and the changelog speak of one version."""
    packages = [tomllib.loads((ROOT / folder / "pyproject.toml").read_text()) for folder in (".", "clients/python")]
    assert {package["project"]["version"] for package in packages} == {__version__}
    assert json.loads((ROOT / "docs" / "openapi.json").read_text())["info"]["version"] == __version__
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text()
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"{__version__}\n"
