"""`POST /api/auth/login`: sign-in under another name, with JSON or the OAuth form."""

import json
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Message

from app.auth import service
from app.auth.dependencies import AuthService, ClientAddress
from app.auth.errors import InvalidCredentials
from app.auth.schemas import SignedInRead, SignInBody
from app.core.errors import BODY_ERRORS, ErrorRenderer, TooManyRequests
from app.core.http.error_responses import refusals
from app.core.http.forms import parse_form
from app.core.http.routing import Route, StrictRequest, router

FORM = "application/x-www-form-urlencoded"


class FormOrJsonRoute(Route):
    """Turns an OAuth form into the JSON body that it means."""

    def get_route_handler(self) -> Any:
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            declared = request.headers.get("content-type", "")
            return await answer(await _as_json(request) if declared.lower().startswith(FORM) else request)

        return handle


async def _as_json(request: Request) -> Request:
    form = dict(parse_form(await StrictRequest(request.scope, request.receive).body()))
    members = {("email" if name == "username" else name): value for name, value in form.items()}
    body = json.dumps(members, ensure_ascii=False).encode()  # not escaped, which could make it too long
    headers = [(n, v) for n, v in request.scope["headers"] if n not in (b"content-type", b"content-length")]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, receive)


def login_router(refusal: type[BaseModel], render: ErrorRenderer) -> APIRouter:
    """Make the route of a contract whose refusals have this shape."""
    made = router(prefix="/api/auth", tag="path", route_class=FormOrJsonRoute)
    answers = refusals(*BODY_ERRORS, InvalidCredentials, TooManyRequests, model=refusal, render=render)

    @made.post("/login", summary="Sign in", responses=answers)
    async def login(body: SignInBody, auth: AuthService, address: ClientAddress) -> SignedInRead:
        """Signs in like `/api/auth/signin`; also takes a form with `username` and `password`."""
        signed_in = await service.sign_in(auth, address, email=body.email, password=body.password.get_secret_value())
        return SignedInRead.signed_in(*signed_in)

    return made
