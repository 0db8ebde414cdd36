"""`/api/auth`: refresh, sign out, and one's own sessions."""

from http import HTTPStatus

from starlette.responses import Response

from app.auth.dependencies import BEARER_ERRORS, AuthDep, BearerRoute, OptionalBearer, UserDb
from app.auth.errors import InvalidToken, NotAuthenticated
from app.core.errors import BODY_ERRORS, TooManyRequests
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.sessions import rotation, service
from app.sessions.dependencies import SET_COOKIE, Cookie, RefreshClient, RefreshKey, SessionId
from app.sessions.errors import OriginRefused, RefreshTokenReused, SessionExpired, SessionNotFound
from app.sessions.refresh_cookie import Presented, RefreshCookie
from app.sessions.schemas import Detail, RefreshBody, SessionRead, SignOutBody, TokenRead

public = make_router(prefix="/api/auth", tag="auth")
router = make_router(prefix="/api/auth", tag="auth", route_class=BearerRoute)


@public.post(
    "/refresh",
    summary="Refresh the tokens",
    response_model=TokenRead,
    responses=error_responses(
        *(*BODY_ERRORS, InvalidToken, RefreshTokenReused, SessionExpired),
        *(NotAuthenticated, TooManyRequests, OriginRefused),
    )
    | {200: SET_COOKIE},
)
async def refresh_tokens(
    auth: AuthDep, cookie: Cookie, client: RefreshClient, body: RefreshBody | None = None, keys: RefreshKey = None
) -> Response:
    """Exchanges a refresh token for a new pair. Each refresh token is good for one use.

    Store a random `Idempotency-Key` with each pair and send it when you refresh that pair: after a lost answer
    you get the same one again. Without that key you get it for a few seconds. Otherwise a token that is presented a
    second time ends its session, because somebody else may have it: `REFRESH_TOKEN_REUSED`.
    `SESSION_EXPIRED` says that the session has lasted as long as the service allows.

    Without `refresh_token` the one in the cookie is taken, and the new one is put there.
    """
    body = body or RefreshBody()
    presented = cookie.presented(body.refresh_token, wanted=body.cookie)
    with cookie.removed_if_refused(presented):
        pair = await rotation.refresh(auth, presented.required(), client=client, key=keys[0] if keys else None)
    return cookie.answer(pair, to_cookie=presented.to_cookie)


@public.post(
    "/signout",
    summary="Sign out",
    response_model=Detail,
    responses=error_responses(*BODY_ERRORS, NotAuthenticated, InvalidToken, OriginRefused),
)
async def sign_out(
    auth: AuthDep, access_token: OptionalBearer, cookie: Cookie, body: SignOutBody | None = None
) -> Response:
    """Ends this session, with `everywhere` all of them, or with `others` all but this one. At once: access tokens too.

    Send the access token as bearer, the refresh token in the body or in the cookie, or both; an expired one will do.
    Signing out twice is no error. A session that has ended ends no other: with `others` it is 401, and with
    `everywhere` too, unless it has ended by `REFRESH_TOKEN_REUSED`.
    """
    body = body or SignOutBody()
    presented = cookie.presented(body.refresh_token)
    with cookie.removed_if_refused(presented):
        await service.sign_out(auth, access_token, presented.token, everywhere=body.everywhere, others=body.others)
    return _signed_out(body, presented, cookie)


def _signed_out(body: SignOutBody, presented: Presented, cookie: RefreshCookie) -> Response:
    """Say which sessions have ended, and remove the cookie of one that has."""
    goes_on = body.others and not body.everywhere
    where = " everywhere" if body.everywhere else " everywhere else" if goes_on else ""
    response = json_response({"detail": f"Signed out{where}."})
    return cookie.removed(response) if presented.from_cookie and not goes_on else cookie.tidied(response)


@router.get(
    "/sessions",
    summary="List my sessions",
    response_model=list[SessionRead],
    responses=error_responses(*BEARER_ERRORS),
)
async def list_sessions(db: UserDb, auth: AuthDep) -> Response:
    """Returns the sessions in which you are signed in, newest first: one for each sign-in that has not ended."""
    return json_response(await service.list_sessions(auth, db))


@router.delete(
    "/sessions/{session_id}",
    summary="End a session",
    status_code=HTTPStatus.NO_CONTENT,
    responses=error_responses(*BEARER_ERRORS, SessionNotFound),
)
async def end_session(session_id: SessionId, db: UserDb, auth: AuthDep) -> Response:
    """Signs a device out at once, its access token too. It may be the one that asks."""
    await service.end_one(auth, db, session_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)  # FastAPI's own 204 would have a Content-Type
