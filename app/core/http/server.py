"""uvicorn's HTTP/1.1 with bounds on what a client can make it hold: a head's size, its time, how many there are."""

from asyncio import TimerHandle, Transport
from collections.abc import Iterable
from http import HTTPStatus
from math import inf
from secrets import token_hex
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.responses import JSONResponse
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from app.core.errors import ApiError, ServiceUnavailable
from app.core.http.answers import QuickCycle, remember
from app.core.http.chunks import without_chunks
from app.core.http.connection_limit import PROBES, LimitedProtocol
from app.core.http.middleware import CONSTANT_HEADERS, standard_headers
from app.core.http.problems import problem_details
from app.core.logging import get_logger

logger = get_logger("app.access")
remember(CONSTANT_HEADERS)

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100  # as Apache; each takes 160 bytes more than it is long
MAX_PATH_BYTES = 8 * 1024  # as nginx; 60 KB of percent codes take 9 ms to read
MAX_WAITING = 8  # requests behind the one that is answered; each takes 2.3 KB, however short it is


class HeadTooLarge(ApiError):
    """The request line and the headers are more than a request needs."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "HEAD_TOO_LARGE"
    message = "The request's head is larger than 64 KiB, or has more than 100 headers or a path of more than 8 KiB."


class TooManyWaiting(ApiError):
    """Never sent: the answers that are waited for come first, and the last one says that the connection closes."""


class RequestTimeout(ApiError):
    """A body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "REQUEST_TIMEOUT"
    message = "The request did not arrive in time."


class BoundedProtocol(LimitedProtocol):
    """One connection. Its one timer rings every ten seconds and looks for a deadline that has passed.

    That is one timer a connection, not one a request. For `uvicorn --http` or `http=`.
    """

    head_seconds = 10.0  # from the connection or the first byte; the timer rings as often, so the next two are longer
    body_seconds = 30.0
    write_seconds = 30.0  # for the 48 KiB between the write buffer's marks, or for the rest at the end
    linger_seconds = 2.0
    again_seconds = 0.001  # above 0, or uvloop would run it before it reads the socket

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers = []  # uvicorn's None would not let them be counted before the first
        self._pending_bytes = 0  # received outside a body: in a head, in trailers, in a chunk's extension
        self._in_body = False
        self._read_by = self._write_by = self._idle_until = inf
        self._is_late = False
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._read_by = self._last_used + self.head_seconds
        self._set_timer()

    def _is_idle(self) -> bool:
        return super()._is_idle() and not (self._in_body or self._pending_bytes)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._read_by == inf:  # the first byte of another request
            self._read_by = self.loop.time() + self.head_seconds
        self._idle_until = inf
        rest = memoryview(data)
        while rest and not self._refused:
            piece = rest[: MAX_HEAD_BYTES - self._pending_bytes]
            self._pending_bytes += len(piece)
            rest = rest[self._parse(piece) :]
            if self._pending_bytes >= MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge())

    def _parse(self, data: memoryview | bytes) -> int:
        """Parse as far as the end, or the end of a head that offers an upgrade. Return how many bytes that were.

        httptools 0.9 takes every offer: it skips the body, and reads nothing more if the connection is to be closed.
        So a new parser reads the head once more, without the offer.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as paused:
            head = self._head_without_upgrade()
            self._pending_bytes = 0  # it is no longer than the one that was counted
            self.parser = _make_parser(self)
            self._parse(head)
            read: int = paused.args[0]
            return read
        except HttpParserError as error:
            self._refuse(error.__context__ if isinstance(error.__context__, ApiError) else ApiError())
        return len(data)

    def _head_without_upgrade(self) -> bytes:
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = (b"%b:%b" % header for header in self.headers if header[0] != b"upgrade")
        return b"\r\n".join([line, *kept, b"\r\n"])

    def _should_upgrade(self) -> bool:
        return False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header without the blanks around its value; httptools leaves those behind it. Source: RFC 9110 5.5.

        Raises: HeadTooLarge, as a parser error of httptools.
        """
        if len(self.headers) >= MAX_HEADERS:
            raise HeadTooLarge
        super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Expect the body. Raises: ApiError, as a parser error of httptools."""
        if self.parser.get_method() == b"CONNECT":
            raise ApiError  # what follows is no request
        if self.parser.should_upgrade():
            return
        path = self.url.partition(b"?")[0]
        if len(path) > MAX_PATH_BYTES:
            raise HeadTooLarge
        if self._beyond is not None and path not in PROBES and self._too_many() > 0:
            raise ServiceUnavailable
        if len(self.pipeline) >= MAX_WAITING:
            raise TooManyWaiting
        super().on_headers_complete()
        if self._beyond is not None:
            self.cycle.keep_alive = False
        self.headers = []  # for trailers: uvicorn 0.54 adds them to the headers of a request that may be running
        self._pending_bytes = 0
        self._in_body = True
        self._read_by = self.loop.time() + self.body_seconds

    def on_response_complete(self) -> None:
        """Go on with the next request, as uvicorn does; but that sets a timer for each answer."""
        self._last_used = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_until = self._last_used + self.timeout_keep_alive

    def on_body(self, body: bytes) -> None:
        """Keep a piece, as uvicorn does with three times as many calls: 256 KB can be 43,000 chunks of a byte."""
        self._pending_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        if not cycle.body:  # whoever waits takes all of it
            cycle.message_event.set()
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._pending_bytes = 0
        self._in_body = False
        self._read_by = inf
        if not self._is_answering():  # it was answered without its body, which has ended the wait for the next request
            self._idle_until = self.loop.time() + self.timeout_keep_alive

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_by = self.loop.time() + self.write_seconds

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self._refused:
            self._write_by = inf

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = QuickCycle  # uvicorn has made it, and it has not begun
        knows_chunks = cycle.scope["http_version"] >= "1.1"
        super()._start_asgi_task(cycle, app if knows_chunks else without_chunks(app, cycle))

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        now = self.loop.time()
        most = min(self.head_seconds, self.timeout_keep_alive)  # a deadline that is set meanwhile comes no sooner
        soonest = min(self._read_by, self._write_by, self._idle_until, now + most)
        self._timer = self.loop.call_later(soonest - now, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        if self.transport.is_closing():  # closing waits until all is written
            self._read_by = self._idle_until = inf
            self._write_by = min(self._write_by, now + self.write_seconds)
        was_late, self._is_late = self._is_late, now >= min(self._read_by, self._write_by, self._idle_until)
        if self._is_late and not was_late:  # if the process stood still, what has arrived is read first
            self._timer = self.loop.call_later(self.again_seconds, self._look)
            return
        if now >= self._write_by:
            self.transport.abort()
            return
        if now >= self._read_by:
            self._on_late(now)
        elif now >= self._idle_until:
            self._idle_until = inf
            self.transport.close()
        self._set_timer()

    def _on_late(self, now: float) -> None:
        """Drop a client that keeps us waiting, but not one that waits for an answer or for us to read on."""
        if self.flow.read_paused or (self._is_answering() and not self._in_body):
            self._read_by = now + self.head_seconds
        elif self._beyond is not None:
            self._refuse(ServiceUnavailable())
        elif self._in_body == self._is_answering() and (self._in_body or self._pending_bytes):
            self._refuse(RequestTimeout())
        else:  # nothing was asked, or it was answered without its body
            self._read_by = inf
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Send an error without reading the request to its end, and close. An answer under way takes its place."""
        if self._refused:
            return
        self._refused = True
        self._read_by = inf
        self.headers = []
        answering = self._is_answering()
        if answering and not self._in_body:
            self.cycle.keep_alive = False
        elif answering and (self.cycle.response_started or self.pipeline):
            self.transport.abort()
        else:
            if answering:  # it waits for the body
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._answer(error)

    def _answer(self, error: ApiError) -> None:
        """Send an error and read on for a moment: closing with unread bytes resets the connection and loses it."""
        request_id = token_hex(16)
        response = JSONResponse(problem_details(error, request_id), error.status_code, error.headers)
        headers = [*self.server_state.default_headers, *standard_headers(response.raw_headers, request_id)]
        lines = _lines([*headers, (b"connection", b"close")])
        self.transport.write(b"".join([STATUS_LINE[error.status_code], *lines, b"\r\n", bytes(response.body)]))
        logger.info("refused", extra={"request_id": request_id, "status": error.status_code, "code": error.code})
        self._count_refused(error.code)
        self._write_by = self.loop.time() + self.linger_seconds
        self._set_timer()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
        else:  # TLS ends for both sides at once
            self.transport.close()


def _make_parser(protocol: BoundedProtocol) -> HttpRequestParser:
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn: it is ignored
    return parser


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return (name + b": " + value + b"\r\n" for name, value in headers)
