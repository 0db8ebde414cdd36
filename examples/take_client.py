"""Copies the built client into `web/client`, as far as the page needs it: `python take_client.py DIST [FOLDER]`."""

import re
import sys
from pathlib import Path

ENTRIES = ["index.js", "offline.js", "passkeys.js"]
IMPORT = re.compile(r'from "\./([\w.-]+)"')
SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*\n?", re.MULTILINE)


def taken(dist: Path) -> dict[str, str]:
    """Return the modules by their names, without the references to their source maps."""
    modules: dict[str, str] = {}
    names = list(ENTRIES)
    while names:
        name = names.pop()
        if name not in modules:
            modules[name] = SOURCE_MAP.sub("", (dist / name).read_text())
            names += IMPORT.findall(modules[name])
    return modules


if __name__ == "__main__":
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "web" / "client"
    target.mkdir(exist_ok=True)
    for old in target.glob("*.js"):
        old.unlink()
    for name, text in taken(Path(sys.argv[1])).items():
        (target / name).write_text(text)
