"""HTTP as bytes, for what no client would send."""

import re
import socket
from urllib.parse import urlsplit

from tests.support.server import Server


def connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=5)


def read_to_the_end(link: socket.socket) -> bytes:
    """Give all that comes until the server closes. Raises: TimeoutError if it does not."""
    answer = b""
    while chunk := link.recv(65536):
        answer += chunk
    return answer


def read_one(link: socket.socket) -> bytes:
    """Give one answer whole: its head and its body come apart."""
    answer, whole = b"", None
    while not whole:
        chunk = link.recv(65536)
        assert chunk, answer
        answer += chunk
        head, end, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        whole = end and length and len(body) >= int(length[1])
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
