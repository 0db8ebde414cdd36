"""How a body is read: bounded, declared as JSON, strict; and only after the caller was admitted."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app.core.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
MAX_DISCARDED_BYTES = 1024 * 1024
DISCARD_SECONDS = 10

Gate = Callable[[Request], Awaitable[object]]
"""Looks at a request before its body is read, and raises to refuse it."""


class StrictRequest(Request):
    """A request whose body is at most 64 KiB of what RFC 8259 calls JSON."""

    async def body(self) -> bytes:
        """Raises: BodyTooLarge, before more than the limit has been kept."""
        if not hasattr(self, "_body"):
            stream = self.stream()
            if int(self.headers.get("content-length") or 0) > MAX_BODY_BYTES:
                if "expect" not in self.headers:  # it has not begun to send
                    await _discard(stream)
                raise BodyTooLarge
            received = bytearray()
            async for chunk in stream:
                received += chunk
                if len(received) > MAX_BODY_BYTES:
                    await _discard(stream)
                    raise BodyTooLarge
            self._body = bytes(received)
        return self._body

    async def json(self) -> Any:
        """Raises: MalformedBody for bad JSON, other encodings, NaN, and numbers or nesting beyond reason."""
        try:
            return _from_json((await self.body()).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise MalformedBody from error


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Read on: whoever sends all before reading would find the connection reset, and not the refusal."""
    received = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for chunk in stream:
                received += len(chunk)
                if received > MAX_DISCARDED_BYTES:
                    return


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return number


_from_json = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


class Route(APIRoute):
    """A route that answers in the order 401, 403, 413, 415, 400, 422.

    FastAPI parses the body before any dependency runs, so who may call is asked here, by the gates.
    """

    gates: tuple[Gate, ...] = ()
    media_type = "application/json"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take HEAD for GET; FastAPI 0.165 does so only if it is documented. The server leaves the body out."""
        match, child_scope = super().matches(scope)
        if match is Match.PARTIAL and self._is_head_of_get(scope):
            match = Match.FULL
        return match, child_scope

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_head_of_get(scope):
            await self.app(scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    def _is_head_of_get(self, scope: Scope) -> bool:
        return scope.get("method") == "HEAD" and "GET" in (self.methods or ())

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        reads_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            for gate in self.gates:
                await gate(strict)
            if reads_body and await strict.body():
                self.check_media_type(strict)
            return await answer(strict)

        return handle

    def check_media_type(self, request: Request) -> None:
        """Raises: UnsupportedMediaType for a body declared as something else; an undeclared one is JSON."""
        declared = request.headers.get("content-type")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMediaType
        if declared is not None and not _is_media_type(declared, self.media_type):
            raise UnsupportedMediaType


def _is_media_type(declared: str, expected: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in declared.split(";"))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    alike = media_type == expected or (expected == "application/json" and media_type.endswith("+json"))
    return alike and all(charset in ("utf-8", "utf8") for charset in charsets)


def router(*, prefix: str = "", tag: str, route_class: type[Route] = Route) -> APIRouter:
    """Make a router whose operations are named after their functions."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=route_class,
        generate_unique_id_function=lambda route: route.name,
        strict_content_type=False,
        redirect_slashes=False,
    )
