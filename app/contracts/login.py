"""`POST /api/auth/login`: sign-in under another name, with JSON or the OAuth form."""

import json

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from app.accounts.errors import InvalidCredentials
from app.accounts.router import begin_session
from app.accounts.schemas import SignedInRead, SignInBody
from app.auth.dependencies import AuthDep, ClientAddress
from app.core.errors import BODY_ERRORS, TooManyRequests
from app.core.http.error_responses import error_responses
from app.core.http.problems import ErrorRenderer
from app.core.http.routing import FORM, ApiRoute, StrictRequest, make_router
from app.sessions.dependencies import SET_COOKIE, Cookie, UserAgent
from app.sessions.errors import OriginRefused


async def read_form_as_json(request: StrictRequest) -> None:
    """Replace an OAuth form by the JSON body that it means."""
    if request.headers.get("content-type", "").lower().startswith(FORM):
        form = dict(await request.form_fields())
        if "username" in form:
            form["email"] = form.pop("username")
        request.replace_body(json.dumps(form, ensure_ascii=False).encode())  # escapes could push it over the limit


class FormOrJsonRoute(ApiRoute):
    """A route that takes JSON or a form."""

    guards = (read_form_as_json,)


def login_router(
    tag: str, error_model: type[BaseModel], render: ErrorRenderer, *, documented: bool = True
) -> APIRouter:
    """Return the route of a contract whose errors have this shape."""
    router = make_router(prefix="/api/auth", tag=tag, route_class=FormOrJsonRoute)
    refusals = (*BODY_ERRORS, InvalidCredentials, TooManyRequests, OriginRefused)
    responses = error_responses(*refusals, model=error_model, render=render) | {200: SET_COOKIE}

    @router.post(
        "/login", summary="Sign in", response_model=SignedInRead, responses=responses, include_in_schema=documented
    )
    async def login(
        body: SignInBody, auth: AuthDep, address: ClientAddress, user_agent: UserAgent, cookie: Cookie
    ) -> Response:
        """Signs in like `/api/auth/signin`; also takes a form with `username` and `password`."""
        return await begin_session(body, auth, address, user_agent, cookie)

    return router
