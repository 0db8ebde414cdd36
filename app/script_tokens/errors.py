"""The error of script tokens."""

from http import HTTPStatus

from app.core.errors import ApiError


class TooManyTokens(ApiError):
    """The account has as many script tokens as one may have."""

    status = HTTPStatus.CONFLICT
    code = "TOO_MANY_TOKENS"
    message = "You have as many script tokens as one may have. End one that you do not need."
