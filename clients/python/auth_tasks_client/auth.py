"""An `httpx.Auth` that keeps a session open: it attaches the access token and refreshes it, early or on a 401."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any, TypeVar

import httpx

from auth_tasks_client.errors import OtherServer, SignedOut, accepted, code_of
from auth_tasks_client.store import StoredTokens, TokenStore

REFRESH_BEFORE_SECONDS = 30
ATTEMPTS = 3
REFRESHES = 2
"""For one request: a pair that is given again, long after its answer was lost, has an expired access token."""
TIMEOUT_SECONDS = 10
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
"""Errors that come before a request is sent: the server has changed nothing."""

T = TypeVar("T")


class TokenAuth(httpx.Auth):
    """Of all threads, processes and asyncio tasks that share a store one refreshes, and the others use its tokens.

    Where its lock does not hold, each gets the same tokens.

    Works with `httpx.Client` and `httpx.AsyncClient`. A request to another origin than that of the tokens is sent
    without them, or with `refuse_others` is OtherServer. OtherAccount is that somebody else has signed in
    in the middle of a request, or with `user_id` at all. Raises: ApiError, OtherAccount, SignedOut,
    httpx.TransportError.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        transport: httpx.BaseTransport | None = None,
        refuse_others: bool = False,
        user_id: str | None = None,
    ) -> None:
        self.store = store
        self._transport = transport
        self._refuse_others = refuse_others
        self._user_id = user_id

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with a token that is still good; on a 401 refresh and send again."""
        tokens = self._tokens_for(request)
        response = yield _with(request, tokens)
        for _ in range(REFRESHES):
            if tokens is None or response.status_code != HTTPStatus.UNAUTHORIZED:
                return
            tokens = self.renewed(tokens)
            response = yield _with(request, tokens)
            if tokens.expires_at > _now():
                return

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same; wait for the lock and for the refresh in a thread."""
        tokens = await asyncio.to_thread(self._tokens_for, request)
        response = yield _with(request, tokens)
        for _ in range(REFRESHES):
            if tokens is None or response.status_code != HTTPStatus.UNAUTHORIZED:
                return
            tokens = await asyncio.to_thread(self.renewed, tokens)
            response = yield _with(request, tokens)
            if tokens.expires_at > _now():
                return

    def current(self) -> StoredTokens:
        """Return tokens that are good for a while yet, refreshed if need be."""
        return self._good(self._signed_in())

    def renewed(self, stale: StoredTokens) -> StoredTokens:
        """Return newer tokens than these: those that another has stored meanwhile, or those of a refresh."""
        with self.store.locked() as is_alone:
            tokens = self._signed_in()
            if tokens.access_token == stale.access_token:
                tokens = self._refreshed(tokens, is_alone)
        tokens.check_user(stale.user_id)  # somebody else may have signed in meanwhile
        return tokens

    def _tokens_for(self, request: httpx.Request) -> StoredTokens | None:
        tokens = self._signed_in()
        try:
            tokens.check_server(request.url)
        except OtherServer:
            if self._refuse_others:
                raise
            return None
        return self._good(tokens)

    def _good(self, tokens: StoredTokens) -> StoredTokens:
        return tokens if tokens.expires_at > _now() + REFRESH_BEFORE_SECONDS else self.renewed(tokens)

    def _signed_in(self) -> StoredTokens:
        tokens = self.store.read()
        if tokens is None:
            raise SignedOut("You are not signed in.")
        tokens.check_user(self._user_id)
        return tokens

    def _refreshed(self, tokens: StoredTokens, is_alone: bool) -> StoredTokens:
        """Exchange the tokens; after a lost answer again, with the same key for the same ones."""
        headers = {"Idempotency-Key": tokens.refresh_key} if tokens.refresh_key else {}
        answer = until_answered(lambda: self._post("refresh", tokens, headers=headers))
        if answer.status_code == HTTPStatus.UNAUTHORIZED and code_of(answer):
            newer = self.store.read()
            if newer and newer.refresh_token != tokens.refresh_token:
                return newer
            with suppress(httpx.TransportError):
                self._post("signout", tokens)  # who has a copy and ran ahead is taken for a late duplicate of ours
            self.store.end(tokens)
            raise SignedOut(_why_over(answer))
        # Each pair has a key of its own: of two who have a copy of the same one, who refreshes second is found.
        # Without a lock all who asked for a pair at once must go on with one key, which is that of the pair before.
        key = None if is_alone else tokens.refresh_key
        self.store.replace(tokens, stored(tokens.url, tokens.email, accepted(answer), key=key))
        return self._signed_in()

    def _post(self, operation: str, tokens: StoredTokens, **options: Any) -> httpx.Response:
        with httpx.Client(base_url=tokens.url, transport=self._transport, timeout=TIMEOUT_SECONDS) as client:
            body = {"refresh_token": tokens.refresh_token}
            return client.post(f"/api/auth/{operation}", json=body, **options)


def until_answered(send: Callable[[], T]) -> T:
    """Return the answer of the first attempt that has one. Raises: httpx.TransportError."""
    errors: list[httpx.TransportError] = []
    for _ in range(ATTEMPTS):
        try:
            return send()
        except httpx.TransportError as error:
            errors.append(error)
    # An attempt that was sent may have changed something, though a later one found no server.
    raise next((error for error in errors if not isinstance(error, NOT_SENT)), errors[-1])


def stored(url: str, email: str, answer: httpx.Response, *, key: str | None = None) -> StoredTokens:
    """Return the tokens in an answer, with the key of their own refresh: a fresh one, if none is given."""
    body = answer.json()
    expires_at, key = _now() + body["expires_in"], key or token_urlsafe(32)
    return StoredTokens(url, email, body["access_token"], body["refresh_token"], expires_at, key)


def _with(request: httpx.Request, tokens: StoredTokens | None) -> httpx.Request:
    if tokens:
        tokens.check_server(request.url)  # again: somebody may have signed in elsewhere meanwhile
        request.headers["Authorization"] = f"Bearer {tokens.access_token}"
    return request


def _why_over(answer: httpx.Response) -> str:
    if '"REFRESH_TOKEN_REUSED"' in answer.text:
        return "Your session is over: somebody else may have a copy of it. If it was not you, change the password."
    return "Your session is over."


def _now() -> float:
    return time.time()
