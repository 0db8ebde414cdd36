"""Where the server's socket stands: in the data folder, or in a folder of its own where that path is too long.

That folder's name is random, so that no stranger can take it first, and is kept in a file beside the data folder,
which its owner alone can write, so that every process with this data finds it again.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from app.operations.embedded_postgres.ownership import open_own_file, own_folder
from app.operations.embedded_postgres.paths import EmbeddedUnavailable, ServerUser, reachable

SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100  # sun_path has 108 bytes on Linux, 104 on macOS
SHELL_CHARACTERS = frozenset('"$`\\\n')
"""Characters with a meaning for the shell to which pg_ctl hands the path."""

PREFIX = "auth-tasks-"


def find_socket_dir(data_dir: Path, record: Path, user: ServerUser) -> Path:
    """Return the socket's folder, made if need be, under the data folder's lock. Raises: EmbeddedUnavailable."""
    if _fits(data_dir):
        return data_dir
    with open(open_own_file(record, os.geteuid(), os.O_CREAT), "r+b") as file:
        if known := file.read():
            # Since /tmp was emptied it may be missing or a stranger's: then another is made.
            with suppress(EmbeddedUnavailable, FileNotFoundError, PermissionError):
                folder = Path(os.fsdecode(known))
                own_folder(folder, user)
                return folder
        folder = _make_folder(user)
        file.seek(0)
        file.truncate()
        file.write(os.fsencode(folder))
    return folder


def _fits(folder: Path) -> bool:
    """Return whether a socket can stand there; PostgreSQL takes a comma for the end of a folder's name."""
    return len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET_PATH and not {",", *SHELL_CHARACTERS} & set(str(folder))


def _make_folder(user: ServerUser) -> Path:
    for place in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  # mkdtemp makes a name of its own there
        if _fits(place / f"{PREFIX}12345678") and reachable(place, user):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            own_folder(folder, user)
            return folder
    raise EmbeddedUnavailable("No folder for the database's socket: set EMBEDDED_DATA_DIR to a shorter path.")
