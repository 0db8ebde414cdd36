"""`/api/auth`: sign up, sign in, refresh, sign out, and the same for OAuth clients."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Form
from starlette.responses import Response

from app.accounts.oauth import grant
from app.accounts.schemas import (
    Detail,
    OAuthProblem,
    RefreshBody,
    SignedInRead,
    SignInBody,
    SignOutBody,
    SignUpBody,
    TokenForm,
    TokenRead,
)
from app.accounts.service import AuthService, NewSession
from app.auth.dependencies import (
    SET_COOKIE,
    Auth,
    ClientAddress,
    Cookie,
    OAuthRoute,
    OptionalBearer,
    RefreshKey,
    UserAgent,
)
from app.auth.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidGrant,
    InvalidOAuthRequest,
    InvalidToken,
    NotAuthenticated,
    OriginRefused,
    UnsupportedGrantType,
)
from app.core.errors import (
    BODY_ERRORS,
    BodyTooLarge,
    InternalError,
    ServiceUnavailable,
    TooManyRequests,
    UnsupportedMediaType,
)
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.sessions import rotation
from app.sessions.refresh_cookie import RefreshCookie

public = make_router(prefix="/api/auth", tag="auth")
oauth = make_router(prefix="/api/auth", tag="auth", route_class=OAuthRoute)

_OAUTH = error_responses(
    *(InvalidGrant, InvalidOAuthRequest, UnsupportedGrantType, TooManyRequests),
    *(BodyTooLarge, UnsupportedMediaType, InternalError, ServiceUnavailable),
    model=OAuthProblem,
)


@public.post(
    "/signup",
    status_code=HTTPStatus.CREATED,
    summary="Create an account",
    response_model=SignedInRead,
    responses=error_responses(*BODY_ERRORS, EmailTaken, TooManyRequests, OriginRefused) | {201: SET_COOKIE},
)
async def sign_up(
    body: SignUpBody, auth: Auth, address: ClientAddress, user_agent: UserAgent, cookie: Cookie
) -> Response:
    """Creates an account and signs it in at once: the answer has the user and both tokens.

    The e-mail address is compared without regard to case. The password needs 8 to 128 characters; any
    characters may be used.
    """
    cookie.want(body.cookie)
    password, device = body.password.get_secret_value(), body.device or user_agent
    session = await auth.sign_up(address, email=body.email, password=password, name=body.name, device=device)
    return session_response(session, cookie, HTTPStatus.CREATED)


@public.post(
    "/signin",
    summary="Sign in",
    response_model=SignedInRead,
    responses=error_responses(*BODY_ERRORS, InvalidCredentials, TooManyRequests, OriginRefused) | {200: SET_COOKIE},
)
async def sign_in(
    body: SignInBody, auth: Auth, address: ClientAddress, user_agent: UserAgent, cookie: Cookie
) -> Response:
    """Opens a session of its own on this device. A wrong password and an unknown e-mail get the same answer."""
    return await begin_session(body, auth, address, user_agent, cookie)


@public.post(
    "/refresh",
    summary="Refresh the tokens",
    response_model=TokenRead,
    responses=error_responses(*BODY_ERRORS, InvalidToken, NotAuthenticated, TooManyRequests, OriginRefused)
    | {200: SET_COOKIE},
)
async def refresh_tokens(
    auth: Auth, cookie: Cookie, body: RefreshBody | None = None, keys: RefreshKey = None
) -> Response:
    """Exchanges a refresh token for a new pair. Each refresh token is good for one use.

    Store a random `Idempotency-Key` with each pair and send it when you refresh that pair: after a lost answer
    you get the same one again. Without that key, a token that is presented a second time ends its session, because
    somebody else may have it.

    Without `refresh_token` the one in the cookie is taken, and the new one is put there.
    """
    body = body or RefreshBody()
    cookie.want(body.cookie)
    with cookie.or_in_body(body.refresh_token) as token:
        pair = await rotation.refresh(auth, cookie.require(token), key=keys[0] if keys else None)
        return cookie.answer(pair)


@public.post(
    "/signout",
    summary="Sign out",
    response_model=Detail,
    responses=error_responses(*BODY_ERRORS, NotAuthenticated, InvalidToken, OriginRefused),
)
async def sign_out(
    auth: Auth, access_token: OptionalBearer, cookie: Cookie, body: SignOutBody | None = None
) -> Response:
    """Ends this session, with `everywhere` all of them, or with `others` all but this one. At once: access tokens too.

    Send the access token as bearer, the refresh token in the body or in the cookie, or both; an expired one will do.
    Signing out twice is no error.
    """
    body = body or SignOutBody()
    with cookie.or_in_body(body.refresh_token) as token:
        await auth.sign_out(access_token, token, everywhere=body.everywhere, others=body.others)
    return signed_out_response(body, cookie)


@oauth.post("/token", summary="OAuth 2 token endpoint", response_model=TokenRead, responses=_OAUTH)
async def issue_token(
    form: Annotated[TokenForm, Form()],
    auth: Auth,
    address: ClientAddress,
    user_agent: UserAgent,
    keys: RefreshKey = None,
) -> Response:
    """For OAuth client libraries and the Authorize dialog of this page.

    `grant_type=password` takes the e-mail address as `username`; `grant_type=refresh_token` takes a
    `refresh_token` and, as `/api/auth/refresh`, an `Idempotency-Key`. Errors have RFC 6749's `error` beside the
    usual members.
    """
    pair = await grant(auth, address, form, refresh_key=keys[0] if keys else None, user_agent=user_agent)
    return json_response(pair, headers={"Pragma": "no-cache"})


async def begin_session(
    body: SignInBody, auth: AuthService, address: str, user_agent: str | None, cookie: RefreshCookie
) -> Response:
    """Sign in as the body says, under whatever path it came."""
    cookie.want(body.cookie)
    session = await auth.sign_in(
        address,
        email=body.email,
        password=body.password.get_secret_value(),
        device=body.device or user_agent,
        refresh_token=body.refresh_token,
    )
    return session_response(session, cookie)


def session_response(session: NewSession, cookie: RefreshCookie, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return the tokens of a new session, and whose it is."""
    return cookie.answer(session.tokens, status, user=session.user)


def signed_out_response(body: SignOutBody, cookie: RefreshCookie) -> Response:
    """Say which sessions have ended, and remove the cookie of one that has."""
    goes_on = body.others and not body.everywhere
    where = " everywhere" if body.everywhere else " everywhere else" if goes_on else ""
    response = json_response({"detail": f"Signed out{where}."})
    return response if goes_on else cookie.remove(response)
