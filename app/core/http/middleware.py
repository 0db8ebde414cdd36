"""What surrounds every request: an id, one log line, security headers, CORS, and a constant 500."""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from secrets import token_hex

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry._api import _route_selected
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.clock import stopwatch
from app.core.errors import ApiError, InternalError
from app.core.http.client_address import Network, client_address
from app.core.http.cors import Cors
from app.core.http.dispatch import RouteTable
from app.core.http.draining import Draining
from app.core.http.json import MEDIA_TYPE
from app.core.http.problems import error_response, problem_response
from app.core.logging import Client, RequestRecord, get_logger, make_record, milliseconds, set_request

logger = get_logger("app.access")

CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_BY_DEFAULT = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Origin"),  # a cache must not hand a response without CORS headers to a page
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
)
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
CONSTANT_HEADERS = (*SECURITY_HEADERS, *_BY_DEFAULT, _HTTPS_ONLY, (b"content-type", MEDIA_TYPE.encode()))

LONGEST_AGENT = 100

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HOST = re.compile(
    rb"(\[[\w.:%~-]+\]|[\w.~!$&'()*+,;=%-]+)(:\d*)?", re.ASCII
)  # RFC 3986 3.2.2, without RFC 6874's finer points
_TRACE = re.compile(rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_QUIET_PATHS = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})

Observe = Callable[[str, str | None, int, float, RequestRecord], None]
"""Called after each answer with the method, the route's template, the status, the seconds and what else is known."""


class RequestContext:
    """Outermost: gives each request its id, its headers and its line in the log, and hands on HEAD as GET.

    FastAPI 0.165 answers HEAD only where it is documented. uvicorn, which keeps its own scope, leaves the body out.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        https_only: bool,
        draining: Draining,
        observe: Observe | None,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self.app = app
        self.observe = observe
        self.draining = draining
        self.trusted_proxies = trusted_proxies
        self.headers = [_HTTPS_ONLY] if https_only else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_at = stopwatch()
        asked = _as_routed(scope)
        record = _record(scope, self.trusted_proxies)
        set_request(record)
        asked["answered"] = 0

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                asked["answered"] = message["status"]
                if self.draining.begun:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
                message["headers"] = standard_headers([*message["headers"], *self.headers], record.request_id)
            return send(message)

        try:
            await self.app(asked, receive, send_with_headers)
        finally:
            seconds, status = (asked.get("streams_since") or stopwatch()) - started_at, asked["answered"]
            route = getattr(asked.get("route"), "path", None)  # the template: a raw path may hold anything
            _log(scope["method"], asked, route, status, seconds, record)
            if self.observe:
                self.observe(scope["method"], route, status, seconds, record)


def _as_routed(scope: Scope) -> Scope:
    """Return a request as the routes know it: HEAD is GET, and below /api one slash at the end is none.

    What `uvicorn --root-path` puts before a path is gone: what clients see there, `ROOT_PATH` says.
    """
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path.startswith("/api/"):
        path = path.removesuffix("/")
    asked = {**scope, "root_path": "", "path": path}
    if scope["method"] == "HEAD":
        asked |= {"method": "GET", "is_head": True}
    return asked


def standard_headers(headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response with those that every response has."""
    names = [name for name, _ in headers]
    missing = [header for header in _BY_DEFAULT if header[0] not in names]
    return [*headers, *SECURITY_HEADERS, (b"x-request-id", request_id.encode()), *missing]


def _record(scope: Scope, trusted_proxies: Sequence[Network]) -> RequestRecord:
    """Keep the client's id if it can do no harm in a log or a header, otherwise make one; and the trace it is part of.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    request_id = trace_id = None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and request_id is None:
            request_id = value.decode("latin-1")
        elif name == b"traceparent":
            found = _TRACE.fullmatch(value)
            trace_id = found[1].decode() if found else None
    known = request_id is not None and _REQUEST_ID.fullmatch(request_id)
    find_client = partial(_find_client, scope, trusted_proxies)
    return RequestRecord(request_id if known and request_id else token_hex(16), trace_id, find_client)


def _find_client(scope: Scope, trusted_proxies: Sequence[Network]) -> Client:
    connection = HTTPConnection(scope)
    agent = connection.headers.get("user-agent")
    return Client(client_address(connection, trusted_proxies), agent and agent[:LONGEST_AGENT])


def _log(method: str, asked: Scope, route: str | None, status: int, seconds: float, record: RequestRecord) -> None:
    level = logging.DEBUG if asked["path"] in _QUIET_PATHS else logging.INFO
    if logger.isEnabledFor(level):
        extra = {"method": method, "route": route, "status": status, "duration_ms": milliseconds(seconds)}
        logger.handle(make_record(logger, level, "request", extra | record.members()))


class BadHost(ApiError):
    """No Host header, more than one, or one that could be no host of a URL."""

    code = "BAD_HOST"
    message = "The request must have one Host header, with a host name or an address, and a port if need be."


def _names_its_host(scope: Scope) -> bool:
    """Return whether there is one Host, or none and HTTP/1.0. Source: RFC 9112 3.2."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts:
        return bool(scope["http_version"] == "1.0")
    return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None


class Dispatch:
    """Innermost: hands a request to its route, and makes of every exception an answer that keeps the other headers.

    What it finds no route for is Starlette's. An exception that nobody foresaw is a 500: Starlette's own would come
    from outside of every middleware, and have none of their headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._table: RouteTable | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not _names_its_host(scope):
            await problem_response(Request(scope), BadHost())(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody to answer; the request's log line has status 0
        except (HTTPException, RequestValidationError) as error:
            if scope["answered"]:
                raise
            await error_response(Request(scope), error)(scope, receive, send)
        except Exception:
            logger.exception("unhandled_error")
            if scope["answered"]:
                raise
            await problem_response(Request(scope), InternalError())(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._table is None:
            self._table = RouteTable(scope["app"].routes)
        if found := self._table.find(scope["method"], scope["path"]):
            scope["route"], scope["path_params"] = found
            if "fastapi.telemetry" in scope:
                _route_selected(scope=scope, path=found.route.path)  # as FastAPI's router, which is not asked
            await found.route.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Service(FastAPI):
    """A FastAPI whose own middleware, five layers in 0.165, stands only around what has no route in the table."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put what was added around the table, and FastAPI's stack behind it."""
        added, self.user_middleware = self.user_middleware, []
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)  # it would answer what nobody foresaw
        stack: ASGIApp = Dispatch(outermost.app)
        self.user_middleware = added
        for middleware, arguments, options in reversed(added):
            stack = middleware(stack, *arguments, **options)
        return stack


def install_middleware(
    app: Service,
    *,
    origins: tuple[str, ...],
    https_only: bool,
    draining: Draining,
    observe: Observe | None,
    trusted_proxies: Sequence[Network] = (),
) -> None:
    """Put both around the table of routes; what is added last stands outermost."""
    app.add_middleware(Cors, origins=origins)
    app.add_middleware(
        RequestContext, https_only=https_only, draining=draining, observe=observe, trusted_proxies=trusted_proxies
    )
