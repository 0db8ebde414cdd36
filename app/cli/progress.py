"""How far long work is: one line on a terminal, renewed each second, and nothing in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from app.core.clock import stopwatch

INTERVAL_SECONDS = 1.0
_CLEAR = "\r\x1b[K"


@contextmanager
def progress(describe: Callable[[], str]) -> Iterator[None]:
    """Show what `describe` returns, and since how long, until the block ends."""
    if not sys.stderr.isatty():
        yield
        return
    ended = Event()
    thread = Thread(target=_show, args=(describe, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(describe: Callable[[], str], ended: Event) -> None:
    began = stopwatch()
    while not ended.wait(INTERVAL_SECONDS):
        print(f"{_CLEAR}{describe()} ({stopwatch() - began:.0f} s)", end="", file=sys.stderr, flush=True)
    print(_CLEAR, end="", file=sys.stderr, flush=True)


def megabytes(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e6:,.1f} MB"
