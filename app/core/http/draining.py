"""SIGTERM behind a balancer: not ready at once, closed to new connections only when the balancer has seen that."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from app.core.logging import get_logger

logger = get_logger("app")

STOPS = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that stop the service; a terminal that is closed sends the second. Ctrl-C stops it without a wait."""


class Draining:
    """Whether the process is about to stop."""

    def __init__(self, seconds: float) -> None:
        self.begun = False
        self.on_begin: list[Callable[[], None]] = []
        """What is done first of all."""
        self._seconds = seconds

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take the signals from the server until the block ends, and hand the first one on when the time is over.

        A second one is handed on at once.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        stop = signal.getsignal(signal.SIGTERM)
        if not callable(stop):  # nobody waits for a signal
            yield
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(partial(self._begin, stop, number))

        kept = {number: signal.getsignal(number) for number in (*STOPS, signal.SIGINT)}
        for number, handler in kept.items():
            if handler is not signal.SIG_IGN:  # as nohup sets it
                signal.signal(number, begin)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _begin(self, stop: Callable[[int, FrameType | None], Any], number: int) -> None:
        if not self.begun:
            for tell in self.on_begin:
                tell()
        if self.begun or not self._seconds or number == signal.SIGINT:
            self.begun = True
            stop(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM, None)
            return
        self.begun = True
        logger.info("draining", extra={"signal": signal.Signals(number).name, "seconds": self._seconds})
        asyncio.get_running_loop().call_later(self._seconds, stop, signal.SIGTERM, None)
