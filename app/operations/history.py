"""What happened to one account, read back from log files: the lines of the trail, and what concerned everybody."""

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from app.core.logging import AUDIT
from app.core.operator_error import OperatorError

STANDARD_INPUT = Path("-")

# What a refresh was refused for, or a session ended by.
REASONS = {
    "expired": "its token had run out",
    "late": "it came again after the new pair was used, from the same client",
    "too_old": "it has lasted as long as SESSION_MAX_DAYS allows",
    "replaced": "the same device has signed in anew",
    "too_many": "the account has more than MAX_SESSIONS_PER_USER",
    "reused": "its session had been ended because a used token was presented again",
    "signed_out": "its session had been ended",
    "account_closed": "the account is closed",
    "account_deleted": "the account is deleted",
    "ended_with_all": "every session of the account was ended after it was issued",
    "ahead_of_database": "the database does not know of it: it was restored, or has failed over to an older state",
}

SENTENCES = {
    "signed_up": "signed up",
    "signed_in": "signed in",
    "sign_up_limited": "signed up too often",
    "sign_in_failed": "a wrong password was given, or a passkey that is not accepted",
    "sign_in_locked": "too many wrong passwords: nobody was let in",
    "own_password_wrong": "a wrong current password was given in an open session",
    "own_password_limited": "too many wrong current passwords were given in an open session",
    "refresh_repeated": "a pair was given again",
    "refresh_refused": "a refresh was refused",
    "refresh_reuse_detected": "a used refresh token was presented again: this session has ended",
    "session_ended": "this session was ended",
    "passkey_added": "added a passkey",
    "passkey_deleted": "deleted a passkey",
    "passkey_copied": "a passkey has fallen behind its last use: there are two of it, and it was refused",
    "own_passkey_wrong": "a passkey that is not accepted was shown in an open session",
    "script_token_made": "made a token for a script, which is this session",
    "signed_out": "signed out",
    "signed_out_everywhere": "signed out everywhere: every session has ended",
    "password_changed": "changed the password: every other session has ended",
    "password_reset": "chose a new password by a link: every session has ended",
    "reset_limited": "the link for a new password was tried too often",
    "mail_limited": "asked for mails too often",
    "email_verified": "proved the e-mail address by a link",
    "email_change_asked": "asked for a link to a new e-mail address",
    "email_changed": "changed the e-mail address by a link",
    "mail_sent": "a mail was sent",
    "mail_withheld": "a mail was for nobody: no open account has the address",
    "mail_delayed": "a mail could not be sent yet",
    "mail_failed": "a mail was given up",
    "account_imported": "took the account in from another system",
    "account_exported": "printed all that is known of its owner",
    "reset_link_made": "made a link for a new password",
    "account_closed": "closed the account: every session has ended",
    "account_opened": "opened the account again",
    "account_deleted": "deleted the account",
    "foreign_path_refused": "asked for another user's path",
    "everybody_signed_out": "signed everybody out",
    "database_restored": "restored the database from a dump: everybody was signed out",
    "database_server_left": "the database has failed over to another server",
}

EVERYBODYS = frozenset({"everybody_signed_out", "database_restored", "database_server_left"})
_ACTORS = {"operator": "an operator", "unknown": "somebody"}


class Event(NamedTuple):
    """A line of the log."""

    at: str
    members: dict[str, Any]

    def __str__(self) -> str:
        """Return a line for people."""
        told = self.members
        said = SENTENCES.get(told["event"], told["event"])
        reason = told.get("reason")
        parts = [
            f"{self.at[:23].replace('T', ' ')}  {said}",
            f": {REASONS.get(reason, reason)}" if reason else "",
            f", by {_ACTORS[told['actor']]}" if told.get("actor") in _ACTORS else "",
            f", from {told['address']}" if told.get("address") else "",
            *(f", {name} {told[name]}" for name in ("device", "user_agent", "by", "mail") if told.get(name)),
            f", session {told['session_id']}" if told.get("session_id") else "",
            f", by session {told['by_session']}" if told.get("by_session") else "",
        ]
        return "".join(parts)


def read_history(files: Iterable[Path], user_id: UUID) -> list[Event]:
    """Return what the files tell of an account, in order. `-` is standard input. Raises: OperatorError."""
    found = (_event(line, str(user_id)) for file in files for line in _lines(file))
    return sorted((event for event in found if event), key=lambda event: event.at)


def _event(line: str, user_id: str) -> Event | None:
    start = line.find("{")  # behind what Docker, systemd or a collector puts before it
    try:
        members = json.loads(line[start:]) if start >= 0 else None
    except ValueError:
        return None
    if not isinstance(members, dict) or "event" not in members:
        return None
    is_mine = members.get("logger") == AUDIT and members.get("user_id") == user_id
    if not is_mine and members["event"] not in EVERYBODYS:
        return None
    return Event(str(members.get("at") or members.get("time", "")), members)


def _lines(file: Path) -> Iterator[str]:
    try:
        if file == STANDARD_INPUT:
            yield from sys.stdin
            return
        with gzip.open(file, "rt", errors="replace") if file.suffix == ".gz" else file.open(errors="replace") as lines:
            yield from lines
    except (OSError, EOFError, zlib.error) as error:  # the last two of a .gz that is cut or torn
        name = "Standard input" if file == STANDARD_INPUT else file
        raise OperatorError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
