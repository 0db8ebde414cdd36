"""`/api/auth`: one's own account and sessions."""

from http import HTTPStatus

from starlette.responses import Response

from app.auth import own_sessions
from app.auth.dependencies import BEARER_ERRORS, Auth, BearerRoute, SessionId, UserDb
from app.auth.errors import SessionNotFound
from app.auth.schemas import SessionRead, UserRead
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router

router = make_router(prefix="/api/auth", tag="auth", route_class=BearerRoute)


@router.get("/me", summary="Show my account", response_model=UserRead, responses=error_responses(*BEARER_ERRORS))
async def show_me(db: UserDb) -> Response:
    """Returns the account that the access token belongs to."""
    return json_response(await db.get_user())


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
