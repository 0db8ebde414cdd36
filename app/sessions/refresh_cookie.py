"""The refresh token in a cookie that no script can read, for pages. Source: FR-058, RFC 6265bis 5.6, 8.8."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.auth.errors import InvalidToken, NotAuthenticated
from app.auth.tokens import TokenPair
from app.core.config import Settings
from app.core.http.json import json_response
from app.core.http.routing import cookie_pairs
from app.core.origins import is_one_of, own_origins
from app.sessions.errors import CookieOff, NoRefreshToken, OriginRefused, SupersededToken

PATH = "/api/auth"
LOCAL_HOSTS = ("localhost", "127.0.0.1")


class Presented(NamedTuple):
    """A request's refresh token, where it came from, and whether the client wants the next one in the cookie."""

    token: str | None
    from_cookie: bool
    wants_cookie: bool

    def required(self) -> str:
        """Return the token. Raises: NotAuthenticated for a page, NoRefreshToken for a program."""
        if self.token is None:
            raise NotAuthenticated if self.wants_cookie else NoRefreshToken
        return self.token

    @property
    def to_cookie(self) -> bool:
        """Whether the next token goes into the cookie: a page that sent it there must not read it in the body."""
        return self.from_cookie or self.wants_cookie


def token_members(request: Request, tokens: TokenPair) -> dict[str, Any]:
    """Return the members of an answer that has tokens: the access token also by the names that a contract gives it."""
    names: Sequence[str] = request.app.state.access_token_names
    return msgspec.structs.asdict(tokens) | dict.fromkeys(names, tokens.access_token)


class RefreshCookie:
    """The cookie of one request: what came in it, and how an answer sets or removes it.

    It goes over https alone, but for localhost outside production: Safari keeps no secure cookie there.
    """

    def __init__(self, request: Request, settings: Settings) -> None:
        host = request.headers.get("host", "").lower()
        is_local = settings.environment != "production" and host.partition(":")[0] in LOCAL_HOSTS
        self.name = "refresh" if is_local else "__Secure-refresh"
        self._attributes: dict[str, Any] = {
            "path": PATH,
            "secure": not is_local,
            "httponly": True,
            "samesite": "Strict",
        }
        self._request = request
        self._max_age = settings.refresh_token_seconds
        self._is_on = settings.refresh_cookie == "on"
        self._sent = [value for sent, value in cookie_pairs(request) if sent == self.name and value]
        self._origin = request.headers.getlist("origin")
        pages = (*settings.frontend_url, *own_origins(host)[: 2 if is_local else 1])  # by https, and locally by http
        self._is_own_page = len(self._origin) == 1 and is_one_of(self._origin[0], pages)

    def may_be_set(self, wanted: bool) -> bool:
        """Return whether the answer puts its refresh token into the cookie. Raises: CookieOff, OriginRefused.

        A program, which names no origin, may have it, too; a page elsewhere must not sign anybody in.
        """
        if wanted and not self._is_on:
            raise CookieOff
        if wanted and self._origin and not self._is_own_page:
            raise OriginRefused
        return wanted

    def presented(self, in_body: str | None, *, wanted: bool = False) -> Presented:
        """Return the refresh token of the body, or else of the cookie. Raises: CookieOff, OriginRefused.

        A neighbouring host can add a second cookie of this name: together they are no token, so that nobody is moved
        into another one's session.
        """
        wanted = self.may_be_set(wanted)
        if in_body is not None or not self._is_on or not self._sent:
            return Presented(in_body, from_cookie=False, wants_cookie=wanted)
        if not self._is_own_page:
            raise OriginRefused
        return Presented(";".join(self._sent), from_cookie=True, wants_cookie=wanted)

    @contextmanager
    def removed_if_refused(self, presented: Presented) -> Iterator[None]:
        """Let the refusal of a token that came in the cookie remove it, unless the browser may have a newer one."""
        try:
            yield
        except SupersededToken:
            raise
        except InvalidToken as refusal:
            if presented.from_cookie:
                header = self.removed(Response()).headers["set-cookie"]
                refusal.headers = {**(refusal.headers or {}), "Set-Cookie": header}
            raise

    def answer(
        self, tokens: TokenPair, status: HTTPStatus = HTTPStatus.OK, *, to_cookie: bool, **members: object
    ) -> Response:
        """Return tokens and more members; the refresh token in the cookie or in the body, never in both."""
        content = token_members(self._request, tokens) | members
        if not to_cookie:
            return json_response(content, status)
        del content["refresh_token"]
        response = json_response(content, status)
        response.set_cookie(self.name, tokens.refresh_token, max_age=self._max_age, **self._attributes)
        return response

    def removed(self, response: Response) -> Response:
        """Let an answer remove the cookie."""
        response.delete_cookie(self.name, **self._attributes)
        return response
