"""`/api/auth`: sign up, sign in, refresh, sign out, and the same for OAuth clients."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Form

from app.auth import service
from app.auth.active_session import UserRow
from app.auth.dependencies import AuthService, BearerRoute, ClientAddress, CurrentCaller, OAuthRoute, OptionalBearer
from app.auth.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidGrant,
    InvalidOAuthRequest,
    InvalidToken,
    NotAuthenticated,
    UnsupportedGrantType,
)
from app.auth.oauth import grant
from app.auth.schemas import (
    Detail,
    OAuthProblem,
    RefreshBody,
    SignedInRead,
    SignInBody,
    SignOutBody,
    SignUpBody,
    TokenForm,
    TokenRead,
    UserRead,
)
from app.core.errors import (
    BODY_ERRORS,
    BodyTooLarge,
    InternalError,
    ServiceUnavailable,
    TooManyRequests,
    UnsupportedMediaType,
)
from app.core.http.error_responses import refusals
from app.core.http.routing import router

public = router(prefix="/api/auth", tag="auth")
protected = router(prefix="/api/auth", tag="auth", route_class=BearerRoute)
oauth = router(prefix="/api/auth", tag="auth", route_class=OAuthRoute)

_OAUTH = refusals(
    *(InvalidGrant, InvalidOAuthRequest, UnsupportedGrantType, TooManyRequests),
    *(BodyTooLarge, UnsupportedMediaType, InternalError, ServiceUnavailable),
    model=OAuthProblem,
)


@public.post(
    "/signup",
    status_code=HTTPStatus.CREATED,
    summary="Create an account",
    responses=refusals(*BODY_ERRORS, EmailTaken, TooManyRequests),
)
async def sign_up(body: SignUpBody, auth: AuthService, address: ClientAddress) -> SignedInRead:
    """Creates an account and signs it in at once: the answer has the user and both tokens.

    The e-mail address is compared without regard to case. The password needs 8 to 128 characters; any
    characters may be used.
    """
    signed_in = await service.sign_up(
        auth, address, email=body.email, password=body.password.get_secret_value(), name=body.name
    )
    return SignedInRead.signed_in(*signed_in)


@public.post("/signin", summary="Sign in", responses=refusals(*BODY_ERRORS, InvalidCredentials, TooManyRequests))
async def sign_in(body: SignInBody, auth: AuthService, address: ClientAddress) -> SignedInRead:
    """Opens a sign-in of its own on this device. A wrong password and an unknown e-mail answer alike."""
    signed_in = await service.sign_in(auth, address, email=body.email, password=body.password.get_secret_value())
    return SignedInRead.signed_in(*signed_in)


@public.post("/refresh", summary="Refresh the tokens", responses=refusals(*BODY_ERRORS, InvalidToken, TooManyRequests))
async def refresh(body: RefreshBody, auth: AuthService) -> TokenRead:
    """Exchanges a refresh token for a new pair. Each refresh token is good for one use.

    Store the new pair before you use it. A token that is presented a second time ends its sign-in, because
    somebody else may have it.
    """
    return TokenRead.of(await service.refresh(auth, body.refresh_token))


@public.post("/signout", summary="Sign out", responses=refusals(*BODY_ERRORS, NotAuthenticated, InvalidToken))
async def sign_out(auth: AuthService, access_token: OptionalBearer, body: SignOutBody | None = None) -> Detail:
    """Ends this sign-in, or with `everywhere` all of them, at once: the living access token too.

    Send the access token as bearer, the refresh token in the body, or both; an expired one will do.
    Signing out twice is no error.
    """
    body = body or SignOutBody()
    await service.sign_out(auth, access_token, body.refresh_token, everywhere=body.everywhere)
    return Detail(detail="Signed out everywhere." if body.everywhere else "Signed out.")


@oauth.post("/token", summary="OAuth 2 token endpoint", responses=_OAUTH)
async def issue_token(form: Annotated[TokenForm, Form()], auth: AuthService, address: ClientAddress) -> TokenRead:
    """For OAuth client libraries and the Authorize dialog of this page.

    `grant_type=password` takes the e-mail address as `username`; `grant_type=refresh_token` takes a
    `refresh_token`. Refusals have RFC 6749's `error` beside the usual members.
    """
    return TokenRead.of(await grant(auth, address, form))


@protected.get(
    "/me",
    summary="Show my account",
    response_model=UserRead,
    responses=refusals(NotAuthenticated, InvalidToken, InternalError, ServiceUnavailable),
)
async def show_me(caller: CurrentCaller) -> UserRow:
    """Gives the account that the access token belongs to."""
    return await caller.user()
