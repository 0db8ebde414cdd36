"""`/api/auth`: one's own account and sessions."""

from http import HTTPStatus

from starlette.responses import Response

from app.accounts import own_account as account
from app.accounts.own_account_schemas import DeleteBody, NameBody, PasswordBody, ResetBody, SessionRead
from app.accounts.schemas import Detail, TokenRead, UserRead
from app.auth.dependencies import BEARER_ERRORS, SET_COOKIE, Auth, BearerRoute, ClientAddress, Cookie, SessionId, UserDb
from app.auth.errors import InvalidToken, OriginRefused, SessionNotFound, WrongPassword
from app.core.errors import BODY_ERRORS, TooManyRequests
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.sessions import service as own_sessions

router = make_router(prefix="/api/auth", tag="auth", route_class=BearerRoute)
public = make_router(prefix="/api/auth", tag="auth")


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
async def change_me(body: NameBody, db: UserDb, auth: Auth) -> Response:
    """Sets the name; `null` or a blank one removes it."""
    return json_response(await account.change_name(auth, db, body.name))


@router.get(
    "/sessions",
    summary="List my sessions",
    response_model=list[SessionRead],
    responses=error_responses(*BEARER_ERRORS),
)
async def list_sessions(db: UserDb, auth: Auth) -> Response:
    """Returns the sessions in which you are signed in, newest first: one for each sign-in that has not ended."""
    return json_response(await own_sessions.list_sessions(auth, db))


@router.delete(
    "/sessions/{session_id}",
    summary="End a session",
    status_code=HTTPStatus.NO_CONTENT,
    responses=error_responses(*BEARER_ERRORS, SessionNotFound),
)
async def end_session(session_id: SessionId, db: UserDb, auth: Auth) -> Response:
    """Signs a device out at once, its access token too. It may be the one that asks."""
    await own_sessions.end_session(auth, db, session_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)  # FastAPI's own 204 would have a Content-Type


@router.post(
    "/password",
    summary="Change my password",
    response_model=TokenRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, WrongPassword, TooManyRequests, OriginRefused)
    | {200: SET_COOKIE},
)
async def change_password(
    body: PasswordBody, db: UserDb, auth: Auth, address: ClientAddress, cookie: Cookie
) -> Response:
    """Changes the password and ends every other session at once.

    The answer has new tokens of this session: keep them, those of before are no longer good.
    """
    cookie.want(body.cookie)
    current, new = body.current_password.get_secret_value(), body.new_password.get_secret_value()
    return cookie.answer(await account.change_password(auth, db, address, current=current, new=new))


@router.post(
    "/me/delete",
    summary="Delete my account",
    response_model=Detail,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, WrongPassword, TooManyRequests),
)
async def delete_me(body: DeleteBody, db: UserDb, auth: Auth, address: ClientAddress) -> Response:
    """Deletes the account with all of its tasks, for good. Its e-mail address is free again."""
    await account.delete_account(auth, db, address, current=body.current_password.get_secret_value())
    return json_response({"detail": "The account and everything in it is deleted."})


@public.post(
    "/reset",
    summary="Choose a new password by a link",
    response_model=Detail,
    responses=error_responses(*BODY_ERRORS, InvalidToken, TooManyRequests),
)
async def reset_password(body: ResetBody, auth: Auth, address: ClientAddress) -> Response:
    """Takes the token of a link that an operator has made, which is good for an hour and one use.

    Every session ends, and nobody is signed in by it: sign in with the new password.
    """
    await account.reset_password(auth, address, token=body.token, new=body.new_password.get_secret_value())
    return json_response({"detail": "The password is changed. Please sign in."})
