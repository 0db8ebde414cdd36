"""What somebody has who has just cloned the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.settings import ROOT

installed_by_make = pytest.mark.skipif(
    not (Path(sys.prefix) / "dev").exists(), reason="the tests are not run by `make test`"
)


def clone(folder: Path) -> Path:
    """Copy what is committed, or would be, into a repository beside an environment that is installed already."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    for file in folder.glob("requirements*.txt"):
        os.utime(file, (0, 0))  # older than what is installed: make installs nothing
    (folder / ".venv").symlink_to(sys.prefix)
    return folder
