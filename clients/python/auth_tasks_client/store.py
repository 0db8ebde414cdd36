"""The file that keeps the tokens of one session: only its owner can read it, threads and processes share it."""

import fcntl
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import httpx

from auth_tasks_client.errors import OtherAccount, OtherServer
from auth_tasks_client.origins import origin_of


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

    @property
    def user_id(self) -> str | None:
        """Return whose these are; None if they do not say."""
        return _user_id(self.refresh_token)

    def check_server(self, url: httpx.URL | str) -> None:
        """Raise OtherServer if this is not the server that gave these tokens: it alone gets them."""
        ours, theirs = origin_of(url), origin_of(self.url)
        if ours != theirs:
            raise OtherServer(theirs, ours)

    def check_user(self, user_id: str | None) -> None:
        """Raise OtherAccount if these are somebody else's, as far as both are known."""
        if None not in (user_id, self.user_id) and user_id != self.user_id:
            raise OtherAccount("Another account is signed in.")

    def is_account_of(self, url: httpx.URL | str, token: str) -> bool:
        """Return whether that token of the server at `url` is of the same account."""
        return (origin_of(url), _user_id(token)) == (origin_of(self.url), self.user_id)


def _user_id(token: str) -> str | None:
    """Return what a token says, unverified."""
    try:
        return str(json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))["sub"])
    except (ValueError, LookupError, TypeError):
        return None


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Wait for the lock of this file and hold it; yield False where the file system has none.

    The system frees it when a process dies.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _flock(handle)
    finally:
        os.close(handle)


def _flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # ENOLCK, ENOSYS or EOPNOTSUPP: some network drives
        return False
    return True


class TokenStore:
    """One file of tokens and one lock beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_name(path.name + ".lock")

    def read(self) -> StoredTokens | None:
        """Return the tokens, or None if there is no file or nothing in it that is tokens."""
        try:
            return StoredTokens(**self._read())
        except TypeError:
            return None

    def last_refresh_token(self, url: str) -> str | None:
        """Return that of the last session on this server, which may be over: it says that this device is known."""
        kept = self._read()
        token, of = kept.get("refresh_token"), kept.get("url")
        return token if isinstance(of, str) and origin_of(of) == origin_of(url) and isinstance(token, str) else None

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def write(self, tokens: StoredTokens) -> None:
        """Replace the file as a whole and durably: a session cannot go on without its refresh token."""
        self._write(asdict(tokens), lambda: True)

    def replace(self, old: StoredTokens, new: StoredTokens) -> None:
        """Write, unless other tokens than `old` have been stored meanwhile, or none are any more."""

        def is_current() -> bool:
            stored = self.read()
            return stored is not None and stored.refresh_token == old.refresh_token

        self._write(asdict(new), is_current)

    def _write(self, kept: dict[str, Any], is_wanted: Callable[[], bool]) -> None:
        self._make_folder()
        handle, name = mkstemp(dir=self.path.parent, prefix=self.path.name)  # made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file)
                file.flush()
                os.fsync(file.fileno())
            if is_wanted():  # asked at the last moment, for those who cannot lock
                Path(name).replace(self.path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    def end(self, tokens: StoredTokens) -> None:
        """Forget the session, all but its last refresh token, with which nobody can do anything but sign in.

        Who has signed in meanwhile stays.
        """

        def is_current() -> bool:
            stored = self.read()
            return stored is not None and stored.is_account_of(tokens.url, tokens.refresh_token)

        self._write({"url": tokens.url, "refresh_token": tokens.refresh_token}, is_current)

    def clear(self) -> None:
        """Forget everything."""
        self.path.unlink(missing_ok=True)

    def locked(self) -> AbstractContextManager[bool]:
        """Wait for the lock and hold it; the value is False where there is none."""
        self._make_folder()
        return locked(self._lock_path)

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def default_store() -> TokenStore:
    """Return this user's store: in `AUTH_TASKS_HOME`, or in the folder where the system keeps settings."""
    home = os.environ.get("AUTH_TASKS_HOME")
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return TokenStore(Path(home or Path(config) / "auth-tasks") / "tokens.json")
