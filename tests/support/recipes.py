"""Pages of docs/ that tell how something is done, followed."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.settings import ROOT

_BLOCK = re.compile(r"^```(sh|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(page: str, folder: Path, **environment: str) -> None:
    """Make the changes and run the commands of a page, in its order. Raises: AssertionError, with what does not fit."""
    for kind, block in _BLOCK.findall((ROOT / page).read_text()):
        if kind == "diff":
            _change(block, folder)
        else:
            for command in block.splitlines():
                run(command, folder, **environment)


def change(page: str, folder: Path) -> None:
    """Make those changes of a page that are not to what a command of it makes. Raises: as `follow`."""
    for kind, block in _BLOCK.findall((ROOT / page).read_text()):
        if kind == "diff" and "*" not in block.partition("\n")[0]:
            _change(block, folder)


def code_of(page: str, language: str) -> str:
    """Return the one block of code that a page of docs/ has in this language."""
    (block,) = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", (ROOT / "docs" / page).read_text())
    return str(block)


def sections(page: str) -> dict[str, str]:
    """Return what stands below each heading of the second level of a page."""
    parts = re.split(r"(?m)^## (.+)\n", (ROOT / page).read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands_of(text: str) -> list[str]:
    """Return the commands that somebody types who follows a text."""
    return [line for kind, block in _BLOCK.findall(text) if kind == "sh" for line in block.splitlines()]


def write_files(text: str, folder: Path) -> None:
    """Write the blocks of code that name a file, each to the end of its file."""
    for name, code in _FILE.findall(text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a") as file:
            file.write(code)


def run(command: str, folder: Path, **environment: str) -> None:
    """Run a command of a page. Raises: AssertionError, with what it says, if it fails."""
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}"


def _change(block: str, folder: Path) -> None:
    """Change files as a block says: `--- file`, then for each place `@@` and the line that it comes after, if any.

    A file that is not there is made of its lines.
    """
    for name, changes in _parts(block, "--- "):
        files = list(folder.glob(name)) or [folder / name]
        assert len(files) == 1, f"{name} is {files}"
        lines = files[0].read_text().splitlines() if files[0].exists() else []
        for after, change in _parts(changes, "@@"):
            lines = _changed(lines, after.strip(), change.splitlines(), where=f"{name}: {after}")
        files[0].parent.mkdir(parents=True, exist_ok=True)
        files[0].write_text("\n".join(lines) + "\n")


def _parts(text: str, mark: str) -> Iterator[tuple[str, str]]:
    """Yield what follows the mark on its line, and the lines up to the next one."""
    for part in re.split(rf"^{re.escape(mark)}", text, flags=re.MULTILINE)[1:]:
        first, _, rest = part.partition("\n")
        yield first, rest


def _changed(lines: list[str], after: str, change: list[str], *, where: str) -> list[str]:
    old = [line[1:] for line in change if not line.startswith("+")]
    new = [line[1:] for line in change if not line.startswith("-")]
    begin = lines.index(after) + 1 if after else 0
    places = [at for at in range(begin, len(lines) - len(old) + 1) if lines[at : at + len(old)] == old]
    assert len(places) == 1 or (places and after), f"{where} has {len(places)} times:\n" + "\n".join(old)
    return [*lines[: places[0]], *new, *lines[places[0] + len(old) :]]
