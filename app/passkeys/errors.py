"""The errors of passkeys, each with its status, code and one sentence."""

from http import HTTPStatus

from app.accounts.errors import InvalidCredentials
from app.core.errors import ApiError, FieldRefused


class PasskeyRefused(InvalidCredentials):
    """One sentence for whatever is wrong with a sign-in by a passkey."""

    message = "This passkey is not accepted."


class PasskeyNotFound(ApiError):
    """There is no such passkey, or it is somebody else's: nobody can tell which."""

    status = HTTPStatus.NOT_FOUND
    code = "PASSKEY_NOT_FOUND"
    message = "Passkey not found."


class TooManyPasskeys(ApiError):
    """The account has as many passkeys as one may have."""

    status = HTTPStatus.CONFLICT
    code = "TOO_MANY_PASSKEYS"
    message = "You have as many passkeys as one may have. Delete one that you do not need."


class InvalidPasskey(FieldRefused):
    """One error for whatever is wrong with a key that is to be made."""

    code = "INVALID_PASSKEY"
    message = "This passkey could not be made. Please try again."
    field = "credential"
    reason = "is not accepted"
