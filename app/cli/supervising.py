"""uvicorn as `serve` runs it: one process, or one that looks after others."""

import errno
import socket
import sys
from collections.abc import Callable

import uvicorn
from uvicorn.supervisors import ChangeReload, Multiprocess

from app.core.logging import get_logger
from app.core.operator_error import OperatorError

logger = get_logger("app")

LAST_PORT = 65535


class _Server(uvicorn.Server):
    """Tells when it serves."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()


class _Workers(Multiprocess):
    """Tells when one of the processes serves; a closed terminal stops them, where uvicorn's own starts them anew."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]) -> None:
        super().__init__(config, [config.bind_socket()])
        self._tell: Callable[[], None] | None = tell

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            if not process.process.is_alive() and not self.should_exit.is_set():  # uvicorn says so at INFO
                logger.warning("worker_died", extra={"pid": process.pid, "exit_code": process.exitcode})
        super().keep_subprocess_alive()
        if self._tell and any(process.is_ready(timeout=1) for process in self.processes):
            self._tell()
            self._tell = None

    def handle_hup(self) -> None:
        self.handle_term()

    def terminate_all(self) -> None:
        """Let go of the socket too: it would take connections that nobody answers when the workers have closed it."""
        super().terminate_all()
        for listening in self.sockets:
            listening.close()


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
