"""A proxy between the client and the server that loses answers, or gives its own."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

import httpx


class Between:
    """Passes requests on; loses the answers to `lost` routes after the work is done, and gives `own` answers itself.

    Routes are written as `PATCH /api/tasks`: a method and the beginning of a path.
    """

    def __init__(self, upstream: str) -> None:
        self.lost: set[str] = set()
        self.own: dict[str, tuple[int, Any]] = {}
        self.url = ""
        self._upstream = httpx.Client(base_url=upstream)

    @classmethod
    @contextmanager
    def running(cls, upstream: str) -> Iterator[Self]:
        """Answer on a port of its own until the block ends."""
        between = cls(upstream)
        listener = ThreadingHTTPServer(("127.0.0.1", 0), between._handler())
        between.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield between
        finally:
            listener.shutdown()
            thread.join()
            listener.server_close()
            between._upstream.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        between = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                route = f"{self.command} {self.path}"
                length = int(self.headers.get("Content-Length", 0))
                status, content = between._answer(self.command, self.path, dict(self.headers), self.rfile.read(length))
                if route.startswith(tuple(between.lost)):
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if content.startswith(b"<") else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  # http.server looks for these names

            def log_message(self, *_: Any) -> None:
                """Write nothing to the terminal."""

        return Handler

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        for route, (status, content) in self.own.items():
            if f"{method} {path}".startswith(route):
                return status, content if isinstance(content, bytes) else json.dumps(content).encode()
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "connection")}
        answer = self._upstream.request(method, path, headers=kept, content=body)
        return answer.status_code, answer.content


class Way(httpx.HTTPTransport):
    """A network in which every server's address leads to `url`, which may be a `Between` or nobody."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._to = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(host=self._to.host, port=self._to.port)
        moved = httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        moved.extensions = request.extensions
        return super().handle_request(moved)


class InProcess(httpx.BaseTransport):
    """The way from a thread to the service in this process, whose clock stands still; `loses` answers if told.

    `agent` is the program that asks, if it is not httpx.
    """

    def __init__(self, client: httpx.AsyncClient, agent: str | None = None) -> None:
        self.client = client
        self.agent = agent
        self.loop = asyncio.get_running_loop()
        self.loses = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.agent:
            request.headers["User-Agent"] = self.agent
        sent = self.client.request(
            request.method, str(request.url.path), headers=request.headers, content=request.read()
        )
        answer = asyncio.run_coroutine_threadsafe(sent, self.loop).result(30)
        if self.loses:
            raise httpx.ReadError("lost on the way", request=request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content, request=request)
