"""The one way to the terminal and back.

No text reaches it that could move its cursor, change its colours or hide a letter, and whatever happens to standard
input or output is a sentence.
"""

import getpass
import json
import os
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO


class WrongUse(Exception):
    """The command line is wrong, or standard input is."""


class OutputLost(Exception):
    """Standard output cannot be written; the message is empty where nobody reads on, as behind `| head`."""


def print_lines(lines: Iterable[str], *, error: bool = False) -> None:
    """Print each text on one line, on standard output or standard error, whatever the server put into it.

    Raises: OutputLost. Standard error may be lost: there is nowhere to say so.
    """
    stream: TextIO | None = sys.stderr if error else sys.stdout
    if stream is None:
        if not error:
            raise OutputLost("it is closed")
        return
    try:
        for line in lines:
            print(printable(line, stream.encoding or "utf-8"), file=stream)
        stream.flush()
    except OSError as problem:
        _forget(stream)
        if not error:
            raise OutputLost("" if isinstance(problem, BrokenPipeError) else problem.strerror) from problem


def _forget(stream: TextIO) -> None:
    """Let what is left go nowhere: Python would try to write it once more at the end, and complain."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""Return the text with all that cannot be shown as JSON writes it: `\n`, `\u001b`.

    These are the only such characters that valid JSON can hold, in its strings, so that it stays the same JSON.
    """
    return "".join(c if c.isprintable() and _is_known(c, encoding) else json.dumps(c)[1:-1] for c in text)


def _is_known(character: str, encoding: str) -> bool:
    try:
        return character.isascii() or bool(character.encode(encoding))
    except UnicodeError:
        return False


def ask_password(prompt: str) -> str:
    """Ask at the terminal, without showing what is typed. Raises: WrongUse where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would be shown
            return checked(getpass.getpass(prompt))
    except (EOFError, OSError, getpass.GetPassWarning):
        raise WrongUse("There is no terminal to ask for the password: use --password-stdin.") from None
    except UnicodeError:
        raise _not_utf8("The password") from None


def read_password() -> str:
    """Read a line of standard input. Raises: WrongUse if there is none."""
    line = ""
    with suppress(OSError):
        try:
            line = sys.stdin.readline() if sys.stdin else ""
        except UnicodeError:
            raise _not_utf8("The password") from None
    if not line:
        raise WrongUse("Standard input has no password: a line for each is needed.")
    return checked(line.rstrip("\n"), "The password")


def checked(text: str, what: str = "The password") -> str:
    """Return what was given. Raises: WrongUse for bytes that are no text, which could not be sent."""
    try:
        text.encode()
    except UnicodeError:
        raise _not_utf8(what) from None
    return text


def _not_utf8(what: str) -> WrongUse:
    return WrongUse(f"{what} is not UTF-8.")
