"""The errors of sessions and of the cookie."""

from http import HTTPStatus

from app.auth.errors import InvalidToken
from app.core.errors import ApiError, ValidationFailed


class SupersededToken(InvalidToken):
    """A refresh token whose successor is in use, from a client with the key: it came late, and nothing ends."""


class RefreshTokenReused(InvalidToken):
    """A used refresh token was presented again, and its session has ended by that."""

    code = "REFRESH_TOKEN_REUSED"
    message = "This refresh token was used before, so that its session has ended. Please sign in again."


class SessionExpired(InvalidToken):
    """The session has lasted as long as `SESSION_MAX_DAYS` allows."""

    code = "SESSION_EXPIRED"
    message = "You have been signed in for as long as this service allows. Please sign in again."


class SessionNotFound(ApiError):
    """There is no such session, it has ended, or it is somebody else's: nobody can tell which."""

    status = HTTPStatus.NOT_FOUND
    code = "SESSION_NOT_FOUND"
    message = "Session not found."


class OriginRefused(ApiError):
    """A page that `FRONTEND_URL` does not name, or no page at all, sent the cookie. Nothing is used up."""

    status = HTTPStatus.FORBIDDEN
    code = "ORIGIN_REFUSED"
    message = "The cookie is taken from this service's own pages only."


class CookieOff(ValidationFailed):
    """`REFRESH_COOKIE` is off."""

    def __init__(self) -> None:
        super().__init__([{"field": "cookie", "message": "is not available on this service", "code": "cookie_off"}])


class NoRefreshToken(ValidationFailed):
    """The refresh token is neither in the body nor in a cookie."""

    def __init__(self) -> None:
        super().__init__([{"field": "refresh_token", "message": "is required", "code": "missing"}])
