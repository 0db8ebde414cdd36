"""Checks folders and files that must be ours alone: corrects their modes, and raises if they are another user's.

Inside the database everybody is trusted: whoever reaches the socket is its superuser. Everything is checked on an
open descriptor, and no link is followed, so that nobody can put something else there between the check and the use.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from app.operations.embedded_postgres.paths import EmbeddedUnavailable, ServerUser


def owner_of(user: ServerUser) -> int:
    """Return the id of the user that the server's files belong to."""
    return user.pw_uid if user else os.geteuid()


def own_folder(folder: Path, user: ServerUser) -> None:
    """Make a folder that the server's user alone can enter, or make an existing one so. Raises: EmbeddedUnavailable."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    handle = _open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = os.fstat(handle)
        # Root has just made it, or was given an empty one, such as a volume.
        new = found.st_uid == os.geteuid() and not os.listdir(handle)
        if found.st_uid != owner_of(user):
            if not new:
                raise _stranger(folder)
            os.fchown(handle, owner_of(user), -1)
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def open_own_file(path: Path, owner: int, flags: int = 0) -> int:
    """Return a descriptor of a file that `owner` alone can write. Raises: EmbeddedUnavailable for any other."""
    handle = _open(path, os.O_RDWR | flags)
    found = os.fstat(handle)
    if found.st_uid != owner or not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o022:
        os.close(handle)
        raise _stranger(path)
    return handle


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # For a link Linux reports ENOTDIR where a folder is wanted, and ELOOP elsewhere.
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise EmbeddedUnavailable(f"{path} is a link or no folder: remove it, or name its target.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EISDIR):
            raise _stranger(path) from error
        raise


def _stranger(path: Path) -> EmbeddedUnavailable:
    return EmbeddedUnavailable(
        f"{path} belongs to another user: remove it, or set EMBEDDED_DATA_DIR to another folder."
    )
