"""What a router needs to know of who is asking: `UserDb` in a signature is all of it."""

import re
from itertools import islice
from typing import Annotated, Any, ClassVar
from uuid import UUID

from fastapi import Depends, Header, Path, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import OAuth2PasswordBearer
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.accounts.service import AuthService
from app.auth.errors import (
    InvalidCredentials,
    InvalidGrant,
    InvalidOAuthRequest,
    InvalidToken,
    NotAuthenticated,
)
from app.auth.models import DEVICE_LENGTH
from app.auth.user_database import UserDatabase
from app.core.errors import InternalError, MalformedBody, ServiceUnavailable
from app.core.fields import UUID_TEXT
from app.core.http.client_address import client_address
from app.core.http.routing import FORM, ApiRoute, Guard, StrictRequest
from app.sessions.refresh_cookie import RefreshCookie

BEARER_ERRORS = (NotAuthenticated, InvalidToken, InternalError, ServiceUnavailable)
"""The errors of any route that needs an access token."""


SET_COOKIE: dict[str, Any] = {
    "headers": {
        "Set-Cookie": {
            "description": "The refresh token, where the client wants it in a cookie.",
            "schema": {"type": "string"},
        }
    }
}
"""The header of an answer that may set the cookie."""


# Dependencies are asynchronous: FastAPI runs a plain function in a thread, which takes longer than all of it.
async def get_auth(request: Request) -> AuthService:
    """Return the operations of accounts and sessions."""
    auth: AuthService = request.app.state.auth
    return auth


async def get_bearer_token(request: Request) -> str | None:
    """Return the token of the Authorization header, None without one. Raises: InvalidToken.

    Source: RFC 6750 2.1.
    """
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer":
        raise InvalidToken
    return token.lstrip(" ")


async def authenticate(request: Request) -> None:
    """Read the access token and keep the user's database with the request. Raises: NotAuthenticated, InvalidToken."""
    token = await get_bearer_token(request)
    if token is None:
        raise NotAuthenticated
    request.state.user_db = (await get_auth(request)).authenticate(token)


def user_database(request: Request) -> UserDatabase:
    """Return the database of the user whom `authenticate` has found."""
    db: UserDatabase = request.state.user_db
    return db


class BearerRoute(ApiRoute):
    """A route that asks who is calling before it reads the body.

    The first statement checks the session and does the work. An error that needs no statement is sent only to
    a client with an active session: 401 comes before all others.
    """

    guards: ClassVar[tuple[Guard, ...]] = (authenticate,)

    async def on_error(self, request: StrictRequest, error: Exception) -> None:
        if not isinstance(error, NotAuthenticated | InvalidToken | ServiceUnavailable):
            await user_database(request).require_active()


async def refuse_repeated_parameters(request: StrictRequest) -> None:
    """Raise InvalidOAuthRequest if a parameter of a form is sent twice. Source: RFC 6749 3.2."""
    if request.headers.get("content-type", "").lower().startswith(FORM):
        names = [name for name, _ in await request.form_fields()]
        if len(names) > len(set(names)):
            raise InvalidOAuthRequest


class OAuthRoute(ApiRoute):
    """A route that takes a form and whose errors are those of RFC 6749 5.2."""

    guards: ClassVar[tuple[Guard, ...]] = (refuse_repeated_parameters,)
    media_type = FORM

    async def on_error(self, request: StrictRequest, error: Exception) -> None:
        if isinstance(error, RequestValidationError | MalformedBody):
            raise InvalidOAuthRequest from None
        if isinstance(error, InvalidCredentials | InvalidToken):
            raise InvalidGrant from None


class _Bearer(OAuth2PasswordBearer):
    """Documents the token, with an e-mail and a password field in Swagger UI; `authenticate` has read it."""

    async def __call__(self, request: Request) -> Any:  # type: ignore[override]  # FastAPI passes what is annotated
        return user_database(request)


async def get_address(request: Request) -> str:
    """Return the client's address, as the trusted proxies report it."""
    return client_address(request, (await get_auth(request)).settings.trusted_proxies)


async def get_refresh_cookie(request: Request) -> RefreshCookie:
    """Return the cookie of this request."""
    return RefreshCookie(request, (await get_auth(request)).settings)


async def get_user_agent(request: Request) -> str | None:
    """Return what the client calls itself, as much of it as a device's name may have; None if nothing can be seen."""
    printable = filter(str.isprintable, request.headers.get("user-agent", ""))
    return "".join(islice(printable, DEVICE_LENGTH)).strip() or None


_bearer = _Bearer(
    tokenUrl="api/auth/token",
    refreshUrl="api/auth/token",
    scheme_name="EmailAndPassword",
    description="Sign in with your e-mail address as the username. Leave the client fields empty.",
)

_NO_SESSION = UUID(int=0)


def _session_id(text: Any) -> UUID:
    """Read the id; text that is no UUID becomes the id of no session, so that the error is the same."""
    return UUID(text) if UUID_TEXT.fullmatch(text) else _NO_SESSION


SessionId = Annotated[
    UUID, BeforeValidator(_session_id, json_schema_input_type=UUID), Path(description="The session's id.")
]
_REFRESH_KEY = r"^[\x21-\x7e]{22,255}$"


def _one_refresh_key(lines: list[str]) -> list[str]:
    """Check that there is one, and long enough not to be guessed."""
    if len(lines) > 1 or not re.fullmatch(_REFRESH_KEY, lines[0]):
        raise PydanticCustomError("own_refresh_key", "must be sent once, with 22 to 255 visible ASCII characters")
    return lines


UserDb = Annotated[UserDatabase, Security(_bearer)]
Auth = Annotated[AuthService, Depends(get_auth)]
ClientAddress = Annotated[str, Depends(get_address)]
UserAgent = Annotated[str | None, Depends(get_user_agent)]
Cookie = Annotated[RefreshCookie, Depends(get_refresh_cookie)]
OptionalBearer = Annotated[str | None, Depends(get_bearer_token)]
# A list, so that FastAPI hands over every line of the header.
RefreshKey = Annotated[
    list[str] | None,
    BeforeValidator(
        _one_refresh_key,
        json_schema_input_type=Annotated[str, Field(min_length=22, max_length=255, pattern=_REFRESH_KEY)],
    ),
    Header(
        alias="Idempotency-Key",
        description="At least 128 random bits that you keep with this pair, and send again after a lost answer.",
        examples=["oT3xVfS9wq0mJk2R7bYcNd"],
    ),
]
"""The key that whoever refreshes may ask again with, alone in its list."""
