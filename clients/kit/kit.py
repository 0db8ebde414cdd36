"""Tries a client against a service that loses answers, expires tokens and cuts streams, and says what it must do.

Usage: python kit.py [--port PORT] [--only NAME] [--list] [COMMAND …]

A client is tried by a driver: a program that asks `POST /kit` what to do next, with what came of the last step, until
it is told `end` (README.md). COMMAND is a driver to start, with the address in KIT_URL. Exit code: 0 if all holds.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from urllib.parse import parse_qsl, urlsplit

from scenarios import SCENARIOS, Stage, told_of
from service import Answer, Json, Request, Service

Line = tuple[str, str, bool | None, str]


class Kit:
    """The service, and the steps for the driver; `lines` is the report."""

    def __init__(self, only: str = "") -> None:
        self.scenarios = [it for it in SCENARIOS if only in it.name]
        self.service = Service()
        self.lines: list[Line] = []
        self.ended = Event()
        self._script = self._steps()
        self._began = False
        self._lock = Lock()

    def next_step(self, result: Json) -> Json:
        """Take what came of the last step, and return the next one."""
        with self._lock:
            if self.ended.is_set():
                return {"do": "end"}
            step = self._script.send(result) if self._began else next(self._script)
            self._began = True
            return step

    def _steps(self) -> Generator[Json, Json, None]:
        for it in self.scenarios:
            told = yield from told_of(Stage(self.service), it)
            self.lines += [(it.name, *line) for line in told]
        self.ended.set()
        yield {"do": "end"}


class Handler(BaseHTTPRequestHandler):
    """Answers a connection for the kit of its server."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet for each answer
    server: "Server"

    def answer(self) -> None:
        """Answer the driver, or the client as the service does."""
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(content) if content else {}
        kit = self.server.kit
        if self.path == "/kit":
            self.send(Answer(200, kit.next_step(body)))
            return
        split = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, split.path, dict(parse_qsl(split.query)), headers, body)
        answer = kit.service.answer(request)
        if answer.lost:
            self.close_connection = True
        elif answer.stream:
            self.stream(answer.stream)
        else:
            self.send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # http.server looks for these names

    def send(self, answer: Answer) -> None:
        """Send JSON, or a page."""
        is_page = isinstance(answer.content, str)
        text = answer.content if is_page else json.dumps(answer.content) if answer.content is not None else ""
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/html" if is_page else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def stream(self, events: Iterator[str]) -> None:
        """Send events until they end or the client has gone."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):
            for text in events:
                self.wfile.write(text.encode())
                self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Write nothing to the terminal."""


class Server(ThreadingHTTPServer):
    """Answers each connection in a thread that ends with the program."""

    daemon_threads = True

    def __init__(self, port: int, kit: Kit) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.kit = kit

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that a client has cut."""


def main() -> int:
    """Try one client."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the name of a story, which is told alone")
    parser.add_argument("--list", action="store_true", help="only say what a client must do")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.list:
        for it in SCENARIOS:
            print(f"{it.name}:", *(f"\n  {sentence}" for sentence in it.must))
        return 0
    kit = Kit(options.only)
    server = Server(options.port, kit)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    print(f"The kit is at {url}; a driver asks {url}/kit.", flush=True)
    if options.command:
        code = subprocess.run(options.command, env={**os.environ, "KIT_URL": url}, check=False).returncode  # noqa: S603
        if code or not kit.ended.is_set():
            print(f"The driver ended with {code} before it was told to.")
            return 1
    kit.ended.wait()
    return report(kit.lines)


def report(lines: list[Line]) -> int:
    """Print what holds; return the exit code."""
    for name, sentence, holds, seen in lines:
        mark = {True: "yes", False: "NO ", None: "-  "}[holds]
        print(f"{mark} {name}: {sentence}" + ("" if holds else f" [{seen}]"))
    failed = sum(holds is False for _, _, holds, _ in lines)
    untried = sum(holds is None for _, _, holds, _ in lines)
    print(f"{len(lines) - failed - untried} of {len(lines)} hold, {failed} do not, {untried} could not be tried.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
