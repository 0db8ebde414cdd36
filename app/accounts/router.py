"""`/api/auth`: sign up, sign in, and one's own account."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Form, Request
from starlette.responses import Response

from app.accounts import own_account, service
from app.accounts.dependencies import OAuthRoute, RevocationRoute
from app.accounts.errors import (
    PROOF_ERRORS,
    EmailTaken,
    InvalidCredentials,
    InvalidGrant,
    InvalidOAuthRequest,
    InvalidRevocation,
    UnsupportedGrantType,
)
from app.accounts.oauth import grant
from app.accounts.schemas import (
    DeleteBody,
    NameBody,
    OAuthProblem,
    PasswordBody,
    ResetBody,
    RevocationForm,
    SignedInRead,
    SignInBody,
    SignUpBody,
    TokenForm,
    UserRead,
)
from app.auth.auth import Auth
from app.auth.dependencies import BEARER_ERRORS, AuthDep, BearerRoute, ClientAddress, UserDb
from app.auth.errors import InvalidToken
from app.core.errors import (
    BODY_ERRORS,
    BodyTooLarge,
    InternalError,
    ServiceUnavailable,
    TooManyRequests,
)
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.sessions.dependencies import SET_COOKIE, Cookie, RefreshClient, RefreshKey, UserAgent
from app.sessions.errors import OriginRefused
from app.sessions.refresh_cookie import RefreshCookie, token_members
from app.sessions.schemas import Detail, TokenRead
from app.sessions.service import revoke

public = make_router(prefix="/api/auth", tag="auth")
oauth = make_router(prefix="/api/auth", tag="auth", route_class=OAuthRoute)
revocation = make_router(prefix="/api/auth", tag="auth", route_class=RevocationRoute)
router = make_router(prefix="/api/auth", tag="auth", route_class=BearerRoute)

_OAUTH = error_responses(
    *(InvalidGrant, InvalidOAuthRequest, UnsupportedGrantType, TooManyRequests),
    *(BodyTooLarge, InternalError, ServiceUnavailable),
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
    body: SignUpBody, auth: AuthDep, address: ClientAddress, user_agent: UserAgent, cookie: Cookie
) -> Response:
    """Creates an account and signs it in at once: the answer has the user and both tokens.

    The e-mail address is compared without regard to case. The password needs 8 to 128 characters; any
    characters may be used.
    """
    to_cookie = cookie.may_be_set(body.cookie)
    password, device = body.password.get_secret_value(), body.device or user_agent
    user, _, tokens = await service.sign_up(
        auth, address, email=body.email, password=password, name=body.name, device=device
    )
    return cookie.answer(tokens, HTTPStatus.CREATED, to_cookie=to_cookie, user=user)


@public.post(
    "/signin",
    summary="Sign in",
    response_model=SignedInRead,
    responses=error_responses(*BODY_ERRORS, InvalidCredentials, TooManyRequests, OriginRefused) | {200: SET_COOKIE},
)
async def sign_in(
    body: SignInBody, auth: AuthDep, address: ClientAddress, user_agent: UserAgent, cookie: Cookie
) -> Response:
    """Opens a session of its own on this device. A wrong password and an unknown e-mail get the same answer.

    Send the `refresh_token` that the device had before, if it was of this account: its session ends, and nobody else's
    failures can keep this device out. With `cookie` the one in the cookie counts, too.
    """
    return await begin_session(body, auth, address, user_agent, cookie)


async def begin_session(
    body: SignInBody, auth: Auth, address: str, user_agent: str | None, cookie: RefreshCookie
) -> Response:
    """Sign in as the body says, under whatever path it came."""
    to_cookie = cookie.may_be_set(body.cookie)
    before = [body.refresh_token, cookie.replaced() if to_cookie else None]
    user, _, tokens = await service.sign_in(
        auth,
        address,
        email=body.email,
        password=body.password.get_secret_value(),
        device=body.device or user_agent,
        refresh_tokens=[token for token in before if token],
    )
    return cookie.answer(tokens, to_cookie=to_cookie, user=user)


@oauth.post("/token", summary="OAuth 2 token endpoint", response_model=TokenRead, responses=_OAUTH)
async def issue_token(
    request: Request,
    form: Annotated[TokenForm, Form()],
    auth: AuthDep,
    address: ClientAddress,
    user_agent: UserAgent,
    client: RefreshClient,
    keys: RefreshKey = None,
) -> Response:
    """For OAuth client libraries and the Authorize dialog of this page.

    `grant_type=password` takes the e-mail address as `username`; `grant_type=refresh_token` takes a
    `refresh_token` and, as `/api/auth/refresh`, an `Idempotency-Key`. Errors have RFC 6749's `error` beside the
    usual members. With the password, too, a `refresh_token` says that this device is known, and its session ends.
    """
    key = keys[0] if keys else None
    pair = await grant(auth, address, form, refresh_key=key, refresh_client=client, user_agent=user_agent)
    return json_response(token_members(request, pair), headers={"Pragma": "no-cache"})


@revocation.post(
    "/revoke",
    summary="OAuth 2 token revocation",
    response_model=Detail,
    responses=error_responses(
        *(InvalidRevocation, BodyTooLarge, InternalError, ServiceUnavailable), model=OAuthProblem
    ),
)
async def revoke_token(form: Annotated[RevocationForm, Form()], auth: AuthDep) -> Response:
    """For OAuth client libraries: ends the session of an access token, a refresh token or a script's.

    All its tokens are worthless at once. A token that is not valid, or never was, gets the same answer.
    """
    await revoke(auth, form.token)
    return json_response({"detail": "The token is not valid any more."})


@router.get("/me", summary="Show my account", response_model=UserRead, responses=error_responses(*BEARER_ERRORS))
async def show_me(db: UserDb) -> Response:
    """Returns the account that the access token belongs to."""
    return json_response(await db.get_user())


@router.patch(
    "/me",
    summary="Change my name",
    response_model=UserRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS),
)
async def change_me(body: NameBody, db: UserDb, auth: AuthDep) -> Response:
    """Sets the name; `null` or a blank one removes it."""
    return json_response(await own_account.change_name(auth, db, body.name))


@router.post(
    "/password",
    summary="Change my password",
    response_model=TokenRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, *PROOF_ERRORS, OriginRefused) | {200: SET_COOKIE},
)
async def change_password(
    body: PasswordBody, db: UserDb, auth: AuthDep, address: ClientAddress, cookie: Cookie
) -> Response:
    """Changes the password and ends every other session at once.

    The answer has new tokens of this session: keep them, those of before are no longer good.
    """
    to_cookie = cookie.may_be_set(body.cookie)
    new = body.new_password.get_secret_value()
    tokens = await own_account.change_password(auth, db, address, proof=body.given, new=new)
    return cookie.answer(tokens, to_cookie=to_cookie)


@router.post(
    "/me/delete",
    summary="Delete my account",
    response_model=Detail,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, *PROOF_ERRORS),
)
async def delete_me(body: DeleteBody, db: UserDb, auth: AuthDep, address: ClientAddress) -> Response:
    """Deletes the account with all of its tasks, for good. Its e-mail address is free again."""
    await own_account.delete_account(auth, db, address, proof=body.given)
    return json_response({"detail": "The account and everything in it is deleted."})


@public.post(
    "/reset",
    summary="Choose a new password by a link",
    response_model=Detail,
    responses=error_responses(*BODY_ERRORS, InvalidToken, TooManyRequests),
)
async def reset_password(body: ResetBody, auth: AuthDep, address: ClientAddress) -> Response:
    """Takes the token of a link by mail, or of one that an operator has made. It is good for an hour and one use.

    Every session ends, and nobody is signed in by it: sign in with the new password.
    """
    await own_account.reset_password(auth, address, token=body.token, new=body.new_password.get_secret_value())
    return json_response({"detail": "The password is changed. Please sign in."})
