"""Every refusal in one shape: RFC 9457's members, a stable `code`, and a `detail` that is always a string."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from app.core.logging import current_request_id, get_logger

logger = get_logger(__name__)


class ApiError(HTTPException):
    """A refusal that carries its own status, code and sentence; subclasses say what happened."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    code: ClassVar[str] = "BAD_REQUEST"
    message: ClassVar[str] = "The request could not be understood."
    challenge: ClassVar[str | None] = None

    def __init__(self, *, retry_after_seconds: int | None = None, **members: Any) -> None:
        headers = {"WWW-Authenticate": self.challenge} if self.challenge else {}
        if retry_after_seconds is not None:
            headers["Retry-After"] = str(retry_after_seconds)
        super().__init__(self.status, self.message, headers)
        self.members = members

    @classmethod
    def example(cls) -> Self:
        """Give one as a client may meet it, for the documentation."""
        return cls()


class MalformedBody(ApiError):
    code = "MALFORMED_BODY"
    message = "The body is not valid JSON in UTF-8."


class UnsupportedMediaType(ApiError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "UNSUPPORTED_MEDIA_TYPE"
    message = "The body must be JSON: send Content-Type: application/json, without Content-Encoding."


class BodyTooLarge(ApiError):
    status = HTTPStatus(413)  # its name and phrase differ between Python 3.11 and 3.13
    code = "BODY_TOO_LARGE"
    message = "The body is larger than 64 KiB."

    def __init__(self) -> None:
        super().__init__()
        self.headers = {"Connection": "close"}  # the rest of the body is not read


class Invalid(ApiError):
    """Well-formed, but against the rules; `errors` is a list of `{field, message, code}`."""

    status = HTTPStatus(422)  # as above
    code = "VALIDATION_FAILED"
    message = "One or more fields are not valid."

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(errors=list(errors))
        self.detail = "; ".join(f"{e['field']} {e['message']}" for e in errors)

    @classmethod
    def example(cls) -> Self:
        return cls([{"field": "title", "message": "must not be blank", "code": "blank"}])


class TooManyRequests(ApiError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "TOO_MANY_REQUESTS"
    message = "Too many attempts. Please wait before trying again."

    @classmethod
    def example(cls) -> Self:
        return cls(retry_after_seconds=60)


class ServiceUnavailable(ApiError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "SERVICE_UNAVAILABLE"
    message = "The service is temporarily unavailable. Please try again in a moment."

    def __init__(self, *, retry_after_seconds: int = 1) -> None:
        super().__init__(retry_after_seconds=retry_after_seconds)


class InternalError(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"
    message = "Something went wrong on our side. Please try again later."


BODY_ERRORS = (MalformedBody, BodyTooLarge, UnsupportedMediaType, Invalid, InternalError, ServiceUnavailable)
"""What any route that takes a body may answer."""


class Refused(NamedTuple):
    """Where and when a request was refused."""

    path: str
    method: str
    at: datetime


ErrorRenderer = Callable[[Refused, dict[str, Any]], dict[str, Any]]
"""Turns a problem's members into another body, for paths that speak another shape."""


def problem_response(request: Request, error: HTTPException) -> Response:
    """Render a refusal, as `application/problem+json` only when `Accept` asks for it."""
    shapes = (render for paths, render in request.app.state.error_shapes if paths.match(request.url.path))
    render = next(shapes, None)
    members = problem(error, current_request_id())
    if render:
        method = "GET" if request.method == "HEAD" else request.method  # RFC 9110 9.3.2: the same Content-Length
        refused = Refused(request.url.path, method, request.app.state.clock())
        members = render(refused, members)
    wanted = "application/problem+json" in request.headers.get("accept", "")
    media_type = "application/problem+json" if wanted else "application/json"
    return JSONResponse(members, error.status_code, error.headers, media_type)


def problem(error: HTTPException, request_id: str) -> dict[str, Any]:
    """Give the members of a refusal. Source: RFC 9457, FR-035."""
    status = HTTPStatus(error.status_code)
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": error.detail,
        "code": error.code if isinstance(error, ApiError) else status.name,
        # Not the path: somebody else's task must answer byte for byte like a missing one.
        "instance": f"urn:request:{request_id}",
        "request_id": request_id,
        **(error.members if isinstance(error, ApiError) else {}),
    }


def install_error_handlers(app: FastAPI) -> None:
    """Answer every exception of the routes, and the router's own 404 and 405, in this shape."""
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": ", ".join(allowed_methods(request))}
    return problem_response(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(request, invalid(error))


def allowed_methods(request: Request) -> list[str]:
    """List every method of the path; Starlette 1.10 names those of the first matching route only."""
    return sorted({method for route in request.app.routes for method in _methods(route, request)})


def _methods(route: Any, request: Request) -> set[str]:
    match, _ = route.matches({**request.scope})
    methods = set(getattr(route, "methods", None) or ()) if match.value else set()
    return methods | {"HEAD"} if "GET" in methods else methods


def invalid(error: RequestValidationError) -> ApiError:
    """Name every field's error at once, and never what was sent: FastAPI's own 422 returns the password."""
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return MalformedBody()
    return Invalid([field_error(e) for e in found])


_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must be text without lone surrogates",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has characters that are not allowed here, or a wrong length",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}


# A secret's length has other names than a string's; to a client both are strings.
_SAME = {"too_short": "string_too_short", "too_long": "string_too_long"}


def field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Give `{field, message, code}`. Pydantic's own sentences quote the input, so ours replace them."""
    where, *names = error["loc"]
    code = _SAME.get(error["type"], error["type"])
    message = error["msg"]
    if not code.startswith("own_"):
        message = _MESSAGES.get(code, "is not valid").format(**error.get("ctx", {}))
    return {"field": ".".join(map(str, names or [where])), "message": message, "code": code.removeprefix("own_")}
