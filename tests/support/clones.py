"""What somebody has who has just cloned the project."""

import shutil
import subprocess
from pathlib import Path

from tests.support.settings import ROOT


def clone(folder: Path) -> Path:
    """Copy what is committed, or would be, beside an environment that is installed already."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder
