"""The errors of the API: each has a status, a stable `code` and one sentence. `core/http/problems.py` writes them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Self

from starlette.exceptions import HTTPException


class ApiError(HTTPException):
    """An error that carries its own status, code and sentence; subclasses are named after what happened."""

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
        self.cookies: list[str] = []  # values of Set-Cookie

    @classmethod
    def example(cls) -> Self:
        """Return one as a client may meet it, for the documentation."""
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


class ValidationFailed(ApiError):
    """Well-formed, but against the rules; `errors` is a list of `{field, message, code}`."""

    status = HTTPStatus(422)  # its name differs between Python 3.11 and 3.13
    code = "VALIDATION_FAILED"
    message = "One or more fields are not valid."

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__(errors=list(errors))
        self.detail = "; ".join(f"{e['field']} {e['message']}" for e in errors)

    @classmethod
    def example(cls) -> Self:
        return cls([{"field": "title", "message": "must not be blank", "code": "blank"}])


class FieldRefused(ValidationFailed):
    """One field is refused for a reason that has a code and a sentence of its own."""

    field: str
    reason: str

    def __init__(self, field: str | None = None) -> None:
        super().__init__([{"field": field or self.field, "message": self.reason, "code": self.code.lower()}])
        self.detail = self.message

    @classmethod
    def example(cls) -> Self:
        return cls()


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


class Stopping(ServiceUnavailable):
    """SIGTERM has come: the balancer is to send new requests elsewhere."""

    code = "STOPPING"


class InternalError(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"
    message = "Something went wrong on our side. Please try again later."


BODY_ERRORS = (MalformedBody, BodyTooLarge, UnsupportedMediaType, ValidationFailed, InternalError, ServiceUnavailable)
"""The errors of any route that takes a body."""
