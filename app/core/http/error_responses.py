"""How errors are documented: each status with its body, its headers, and an example of each error."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from app.core.errors import ApiError
from app.core.http.problems import ErrorContext, ErrorRenderer, problem_details, unchanged

Documented = dict[int | str, dict[str, Any]]
"""The `responses=` of a route."""

_REQUEST_ID = "5c0f3a52b1e94a7d8f7a3e0f4b1d2c6e"
_CONTEXT = ErrorContext("/api/tasks", "POST", datetime(2026, 1, 7, 10, tzinfo=UTC))
_HEADERS = {
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}},
}


class FieldError(BaseModel):
    field: str
    message: str
    code: str


class Problem(BaseModel):
    """An error. `detail` is a sentence for people, `code` a constant for programs. Source: RFC 9457, FR-035."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None


def error_responses(
    *errors: type[ApiError], model: type[BaseModel] = Problem, render: ErrorRenderer = unchanged
) -> Documented:
    """Document these errors with this body, as `render` makes it of problem details."""
    documented: Documented = {}
    for error in dict.fromkeys(errors):
        example = error.example()
        blank = {"model": model, "description": "", "headers": {}, "content": {"application/json": {"examples": {}}}}
        response = documented.setdefault(int(error.status), blank)
        response["description"] = f"{response['description']} {error.message}".lstrip()
        response["headers"] |= {name: shown for name, shown in _HEADERS.items() if name in (example.headers or {})}
        value = render(_CONTEXT, problem_details(example, _REQUEST_ID))
        response["content"]["application/json"]["examples"][error.code] = {"summary": error.message, "value": value}
    return documented
