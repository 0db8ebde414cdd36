"""The TLS in front of the browser's tests ends when they do, whatever the browser leaves open."""

import socket
import ssl
from pathlib import Path

from app.core.clock import stopwatch
from tests.frontends.tls import behind_tls
from tests.support.pages import serving_folder

TRUST_ANYBODY = ssl._create_unverified_context()


def test_it_ends_though_a_connection_stays_open(tmp_path: Path) -> None:
    """A browser that neither sends anything nor closes does not hold the tests."""
    with serving_folder(tmp_path) as port:
        with behind_tls(port, tmp_path) as own_port:
            plain = socket.create_connection(("127.0.0.1", own_port))
            silent = TRUST_ANYBODY.wrap_socket(socket.create_connection(("127.0.0.1", own_port)))
            used = TRUST_ANYBODY.wrap_socket(socket.create_connection(("127.0.0.1", own_port)))
            used.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert used.recv(12) == b"HTTP/1.0 200"
            began = stopwatch()
        assert stopwatch() - began < 2
        for connection in (plain, silent, used):
            connection.close()
