"""The errors of accounts, each with its status, code and one sentence."""

from http import HTTPStatus

from app.auth.errors import BEARER_CHALLENGE
from app.core.errors import ApiError, FieldRefused, TooManyRequests, ValidationFailed


class EmailTaken(ApiError):
    status = HTTPStatus.CONFLICT
    code = "EMAIL_TAKEN"
    message = "An account with this e-mail address already exists."


class InvalidCredentials(ApiError):
    """One sentence for a wrong password, an unknown e-mail and an inactive account alike."""

    status = HTTPStatus.UNAUTHORIZED
    code = "INVALID_CREDENTIALS"
    message = "The e-mail address or the password is wrong."
    challenge = BEARER_CHALLENGE


class CommonPassword(ValidationFailed):
    """The password is one that guessers try first, and `COMMON_PASSWORDS` refuses those."""

    def __init__(self, field: str = "password") -> None:
        super().__init__(
            [
                {
                    "field": field,
                    "message": "is one of the most common ones, choose another",
                    "code": "common_password",
                }
            ]
        )


class WrongPassword(FieldRefused):
    """Somebody who is signed in mistyped their password: no 401, on which clients would refresh and send it again."""

    code = "WRONG_PASSWORD"
    message = "The current password is wrong."
    field = "current_password"
    reason = "is wrong"


class WrongProof(FieldRefused):
    """A passkey's proof that is not accepted, is of something else, or was used: no 401, for the same reason."""

    code = "WRONG_PROOF"
    message = "The passkey was not accepted. Please try again."
    field = "proof"
    reason = "is not accepted"


class PasskeysAreOff(ApiError):
    """`PASSKEYS` is off."""

    status = HTTPStatus.NOT_IMPLEMENTED
    code = "PASSKEYS_ARE_OFF"
    message = "This service knows no passkeys."


class OAuthError(ApiError):
    """An error of the OAuth token endpoint, with RFC 6749 5.2's `error` beside the usual members."""

    def __init__(self, error: str) -> None:
        super().__init__(error=error)


class InvalidGrant(OAuthError):
    code = "INVALID_GRANT"
    message = "The e-mail address and password, or the refresh token, are not accepted."

    def __init__(self) -> None:
        super().__init__("invalid_grant")


class InvalidOAuthRequest(OAuthError):
    code = "INVALID_REQUEST"
    message = (
        "Send a form, application/x-www-form-urlencoded in UTF-8: grant_type=password with username and password, "
        "or grant_type=refresh_token with refresh_token."
    )

    def __init__(self) -> None:
        super().__init__("invalid_request")


class InvalidRevocation(InvalidOAuthRequest):
    message = "Send a form, application/x-www-form-urlencoded in UTF-8, with the token as token."


class UnsupportedGrantType(OAuthError):
    code = "UNSUPPORTED_GRANT_TYPE"
    message = "Only the grant types password and refresh_token are supported."

    def __init__(self) -> None:
        super().__init__("unsupported_grant_type")


PROOF_ERRORS = (WrongPassword, WrongProof, TooManyRequests, PasskeysAreOff)
"""The errors of any route that takes a proof."""
