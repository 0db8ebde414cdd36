"""How errors are sent: RFC 9457's members, a stable `code`, and a `detail` that is always a string."""

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from app.core.errors import ApiError, MalformedBody, ValidationFailed
from app.core.http.root_path import public_path
from app.core.logging import current_request


class ErrorContext(NamedTuple):
    """The request that an error answers, and when."""

    path: str
    method: str
    at: datetime


ErrorRenderer = Callable[[ErrorContext, dict[str, Any]], dict[str, Any]]
"""Turns problem details into another body, for the paths of a contract."""


def unchanged(context: ErrorContext, problem: dict[str, Any]) -> dict[str, Any]:
    """Return problem details as they are."""
    return problem


def problem_response(request: Request, error: HTTPException) -> Response:
    """Return the response to an error, as `application/problem+json` only when `Accept` asks for it."""
    shapes = (render for paths, render in request.app.state.error_shapes if paths.match(request.url.path))
    render = next(shapes, None)
    record = current_request()
    members = problem_details(error, record.request_id)
    record.code = members["code"]
    if render:
        context = ErrorContext(public_path(request, request.url.path), request.method, request.app.state.clock())
        members = render(context, members)
    wanted = "application/problem+json" in request.headers.get("accept", "")
    media_type = "application/problem+json" if wanted else "application/json"
    response = JSONResponse(members, error.status_code, error.headers, media_type)
    for cookie in error.cookies if isinstance(error, ApiError) else ():
        response.headers.append("Set-Cookie", cookie)
    return response


def problem_details(error: HTTPException, request_id: str) -> dict[str, Any]:
    """Return the members of an error. Source: RFC 9457, FR-035."""
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
    app.add_exception_handler(HTTPException, _on_error)
    app.add_exception_handler(RequestValidationError, _on_error)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException | RequestValidationError)
    return error_response(request, error)


def error_response(request: Request, error: HTTPException | RequestValidationError) -> Response:
    """Return the response to an error of a route, or to the router's own 404 and 405."""
    if isinstance(error, RequestValidationError):
        return problem_response(request, validation_error(error))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        error.headers = {"Allow": ", ".join(allowed_methods(request))}
    return problem_response(request, error)


def allowed_methods(request: Request) -> list[str]:
    """List every method of the path; Starlette 1.10 names those of the first matching route only."""
    return sorted({method for route in request.app.routes for method in _methods(route, request)})


def _methods(route: Any, request: Request) -> set[str]:
    match, _ = route.matches({**request.scope})
    methods = set(getattr(route, "methods", None) or ()) if match.value else set()
    return methods | {"HEAD"} if "GET" in methods else methods


def validation_error(error: RequestValidationError) -> ApiError:
    """Return every field's error at once, and never what was sent: FastAPI's own 422 returns the password."""
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return MalformedBody()
    return ValidationFailed([field_error(e) for e in found])


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

# pydantic has other names for a secret's length than for a string's; to a client both are strings.
_SAME_AS = {"too_short": "string_too_short", "too_long": "string_too_long"}


def field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Return `{field, message, code}`. Pydantic's own sentences quote the input, so ours replace them."""
    where, *names = error["loc"]
    code = _SAME_AS.get(error["type"], error["type"])
    message, context = error["msg"], error.get("ctx", {})
    if code == "string_too_short" and context["min_length"] == 1:
        message = "must not be empty"
    elif not code.startswith("own_"):
        message = _MESSAGES.get(code, "is not valid").format(**context)
    return {"field": ".".join(map(str, names or [where])), "message": message, "code": code.removeprefix("own_")}
