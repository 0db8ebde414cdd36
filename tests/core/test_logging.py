"""Logs: one line for one thing, and no line forged."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.core.logging import ConsoleFormatter, JsonFormatter, configure_logging
from tests.support.people import Person


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
    assert logged[1] | {"time": "", "duration_ms": 0} == {
        "time": "",
        "level": "info",
        "logger": "app.access",
        "event": "request",
        "request_id": "mine",
        "method": "GET",
        "route": "/api/tasks/{task_id}",
        "status": 200,
        "duration_ms": 0,
    }
    assert logged[1]["duration_ms"] > 0
    assert "c4nary" not in stream.getvalue()


@pytest.mark.parametrize("text", ["two\nlines", 'x", "level": "error', "\x1b[31mred", "\r\n{}", "\u2028"])
def test_nothing_forges_a_line(text: str) -> None:
    """No text of a client begins a line of its own or acts on a terminal, in either format."""
    record = logging.makeLogRecord({"msg": text, "levelno": 20, "levelname": "INFO", "user_agent": text})
    line = JsonFormatter().format(record)
    assert json.loads(line)["event"] == json.loads(line)["user_agent"] == text
    assert len(line.splitlines()) == 1
    plain = ConsoleFormatter().format(record)
    assert len(plain.splitlines()) == 1
    assert "\x1b" not in plain


def test_an_exception_is_logged_with_its_traceback() -> None:
    """An operator can find out what went wrong. Source: NFR-015."""
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (type(error), error, error.__traceback__)})
    assert "boom" in json.loads(JsonFormatter().format(record))["exception"]
    assert "boom" in ConsoleFormatter().format(record)


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
