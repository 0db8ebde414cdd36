"""The errors of whoever comes without a token, or with one that is not accepted."""

from http import HTTPStatus

from app.core.errors import ApiError

BEARER_CHALLENGE = "Bearer"
INVALID_TOKEN_CHALLENGE = 'Bearer error="invalid_token"'


class InvalidToken(ApiError):
    """One error for everything that can be wrong with a token. Source: RFC 6750 3.1."""

    status = HTTPStatus.UNAUTHORIZED
    code = "INVALID_TOKEN"
    message = "The token is invalid, expired or no longer accepted. Please sign in again."
    challenge = INVALID_TOKEN_CHALLENGE


class InsufficientScope(ApiError):
    """A script's token is good, but not for this: no 401, on which clients throw a token away. Source: RFC 6750 3.1."""

    status = HTTPStatus.FORBIDDEN
    code = "INSUFFICIENT_SCOPE"
    message = "This token is for scripts, and does not have the scope that this needs."
    challenge = 'Bearer error="insufficient_scope"'


class NotAuthenticated(ApiError):
    """No credentials were sent, so that the challenge names no error. Source: RFC 6750 3.1."""

    status = HTTPStatus.UNAUTHORIZED
    code = "NOT_AUTHENTICATED"
    message = "Please sign in: this needs an access token."
    challenge = BEARER_CHALLENGE
