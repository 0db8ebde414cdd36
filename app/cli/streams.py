"""Standard input, output and error, whatever somebody has done to them: closed, full, or not UTF-8."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

# What is closed must not be the number of the next socket or file. What is written to the second fails, and is told.
_MODES = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}


class _OutputLost(Exception):
    """Standard output cannot be written. No OSError, so that it is not taken for one of something else."""


class _Output(FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _OutputLost(error.errno, error.strerror) from None


@contextmanager
def usable_streams() -> Iterator[None]:
    """Show what standard output's encoding lacks escaped; end with 1 and a sentence if it cannot be written.

    Behind a pipe whose reader has left there is nothing to say.
    """
    _open_missing()
    buffer = BufferedWriter(_Output(1, "w", closefd=False))
    is_terminal, encoding = buffer.isatty(), sys.stdout.encoding if sys.stdout else "utf-8"
    sys.stdout = TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=is_terminal)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except _OutputLost as lost:
        _discard(1)
        number, why = lost.args
        raise SystemExit(1 if number == errno.EPIPE else f"Standard output cannot be written: {why}.") from None
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(2)


def _open_missing() -> None:
    for number, mode in _MODES.items():
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  # as long as the process
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    sys.stderr = sys.stderr or open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _discard(number: int) -> None:
    """Let what is left go nowhere: Python would try to write it once more at the end, and complain."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
