"""The refresh token in a cookie that no script can read, for pages. Source: FR-058, RFC 6265bis 5.6, 8.8."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.auth.errors import (
    CookieOff,
    InvalidToken,
    NoRefreshToken,
    NotAuthenticated,
    OriginRefused,
    SupersededToken,
)
from app.auth.tokens import TokenPair
from app.core.config import Settings
from app.core.http.json import json_response
from app.core.http.routing import cookie_pairs

PATH = "/api/auth"
LOCAL_HOSTS = ("localhost", "127.0.0.1")


class RefreshCookie:
    """The cookie of one request: what came in it, and what the answer does to it.

    It goes over https alone, but for localhost outside production: Safari keeps no secure cookie there.
    """

    def __init__(self, request: Request, settings: Settings) -> None:
        host = request.headers.get("host", "").lower()
        is_local = settings.environment != "production" and host.partition(":")[0] in LOCAL_HOSTS
        own_origins = (f"https://{host}", f"http://{host}") if is_local else (f"https://{host}",)
        name = "refresh" if is_local else "__Secure-refresh"
        self.name = name
        self._attributes: dict[str, Any] = {
            "path": PATH,
            "secure": not is_local,
            "httponly": True,
            "samesite": "Strict",
        }
        self._max_age = settings.refresh_token_seconds
        self._is_on = settings.refresh_cookie == "on"
        self._sent = [value for sent, value in cookie_pairs(request) if sent == name and value]
        self._origin = request.headers.getlist("origin")
        self._is_own_page = self._origin in [[origin] for origin in (*settings.frontend_url, *own_origins)]
        self._is_wanted = False
        self._is_taken = False

    def want(self, wanted: bool) -> None:
        """Let the answer have its refresh token in the cookie. Raises: CookieOff, OriginRefused.

        A program, which names no origin, may have it, too; a page elsewhere must not sign anybody in.
        """
        if wanted and not self._is_on:
            raise CookieOff
        if wanted and self._origin and not self._is_own_page:
            raise OriginRefused
        self._is_wanted = wanted

    @contextmanager
    def or_in_body(self, in_body: str | None) -> Iterator[str | None]:
        """Yield the body's token, otherwise the cookie's, whose refusal removes the cookie. Raises: OriginRefused.

        It stays where the browser may have a newer one already.
        """
        token = self._take() if in_body is None else in_body
        try:
            yield token
        except SupersededToken:
            raise
        except InvalidToken as refusal:
            if self._is_taken:
                refusal.headers = {
                    **(refusal.headers or {}),
                    "Set-Cookie": self._removed(Response()).headers["set-cookie"],
                }
            raise

    def _take(self) -> str | None:
        """Return what came in the cookie, None without one. Raises: OriginRefused.

        A neighbouring host can add a second cookie of this name: together they are no token, so that nobody is moved
        into another one's session.
        """
        if not self._is_on or not self._sent:
            return None
        if not self._is_own_page:
            raise OriginRefused
        self._is_taken = True
        return ";".join(self._sent)

    def require(self, token: str | None) -> str:
        """Return the token that was yielded. Raises: NotAuthenticated for a page, NoRefreshToken for a program."""
        if token is None:
            raise NotAuthenticated if self._is_wanted else NoRefreshToken
        return token

    def answer(self, tokens: TokenPair, status: HTTPStatus = HTTPStatus.OK, **members: object) -> Response:
        """Return tokens and more members; what came in the cookie, or is wanted there, is not in the body."""
        content = {**msgspec.structs.asdict(tokens), **members}
        if not self._is_wanted and not self._is_taken:
            return json_response(content, status)
        del content["refresh_token"]
        response = json_response(content, status)
        response.set_cookie(self.name, tokens.refresh_token, max_age=self._max_age, **self._attributes)
        return response

    def remove(self, response: Response) -> Response:
        """Let the answer remove the cookie that its request was about."""
        return self._removed(response) if self._is_taken else response

    def _removed(self, response: Response) -> Response:
        response.delete_cookie(self.name, **self._attributes)
        return response
