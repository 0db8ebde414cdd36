"""The file that keeps the tokens of one session: only its owner can read it, threads and processes share it."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkstemp


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """A session; `expires_at` is when its access token ends, by this machine's clock in seconds since 1970.

    Whoever has `refresh_key` may ask again for the answer to this pair's refresh.
    """

    url: str
    email: str
    access_token: str
    refresh_token: str
    expires_at: float
    refresh_key: str | None = None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock of this file and hold it. The system frees it when a process dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class TokenStore:
    """One file of tokens and one lock beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_name(path.name + ".lock")

    def read(self) -> StoredTokens | None:
        """Return the tokens, or None if there is no file or nothing in it that is tokens."""
        try:
            return StoredTokens(**json.loads(self.path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, tokens: StoredTokens) -> None:
        """Replace the file as a whole and durably: a session cannot go on without its refresh token."""
        self._write(tokens, lambda: True)

    def replace(self, old: StoredTokens, new: StoredTokens) -> StoredTokens:
        """Write, unless newer tokens than `old` have been stored meanwhile, and return those that are stored."""
        newer: list[StoredTokens] = []

        def is_current() -> bool:
            stored = self.read()
            if stored and stored.refresh_token != old.refresh_token:
                newer.append(stored)
            return not newer

        self._write(new, is_current)
        return newer[0] if newer else new

    def _write(self, tokens: StoredTokens, is_wanted: Callable[[], bool]) -> None:
        self._make_folder()
        handle, name = mkstemp(dir=self.path.parent, prefix=self.path.name)  # made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(tokens), file)
                file.flush()
                os.fsync(file.fileno())
            if is_wanted():  # asked at the last moment, for those who cannot lock
                Path(name).replace(self.path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    def clear(self) -> None:
        """Forget the tokens."""
        self.path.unlink(missing_ok=True)

    def locked(self) -> AbstractContextManager[None]:
        """Wait for the lock and hold it."""
        self._make_folder()
        return locked(self._lock_path)

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def default_store() -> TokenStore:
    """Return this user's store: in `AUTH_TASKS_HOME`, or in the folder where the system keeps settings."""
    home = os.environ.get("AUTH_TASKS_HOME")
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return TokenStore(Path(home or Path(config) / "auth-tasks") / "tokens.json")
