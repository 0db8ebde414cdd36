"""How a request is read: who may call first, then a bounded, strict body; and what a route does around that."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from math import isfinite
from typing import Any, ClassVar, NoReturn

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.errors import BodyTooLarge, MalformedBody, UnsupportedMediaType
from app.core.http.arguments import plan_arguments
from app.core.http.forms import parse_form

MAX_BODY_BYTES = 64 * 1024
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# A cursor of 4,000 characters, a search of 200 and all the rest fit; 64 KiB of parameters take 40 ms to read.
MAX_QUERY_BYTES = 8 * 1024
_QUERY_TOO_LONG = {"type": "string_too_long", "loc": ("query",), "msg": "", "ctx": {"max_length": MAX_QUERY_BYTES}}
MAX_MEDIA_TYPE_LENGTH = 200
MAX_COOKIES = 200
BLANKS = " \t"  # of HTTP; str.strip() would take others too
MAX_DISCARDED_BYTES = 1024 * 1024
DISCARD_SECONDS = 10


class StrictRequest(Request):
    """A request whose body is at most 64 KiB of what RFC 8259 calls JSON."""

    _form_fields: list[tuple[str, str]] | None = None

    async def body(self) -> bytes:
        """Return the whole body. Raises: BodyTooLarge, before more than the limit has been kept."""
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
        """Raise MalformedBody for bad JSON, other encodings, NaN, and numbers or nesting beyond reason."""
        try:
            return _from_json((await self.body()).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise MalformedBody from error

    def replace_body(self, body: bytes) -> None:
        """Put JSON in the place of another kind of body that has been read."""
        self._body = body
        self._headers = Headers({**self.headers, "content-type": JSON})

    async def form_fields(self) -> list[tuple[str, str]]:
        """Return the fields of a form, read once. Raises: MalformedBody."""
        if self._form_fields is None:
            self._form_fields = parse_form(await self.body())
        return self._form_fields

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]  # FastAPI 0.165 awaits it, no more
        """Return a form's fields. Raises: MalformedBody. Starlette 1.10 takes 80 ms for some of 64 KiB."""
        fields: list[tuple[str, str | UploadFile]] = []
        if "content-type" in self.headers:
            fields += await self.form_fields()
        return FormData(fields)

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies as they were sent; FastAPI 0.165 asks for them at each request.

        Starlette's would undo quotes, which takes 7 s for 64 KiB with Python 3.11.7 (CVE-2024-7592).
        """
        return dict(cookie_pairs(self))


def cookie_pairs(request: Request) -> list[tuple[str, str]]:
    """Return names and values of the cookies in the order in which they were sent, 200 at most."""
    sent = ";".join(request.headers.getlist("cookie"))
    pairs = (part.partition("=") for part in sent.split(";", MAX_COOKIES)[:MAX_COOKIES])
    return [(name.strip(BLANKS), value.strip(BLANKS)) for name, equals, value in pairs if equals]


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Read on, so that a client that sends everything before it reads gets the 413, not a reset connection."""
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
    if not isfinite(number):
        raise ValueError("number out of range")
    return number


_from_json = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode

Guard = Callable[[StrictRequest], Awaitable[object]]
"""Looks at a request before its body is parsed, and raises an ApiError to refuse it."""


class ApiRoute(APIRoute):
    """A route whose errors come in the order 401, 403, 413, 415, 400, 422.

    FastAPI parses the body before any dependency runs, so who may call is asked by the guards. A subclass declares
    what it does at which moment, in the class attributes and `on_error`.
    """

    guards: ClassVar[tuple[Guard, ...]] = ()
    media_type: ClassVar[str] = JSON

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # In the place of FastAPI's, which surrounds every request with what only its own handler needs.
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handle(StrictRequest(scope, receive, send))
        await response(scope, receive, send)

    async def on_error(self, request: StrictRequest, error: Exception) -> None:
        """Raise another error in the place of this one, or return to let it be."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        reads_body = self.body_field is not None
        plan = plan_arguments(self)

        async def handle_strictly(strict: StrictRequest) -> Response:
            try:
                for guard in self.guards:
                    await guard(strict)
                if reads_body and await strict.body():
                    self._check_media_type(strict)
                if len(strict.scope["query_string"]) > MAX_QUERY_BYTES:
                    raise RequestValidationError([_QUERY_TOO_LONG])
                arguments = await plan.arguments(strict) if plan else None
                if arguments is None:
                    return await _by_fastapi(handle, strict)
                response: Response = await self.endpoint(**arguments)
                return response
            except (HTTPException, RequestValidationError) as error:
                await self.on_error(strict, error)
                raise

        self._handle = handle_strictly
        return handle

    def _check_media_type(self, request: Request) -> None:
        """Raise UnsupportedMediaType for a body declared as something else; an undeclared one is JSON."""
        declared = request.headers.get("content-type")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMediaType
        if declared is not None and not _is_media_type(declared, self.media_type):
            raise UnsupportedMediaType


async def _by_fastapi(handle: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """Let FastAPI's own handler answer; 0.165 looks for these stacks, which no dependency of ours uses."""
    async with AsyncExitStack() as stack:
        request.scope["fastapi_inner_astack"] = request.scope["fastapi_function_astack"] = stack
        request.scope["fastapi_middleware_astack"] = stack
        return await handle(request)


def _is_media_type(declared: str, expected: str) -> bool:
    if len(declared) > MAX_MEDIA_TYPE_LENGTH:
        return False
    media_type, *parameters = (part.strip().lower() for part in declared.split(";"))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    alike = media_type == expected or (expected == JSON and media_type.endswith("+json"))
    return alike and all(charset in ("utf-8", "utf8") for charset in charsets)


def make_router(*, prefix: str = "", tag: str, route_class: type[ApiRoute] = ApiRoute) -> APIRouter:
    """Return a router whose operations are named after their functions."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=route_class,
        generate_unique_id_function=lambda route: route.name,
        strict_content_type=False,
        redirect_slashes=False,
    )


def put_and_patch(
    router: APIRouter, noun: str, change: Callable[..., Any], *, patch_summary: str = "Change a field", **options: Any
) -> None:
    """Serve both verbs by one function: neither touches the fields that are not sent."""
    for method, name, summary in (("PUT", "update", f"Change a {noun}"), ("PATCH", "patch", patch_summary)):
        path = f"/{{{noun}_id}}"
        router.add_api_route(path, change, methods=[method], name=f"{name}_{noun}", summary=summary, **options)
