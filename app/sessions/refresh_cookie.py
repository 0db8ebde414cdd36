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
from app.core.errors import ApiError
from app.core.http.json import json_response
from app.core.http.routing import cookie_pairs
from app.core.origins import is_one_of, own_origins
from app.sessions.errors import CookieOff, NoRefreshToken, OriginRefused, SupersededToken

OF_1_0: dict[str, dict[str, Any]] = {
    "__Secure-refresh": {"path": "/api/auth", "secure": True},
    "refresh": {"path": "/api/auth"},
}
"""The names that 1.0 had, whose cookies are removed and not read: a neighbouring host could replace them."""

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

    It goes over https alone, but for localhost outside production: Safari keeps no secure cookie there. By the name,
    `__Host-`, browsers take it from this host alone, and for all of its paths, so that there is one.
    """

    def __init__(self, request: Request, settings: Settings) -> None:
        host = request.headers.get("host", "").lower()
        is_local = settings.environment != "production" and host.partition(":")[0] in LOCAL_HOSTS
        # Several services below paths of one host have a cookie each.
        self.name = ("refresh-local" if is_local else "__Host-refresh") + settings.root_path.replace("/", "-")
        self._attributes: dict[str, Any] = {
            "path": "/",
            "secure": not is_local,
            "httponly": True,
            "samesite": "Strict",
        }
        self._request = request
        self._max_age = settings.refresh_token_seconds
        self._is_on = settings.refresh_cookie == "on"
        pairs = cookie_pairs(request) if self._is_on else []
        self._sent = [value for sent, value in pairs if sent == self.name and value]
        self._outdated = OF_1_0.keys() & {sent for sent, _ in pairs}
        self._origin = request.headers.getlist("origin")
        self._is_own_page = False
        if len(self._origin) == 1:
            own = own_origins(host)[: 2 if is_local else 1]  # by https, and locally by http
            self._is_own_page = is_one_of(self._origin[0], (*settings.frontend_url, *own))

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
        if in_body is not None or not self._sent:
            return Presented(in_body, from_cookie=False, wants_cookie=wanted)
        if not self._is_own_page:
            raise OriginRefused
        return Presented(";".join(self._sent), from_cookie=True, wants_cookie=wanted)

    def replaced(self) -> str | None:
        """Return the token that a new one replaces, if it is a page of ours that asks."""
        return ";".join(self._sent) if self._is_own_page else None

    @contextmanager
    def removed_if_refused(self, presented: Presented) -> Iterator[None]:
        """Let the refusal of a token that came in the cookie remove it, unless the browser may have a newer one."""
        try:
            yield
        except ApiError as refusal:
            is_over = isinstance(refusal, InvalidToken) and not isinstance(refusal, SupersededToken)
            response = Response()
            response = self.removed(response) if presented.from_cookie and is_over else self.tidied(response)
            refusal.cookies = response.headers.getlist("set-cookie")
            raise

    def answer(
        self, tokens: TokenPair, status: HTTPStatus = HTTPStatus.OK, *, to_cookie: bool, **members: object
    ) -> Response:
        """Return tokens and more members; the refresh token in the cookie or in the body, never in both."""
        content = token_members(self._request, tokens) | members
        if not to_cookie:
            return self.tidied(json_response(content, status))
        del content["refresh_token"]
        response = json_response(content, status)
        response.set_cookie(self.name, tokens.refresh_token, max_age=self._max_age, **self._attributes)
        return self.tidied(response)

    def removed(self, response: Response) -> Response:
        """Let an answer remove the cookie."""
        response.delete_cookie(self.name, **self._attributes)
        return self.tidied(response)

    def tidied(self, response: Response) -> Response:
        """Let an answer remove cookies of 1.0 that the request has sent."""
        for name in self._outdated:
            response.delete_cookie(name, httponly=True, samesite="strict", **OF_1_0[name])
        return response
