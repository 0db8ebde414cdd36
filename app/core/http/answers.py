"""The heads of answers. uvicorn 0.54 puts each header of each answer through two regular expressions."""

from collections.abc import Iterable

from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

Header = tuple[bytes, bytes]

# What uvicorn reads in these is not read here.
_NOT_SIMPLE = frozenset((b"connection", b"transfer-encoding"))
_known: dict[Header, bytes] = {}


def remember(headers: Iterable[Header]) -> None:
    """Look once at headers that stand in every answer."""
    _known.update({header: line for header in headers if (line := _line(*header))})


def _line(name: bytes, value: bytes) -> bytes | None:
    """Return the line of a header; None for one that is uvicorn's to read, or to refuse."""
    if name in _NOT_SIMPLE or not name.islower() or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        return None
    return name + b": " + value + b"\r\n"


class QuickCycle(RequestResponseCycle):
    """A request and its answer, the head of which is written here where it is simple, otherwise by uvicorn."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start" and (head := self._head(message)):
            self.response_started, self.waiting_for_100_continue, self.chunked_encoding = True, False, False
            self.transport.write(head)
        else:
            await super().send(message)

    def _head(self, message: HTTPResponseStartEvent) -> bytes | None:
        """Return the head of an answer of a known length after which the connection stays, None for every other."""
        if self.response_started or self.disconnected or self.flow.write_paused or not self.keep_alive:
            return None
        lines, length = [STATUS_LINE[message["status"]]], None
        for header in (*self.default_headers, *message["headers"]):
            line = _known.get(header)
            if line is None:
                line = _line(*header)
                if line is None:
                    return None
                if header[0] == b"content-length":
                    length = int(header[1])
            lines.append(line)
        if length is None:
            return None
        self.expected_content_length = length
        lines.append(b"\r\n")
        return b"".join(lines)
