"""Logs: one JSON object a line, or readable lines on a terminal; each with the request's id."""

import json
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from app.core.clock import moment_of_record


class Client(NamedTuple):
    """A client's address, as the limits count it, and its `User-Agent`. Outside of a request there is neither."""

    address: str | None
    user_agent: str | None


class RequestRecord:
    """What the log says of a request beside its answer. The times are in seconds."""

    __slots__ = (
        "_find_client",
        "code",
        "database",
        "hashing",
        "request_id",
        "session_id",
        "stream",
        "trace_id",
        "user_id",
        "waiting",
    )

    def __init__(
        self, request_id: str, trace_id: str | None = None, find_client: Callable[[], Client] | None = None
    ) -> None:
        self.request_id, self.trace_id, self._find_client = request_id, trace_id, find_client
        self.code: str | None = None
        self.user_id: UUID | None = None
        self.session_id: UUID | None = None
        self.stream: dict[str, Any] | None = None
        self.waiting = self.database = self.hashing = 0.0

    @property
    def client(self) -> Client:
        """Return who has sent the request, as far as the network tells."""
        return self._find_client() if self._find_client else Client(None, None)

    def name_caller(self, user_id: UUID | None, session_id: UUID | None) -> None:
        """Note who is asking, once a token or a password has told."""
        self.user_id, self.session_id = user_id, session_id

    def members(self) -> dict[str, Any]:
        """Return what is known, as the log has it: of times whole hundredths of milliseconds, where any passed."""
        known = {
            "code": self.code,
            "user_id": self.user_id,
            "session_id": self.session_id,
            "trace_id": self.trace_id,
            **(self.stream or {}),
            "wait_ms": milliseconds(self.waiting) or None,
            "db_ms": milliseconds(self.database) or None,
            "hash_ms": milliseconds(self.hashing) or None,
        }
        return {name: value for name, value in known.items() if value is not None}


_NO_REQUEST = RequestRecord("-")  # what is noted here nobody reads
_request: ContextVar[RequestRecord] = ContextVar("request", default=_NO_REQUEST)

_PLAIN_RECORD = vars(logging.makeLogRecord({}))
_STANDARD = frozenset(_PLAIN_RECORD) | {"message", "asctime", "taskName", "color_message"}
_QUIET = (
    "psycopg.pool",
    "psycopg",
    "asyncio",
    "httpx",
    "httpcore",
    "multipart",
    "python_multipart",
    "alembic",
    "hpack",
)

AUDIT = "audit"
"""The logger of the trail, which is whole whatever the level of the others is."""

get_logger = logging.getLogger
current_request = _request.get
set_request = _request.set


def current_request_id() -> str:
    """Return the id of the request that is being answered, `-` outside of one."""
    return current_request().request_id


def milliseconds(seconds: float) -> float:
    """Return seconds as the log has them."""
    return round(seconds * 1000, 2)


def configure_logging(level: str, log_format: str) -> None:
    """Write every record to standard error; `auto` is readable on a terminal and JSON elsewhere."""
    readable = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter() if readable else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # RequestContext logs requests
    # Neither format shows these, so they are not collected for each line ("Optimization" in the HOWTO of logging).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # from the same section
    for name in _QUIET:  # at INFO and below these log every request, some of them its content
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it logs the address at each failed attempt


def make_record(logger: logging.Logger, level: int, event: str, members: dict[str, Any]) -> logging.LogRecord:
    """Return the record that `logger.log` would make, for `logger.handle`.

    Where in the code and in which thread it was made no format shows; finding that out takes longer than the line.
    """
    record = logging.LogRecord.__new__(logging.LogRecord)
    about = {"name": logger.name, "levelno": level, "levelname": logging.getLevelName(level), "msg": event}
    vars(record).update(_PLAIN_RECORD, created=moment_of_record(), **about, **members)
    return record


_encode = msgspec.json.Encoder(enc_hook=str).encode
_encode_slowly = json.JSONEncoder(default=str, separators=(",", ":")).encode


def _to_json(members: dict[str, Any]) -> str:
    """Return JSON in ASCII that can be printed: other characters, some of which end a line, are escaped."""
    try:
        return _encode(members).decode("ascii").replace("\x7f", "\\u007f")  # of ASCII, msgspec leaves this one
    except ValueError:  # msgspec, which is five times as fast, does not escape them
        return _encode_slowly(members)


def _members(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One object a line, control characters escaped, so that no input can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "request_id": current_request_id(),
            **_members(record),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return _to_json(members)


class ConsoleFormatter(logging.Formatter):
    """Time, level, event and its members on one line; a traceback below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        members = " ".join(f"{name}={plain(value)}" for name, value in _members(record).items())
        line = f"{time} {record.levelname.lower():<7} {plain(record.getMessage())} {members}".rstrip()
        traceback = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        return "\n  ".join([line, *map(plain, traceback)])


def plain(value: Any) -> str:
    """Escape what could move the cursor, turn the direction of text or begin a line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
