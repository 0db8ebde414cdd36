"""An `httpx.Auth` with a script's token, which is made on one server, sent to no other and never refreshed."""

import re
from collections.abc import Generator
from http import HTTPStatus

import httpx

from auth_tasks_client.errors import InsufficientScope, TokenEnded
from auth_tasks_client.origins import origin_of

READ, WRITE = SCOPES = ("tasks:read", "tasks:write")
_FORM = re.compile(r"atk_[\w.-]+", re.ASCII)
"""What else would be sent might be a password, and a line break would put it into the words of an error."""


class ScriptAuth(httpx.Auth):
    """Works with `httpx.Client` and `httpx.AsyncClient`; a request to another origin is sent without the token.

    Raises: ValueError for what is no script's token; then InsufficientScope, TokenEnded.
    """

    def __init__(self, url: str, token: str) -> None:
        if not _FORM.fullmatch(token):
            raise ValueError("This is no script's token, which begins with atk_.")
        self._origin = origin_of(url)
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with the token, and tell from the answer whether it is still good, and good for this."""
        if origin_of(request.url) != self._origin:
            yield request
            return
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code == HTTPStatus.UNAUTHORIZED and '"invalid_token"' in challenge:
            raise TokenEnded
        if answer.status_code == HTTPStatus.FORBIDDEN and '"insufficient_scope"' in challenge:
            raise InsufficientScope(READ if request.method in ("GET", "HEAD") else WRITE)
