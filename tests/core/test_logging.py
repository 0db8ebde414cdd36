"""Logs: one line for one thing, and no line forged."""

import io
import json
import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.core.logging import ConsoleFormatter, JsonFormatter, configure_logging, make_record
from tests.support.people import PASSWORD, Person


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    written = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_every_request_is_one_line(client: httpx.AsyncClient, ada: Person, stream: io.StringIO) -> None:
    """An operator finds one line for each request, by the route's template and never by the raw path.

    Source: FR-048.
    """
    task = await ada.add_task()
    await ada.get(f"/api/tasks/{task['id']}", headers={"X-Request-ID": "mine"})
    await ada.send("HEAD", f"/api/tasks/{task['id']}")
    await client.get("/nope/c4nary?c4nary")
    await client.get("/health/live")
    logged = [line for line in lines(stream) if line["event"] == "request"]
    assert [line["route"] for line in logged] == ["/api/tasks", "/api/tasks/{task_id}", "/api/tasks/{task_id}", None]
    assert [line["method"] for line in logged] == ["POST", "GET", "HEAD", "GET"]
    times = {"time": "", "duration_ms": 0, "wait_ms": 0, "db_ms": 0}
    assert logged[1] | times == times | {
        "level": "info",
        "logger": "app.access",
        "event": "request",
        "request_id": "mine",
        "method": "GET",
        "route": "/api/tasks/{task_id}",
        "status": 200,
        "user_id": ada.user["id"],
        "session_id": ada.session_id,
    }
    assert logged[1]["duration_ms"] >= logged[1]["db_ms"] > 0
    assert "user_id" not in logged[3]
    assert "c4nary" not in stream.getvalue()


async def test_the_line_tells_why_a_request_was_slow_and_what_it_was_refused_for(
    client: httpx.AsyncClient, ada: Person, stream: io.StringIO
) -> None:
    """An operator tells the hash, the waiting and the database apart, and a 401 from a 401. Source: FR-048."""
    await client.post("/api/auth/signin", json={"email": ada.email, "password": PASSWORD})
    await client.post("/api/auth/signin", json={"email": ada.email, "password": "wrong password"})
    await ada.get(f"/api/tasks/{uuid4()}")
    await ada.send("POST", "/api/auth/signout")
    await ada.get("/api/tasks")
    await client.get("/api/tasks")
    good, wrong, missing, _, ended, nobody = [line for line in lines(stream) if line["event"] == "request"]
    assert good["duration_ms"] >= good["hash_ms"] + good["db_ms"] > good["hash_ms"] > 0
    assert "wait_ms" in good
    assert "code" not in good
    assert [line["code"] for line in (wrong, missing, ended, nobody)] == [
        "INVALID_CREDENTIALS",
        "TASK_NOT_FOUND",
        "INVALID_TOKEN",
        "NOT_AUTHENTICATED",
    ]
    assert (ended["user_id"], ended["session_id"]) == (ada.user["id"], ada.session_id)
    assert not nobody.keys() & {"db_ms", "user_id", "session_id"}


@pytest.mark.parametrize(
    ("sent", "trace_id"),
    [
        (f"00-{'a1' * 16}-{'b2' * 8}-01", "a1" * 16),
        (f"cc-{'a1' * 16}-{'b2' * 8}-01-what-comes-later", "a1" * 16),
        (f"00-{'a1' * 16}-{'b2' * 8}-01-more", None),
        (f"ff-{'a1' * 16}-{'b2' * 8}-01", None),
        (f"00-{'0' * 32}-{'b2' * 8}-01", None),
        (f"00-{'a1' * 16}-{'0' * 16}-01", None),
        (f"00-{'A1' * 16}-{'b2' * 8}-01", None),
        ("", None),
    ],
)
async def test_a_line_names_the_trace_that_the_request_is_part_of(
    client: httpx.AsyncClient, stream: io.StringIO, sent: str, trace_id: str | None
) -> None:
    """Whoever follows a request through several services finds its line here."""
    await client.get("/api/tasks", headers={"traceparent": sent})
    (line,) = [line for line in lines(stream) if line["event"] == "request"]
    assert line.get("trace_id") == trace_id


@pytest.mark.parametrize(
    "text", ["two\nlines", 'x", "level": "error', "\x1b[31mred", "\r\n{}", "\u2028", "\x7f", "\x9b31m", "\u202e"]
)
def test_nothing_forges_a_line(text: str) -> None:
    """No text of a client begins a line of its own or acts on a terminal, in either format."""
    record = logging.makeLogRecord({"msg": text, "levelno": 20, "levelname": "INFO", "user_agent": text})
    line = JsonFormatter().format(record)
    assert json.loads(line)["event"] == json.loads(line)["user_agent"] == text
    assert line.isascii()
    assert line.isprintable()
    assert ConsoleFormatter().format(record).isprintable()


def test_a_record_that_is_made_quickly_is_like_any_other() -> None:
    """Whatever collects records beside our own lines finds in a request's what the others have."""
    logger, members = logging.getLogger("app.access"), {"status": 200}
    quick = make_record(logger, logging.INFO, "request", members)
    usual = logger.makeRecord(logger.name, logging.INFO, "(unknown file)", 0, "request", (), None, extra=members)
    assert vars(quick).keys() == vars(usual).keys()
    for name in ("name", "levelno", "levelname", "msg", "args", "exc_info", "exc_text", "stack_info", "status"):
        assert getattr(quick, name) == getattr(usual, name)
    assert 0 <= usual.created - quick.created < 10
    for formatter in (JsonFormatter(), ConsoleFormatter(), logging.Formatter("%(asctime)s %(filename)s:%(lineno)d")):
        assert formatter.format(quick)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (UUID(int=1), str(UUID(int=1))),
        ("Gießen \u2028\x85\x7f", "Gießen \u2028\x85\x7f"),
        ("\ud800", "\ud800"),
        ("\\\x7f", "\\\x7f"),
        (0.1, 0.1),
        (2**70, 2**70),
        ({"a": [None, True]}, {"a": [None, True]}),
        (ValueError("x"), "x"),
        (HTTPStatus.OK, 200),
    ],
)
def test_a_line_has_whatever_it_is_given(value: Any, shown: Any) -> None:
    """No value keeps a line from being written, in ASCII."""
    for other in ("", "ä"):
        record = logging.makeLogRecord({"msg": "x", "value": value, "other": other})
        line = JsonFormatter().format(record)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["value"] == shown


def test_an_exception_is_logged_with_its_traceback() -> None:
    """An operator can find out what went wrong. Source: NFR-015."""
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (type(error), error, error.__traceback__)})
    assert "boom" in json.loads(JsonFormatter().format(record))["exception"]
    assert "boom" in ConsoleFormatter().format(record)


def test_a_traceback_forges_no_line() -> None:
    """What an error says of somebody's text acts on no terminal, and no line of it begins as ours do."""
    try:
        raise RuntimeError("\x1b[31mred\n12:00:00 info    signed_in\u2028\x7f")
    except RuntimeError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (type(error), error, error.__traceback__)})
    _, *below = ConsoleFormatter().format(record).split("\n")
    assert all(line.isprintable() and line.startswith("  ") for line in below), below
    assert JsonFormatter().format(record).isprintable()


@pytest.mark.parametrize(
    ("log_format", "terminal", "formatter"),
    [
        ("auto", True, ConsoleFormatter),
        ("auto", False, JsonFormatter),
        ("json", True, JsonFormatter),
        ("console", False, ConsoleFormatter),
    ],
)
def test_a_terminal_gets_lines_for_people(
    monkeypatch: pytest.MonkeyPatch, log_format: str, terminal: bool, formatter: type
) -> None:
    """Whoever runs the service by hand reads plain lines; what collects logs gets JSON."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    configure_logging("INFO", log_format)
    assert type(logging.getLogger().handlers[0].formatter) is formatter
