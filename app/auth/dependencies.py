"""What a router needs to know of who is asking: `UserDb` in a signature is all of it."""

from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer

from app.auth.auth import Auth, read_bearer
from app.auth.errors import InsufficientScope, InvalidToken, NotAuthenticated
from app.auth.user_database import UserDatabase
from app.core.errors import InternalError, ServiceUnavailable
from app.core.http.client_address import client_address
from app.core.http.routing import ApiRoute, Guard, StrictRequest

BEARER_ERRORS = (NotAuthenticated, InvalidToken, InsufficientScope, InternalError, ServiceUnavailable)
"""The errors of any route that needs an access token."""


# Dependencies are asynchronous: FastAPI runs a plain function in a thread, which takes longer than all of it.
async def get_auth(request: Request) -> Auth:
    """Return what the operations of accounts and sessions work with."""
    return _auth(request)


def _auth(request: Request) -> Auth:
    auth: Auth = request.scope["app"].state.auth
    return auth


async def get_bearer_token(request: Request) -> str | None:
    """Return the token of the Authorization header, None without one. Raises: InvalidToken."""
    return _bearer_token(request)


def _bearer_token(request: Request) -> str | None:
    """Source: RFC 6750 2.1."""
    headers: list[bytes] = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not headers:
        return None
    scheme, _, token = headers[0].decode("latin-1").partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer":
        raise InvalidToken
    return token.lstrip(" ")


async def authenticate(request: Request) -> None:
    """Read the access token and keep the user's database with the request.

    Raises: NotAuthenticated, InvalidToken, InsufficientScope.
    """
    token = _bearer_token(request)
    if token is None:
        raise NotAuthenticated
    request.scope["user_db"] = db = read_bearer(_auth(request), token)
    scopes = db.principal.scopes
    if scopes is not None and request.scope["route"].script_scope not in scopes:
        raise InsufficientScope


def user_database(request: Request) -> UserDatabase:
    """Return the database of the user whom `authenticate` has found."""
    db: UserDatabase = request.scope["user_db"]
    return db


class BearerRoute(ApiRoute):
    """A route that asks who is calling before it reads the body.

    The first statement checks the session and does the work. An error that needs no statement is sent only to
    a client with an active session: 401 comes before all others.
    """

    guards: ClassVar[tuple[Guard, ...]] = (authenticate,)
    resource: ClassVar[str | None] = None
    """What scripts may be let to read and to write; None for what no script may do."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        act = "read" if set(self.methods or ()) <= {"GET", "HEAD"} else "write"
        self.script_scope = f"{self.resource}:{act}" if self.resource else None
        if self.script_scope:  # beside the owner's token: FastAPI appends what is a list
            self.openapi_extra = {**(self.openapi_extra or {}), "security": [{"ScriptToken": [self.script_scope]}]}

    async def on_error(self, request: StrictRequest, error: Exception) -> None:
        if not isinstance(error, NotAuthenticated | InvalidToken | ServiceUnavailable):
            await user_database(request).require_active()


class _Bearer(OAuth2PasswordBearer):
    """Documents the token, with an e-mail and a password field in Swagger UI; `authenticate` has read it."""

    async def __call__(self, request: Request) -> Any:  # type: ignore[override]  # FastAPI passes what is annotated
        return user_database(request)


async def get_address(request: Request) -> str:
    """Return the client's address, as the trusted proxies report it."""
    return client_address(request, (await get_auth(request)).settings.trusted_proxies)


_bearer = _Bearer(
    tokenUrl="/api/auth/token",
    refreshUrl="/api/auth/token",
    scheme_name="EmailAndPassword",
    description="Sign in with your e-mail address as the username. Leave the client fields empty.",
)

UserDb = Annotated[UserDatabase, Security(_bearer)]
AuthDep = Annotated[Auth, Depends(get_auth)]
ClientAddress = Annotated[str, Depends(get_address)]
OptionalBearer = Annotated[str | None, Depends(get_bearer_token)]
