"""Servers that answer like a PostgreSQL that cannot be used, and databases that cannot be."""

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.frontends.tls import certificate

SSL_REQUEST = 80877103


@contextmanager
def refusing(state: str, text: str, *, tls: Path | None = None, garbage: bytes = b"") -> Iterator[int]:
    """Yield the port of a server that answers each start-up with this error, over TLS if there is a folder for it."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls:
        context.load_cert_chain(certificate(tls))

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, struct.error):  # whoever asked has left
                self.answer(self.request)

        def answer(self, link: socket.socket) -> None:
            length, code = struct.unpack("!II", link.recv(8))
            if garbage:
                link.sendall(garbage)
                return
            if code == SSL_REQUEST:
                link.sendall(b"S" if tls else b"N")
                if tls:
                    with context.wrap_socket(link, server_side=True) as secured:
                        secured.recv(1)  # libpq has decided by then
                    return
                length, code = struct.unpack("!II", link.recv(8))
            link.recv(length - 8)
            fields = b"".join(key + value.encode() + b"\0" for key, value in FIELDS)
            link.sendall(b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0")
            link.recv(1)

    FIELDS = ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", state), (b"M", text))  # noqa: N806
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
