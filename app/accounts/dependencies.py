"""The routes of OAuth: forms, and errors of RFC 6749."""

from typing import ClassVar

from fastapi.exceptions import RequestValidationError

from app.accounts.errors import InvalidCredentials, InvalidGrant, InvalidOAuthRequest, InvalidRevocation
from app.auth.errors import InvalidToken
from app.core.errors import MalformedBody, UnsupportedMediaType
from app.core.http.routing import FORM, ApiRoute, Guard, StrictRequest


async def refuse_repeated_parameters(request: StrictRequest) -> None:
    """Raise InvalidOAuthRequest if a parameter of a form is sent twice. Source: RFC 6749 3.2."""
    names = await _names(request)
    if len(names) > len(set(names)):
        raise InvalidOAuthRequest


async def refuse_two_tokens(request: StrictRequest) -> None:
    """Raise InvalidRevocation if a form names two tokens: two readers could take different ones."""
    if (await _names(request)).count("token") > 1:
        raise InvalidRevocation


async def _names(request: StrictRequest) -> list[str]:
    """Return the names of a form's parameters, none of what is no form."""
    is_form = request.headers.get("content-type", "").lower().startswith(FORM)
    return [name for name, _ in await request.form_fields()] if is_form else []


class OAuthRoute(ApiRoute):
    """A route that takes a form and whose errors are those of RFC 6749 5.2."""

    guards: ClassVar[tuple[Guard, ...]] = (refuse_repeated_parameters,)
    media_type = FORM
    invalid_request: ClassVar[type[InvalidOAuthRequest]] = InvalidOAuthRequest

    async def on_error(self, request: StrictRequest, error: Exception) -> None:
        if isinstance(error, RequestValidationError | MalformedBody | UnsupportedMediaType):
            raise self.invalid_request from None
        if isinstance(error, InvalidCredentials | InvalidToken):
            raise InvalidGrant from None


class RevocationRoute(OAuthRoute):
    """The same; unknown parameters may come twice, and the error says what to send to revoke a token."""

    guards: ClassVar[tuple[Guard, ...]] = (refuse_two_tokens,)
    invalid_request = InvalidRevocation
