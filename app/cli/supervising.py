"""uvicorn as `serve` runs it: one process, or one that looks after others."""

import errno
import gc
import multiprocessing
import signal
import socket
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS, Process

from app.core.logging import get_logger
from app.core.operator_error import OperatorError

logger = get_logger("app")

LAST_PORT = 65535
FORKS = sys.platform.startswith("linux")
"""Elsewhere workers import everything themselves: the libraries of macOS do not work after a fork, Windows has none."""
UNACKNOWLEDGED_SECONDS = 30  # as long as `core/http/server.py` waits for a client that does not read
FORKING = threading.Lock()
"""Held by each thread of the supervisor for what a fork must not copy half done: a lock that is held, an open file."""


def give_up_the_dead(listener: Any) -> None:
    """Let the system end connections whose client has gone without a word, as a phone does that changes its network.

    Otherwise each of its streams would be kept for a quarter of an hour. Accepted connections have the option of their
    listener; Linux alone has it.
    """
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, UNACKNOWLEDGED_SECONDS * 1000)


class _Server(uvicorn.Server):
    """Tells when it serves."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                give_up_the_dead(listener)
        if self.started:
            self._tell()


class _ForkedProcess(Process):
    """A worker that begins as a copy of its supervisor, and shares the memory of all that is imported there."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        fork: Any = multiprocessing.get_context("fork")
        self.process = fork.Process(target=self.target, kwargs={"sockets": sockets})
        self._unblocked: set[signal.Signals] = set()

    def start(self) -> None:
        """Fork; a signal that comes meanwhile waits until it is clear for whom it is."""
        self._unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # type: ignore[assignment]
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._unblocked)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, with signals that are this process's own again."""
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._unblocked)
        super().target(sockets)


class _Workers(Multiprocess):
    """Tells when one of the processes serves; a closed terminal stops them, where uvicorn's own starts them anew."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config, [config.bind_socket()])
        give_up_the_dead(self.sockets[0])
        self._tell: Callable[[], None] | None = tell

    def _started(self) -> Process:
        process = (_ForkedProcess if FORKS else Process)(self.config, self.sockets)
        process.start()
        return process

    def init_processes(self) -> None:
        gc.freeze()  # the collector of a worker writes into nothing that it shares
        with FORKING:
            self.processes = [self._started() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if not process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                self._replace(place, process)
        if self._tell and any(process.is_ready(timeout=1) for process in self.processes):
            self._tell()
            self._tell = None

    def _replace(self, place: int, process: Process) -> None:
        """Start another in the place of one that has died or hangs, unless none can start."""
        if not FORKING.acquire(blocking=False):
            return  # half a second later
        try:
            process.kill()
            process.join()
            logger.warning("worker_died", extra={"pid": process.pid, "exit_code": process.exitcode})
            if process.exitcode == STARTUP_FAILURE:
                self.should_exit.set()
            else:
                self.processes[place] = self._started()
        finally:
            FORKING.release()

    def handle_ttin(self) -> None:
        self.processes_num += 1
        with FORKING:
            self.processes.append(self._started())

    def handle_hup(self) -> None:
        self.handle_term()

    def terminate_all(self) -> None:
        """Let go of the socket too: it would take connections that nobody answers when the workers have closed it."""
        super().terminate_all()
        for listening in self.sockets:
            listening.close()


def read_ahead(*modules: str) -> None:
    """Import what serves, without looking for garbage meanwhile: there is none, and that takes a sixth of the time."""
    gc.disable()
    try:
        for name in modules:
            import_module(name)
    finally:
        gc.enable()


def run(config: uvicorn.Config, tell: Callable[[], None]) -> None:
    """Serve until a signal stops it; `tell` is called when requests are answered."""
    if config.should_reload:
        tell()
        ChangeReload(config, target=uvicorn.Server(config).run, sockets=[config.bind_socket()]).run()
    elif config.workers > 1:
        _Workers(config, tell).run()
    else:
        server = _Server(config, tell)
        server.run()
        if not server.started:
            sys.exit(1)


def require_free(host: str, port: int) -> None:
    """Raise OperatorError unless this process can listen there: said before anything else is begun."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise OperatorError(f"There is no host {host}: set HOST to an address of this machine.") from None
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise OperatorError(_why(error, host, port)) from None


def _why(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            other = port + 1 if port < LAST_PORT else port - 1
            return f"Port {port} is in use by another program: set PORT, as in PORT={other} make run."
        case errno.EACCES:
            return f"Port {port} is only for root: set PORT to one from 1024 on."
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"{host} is no address of this machine: set HOST, as in HOST=127.0.0.1."
        case _:
            return f"Nothing can listen at {host}, port {port}: {error.strerror}."
