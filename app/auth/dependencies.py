"""Who is calling: `CurrentCaller` in a signature is all that a router needs to know."""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import OAuth2PasswordBearer
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.auth import service
from app.auth.errors import (
    InvalidCredentials,
    InvalidGrant,
    InvalidOAuthRequest,
    InvalidToken,
    NotAuthenticated,
)
from app.auth.service import Auth
from app.auth.user_database import Caller
from app.core.errors import MalformedBody, ServiceUnavailable
from app.core.http.client_address import client_address
from app.core.http.routing import Gate, Route


# Dependencies are asynchronous: FastAPI sends a plain function to a thread, which takes longer than all of it.
async def get_auth(request: Request) -> Auth:
    auth: Auth = request.app.state.auth
    return auth


async def bearer_token(request: Request) -> str | None:
    """Give the token of the Authorization header, None without one. Raises: InvalidToken.

    Source: RFC 6750 2.1.
    """
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer":
        raise InvalidToken
    return token.lstrip(" ")


async def authenticate(request: Request) -> Caller:
    """Say who is calling, once a request. Raises: NotAuthenticated, InvalidToken."""
    known: Caller | None = request.scope.get("caller")
    if known is None:
        token = await bearer_token(request)
        if token is None:
            raise NotAuthenticated
        known = request.scope["caller"] = service.authenticate(await get_auth(request), token)
    return known


class _Bearer(OAuth2PasswordBearer):
    """Shows Swagger UI's Authorize dialog an e-mail and a password field, and asks `identify`."""

    async def __call__(self, request: Request) -> Any:  # type: ignore[override]  # FastAPI passes what is annotated
        return await authenticate(request)


class BearerRoute(Route):
    """A route that asks who is calling before it reads the body.

    The first statement checks the sign-in and does the work. A refusal that needs no statement is given only to
    whoever is signed in: 401 comes before all others.
    """

    gates: tuple[Gate, ...] = (authenticate,)

    def get_route_handler(self) -> Any:
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except (NotAuthenticated, InvalidToken, ServiceUnavailable):
                raise
            except (HTTPException, RequestValidationError):
                await (await authenticate(request)).check()
                raise

        return handle


class OAuthRoute(Route):
    """A route that takes a form and refuses as RFC 6749 5.2 says."""

    media_type = "application/x-www-form-urlencoded"

    def get_route_handler(self) -> Any:
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await answer(request)
            except (RequestValidationError, MalformedBody):
                raise InvalidOAuthRequest from None
            except (InvalidCredentials, InvalidToken):
                raise InvalidGrant from None
            response.headers["Pragma"] = "no-cache"
            return response

        return handle


async def get_address(request: Request) -> str:
    return client_address(request, (await get_auth(request)).settings.trusted_proxies)


_bearer = _Bearer(
    tokenUrl="api/auth/token",
    refreshUrl="api/auth/token",
    scheme_name="EmailAndPassword",
    description="Sign in with your e-mail address as the username. Leave the client fields empty.",
)

CurrentCaller = Annotated[Caller, Depends(_bearer)]
AuthService = Annotated[Auth, Depends(get_auth)]
ClientAddress = Annotated[str, Depends(get_address)]
OptionalBearer = Annotated[str | None, Depends(bearer_token)]
