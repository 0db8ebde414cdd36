"""An `httpx.Auth` that keeps a session open: it attaches the access token and refreshes it, early or on a 401."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from hashlib import sha256
from http import HTTPStatus
from secrets import token_urlsafe
from typing import TypeVar

import httpx

from auth_tasks_client.errors import OtherServer, SignedOut, accepted
from auth_tasks_client.origins import origin_of
from auth_tasks_client.store import StoredTokens, TokenStore

REFRESH_BEFORE_SECONDS = 30
ATTEMPTS = 3
TIMEOUT_SECONDS = 10
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)
"""Errors that come before a request is sent: the server has changed nothing."""

T = TypeVar("T")


class TokenAuth(httpx.Auth):
    """Of all threads, processes and asyncio tasks that share a store one refreshes, and the others use its tokens.

    Where its lock does not hold, each gets the same tokens.

    Works with `httpx.Client` and `httpx.AsyncClient`. A request to another origin than that of the tokens is sent
    without them. Raises: ApiError, SignedOut, httpx.TransportError.
    """

    def __init__(self, store: TokenStore, *, transport: httpx.BaseTransport | None = None) -> None:
        self.store = store
        self._transport = transport

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with a token that is still good; on a 401 refresh and send once more."""
        if self._is_elsewhere(request):
            yield request
            return
        tokens = self.current()
        response = yield _with(request, tokens)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            yield _with(request, self.renewed(tokens))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same; wait for the lock and for the refresh in a thread."""
        if await asyncio.to_thread(self._is_elsewhere, request):
            yield request
            return
        tokens = await asyncio.to_thread(self.current)
        response = yield _with(request, tokens)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            yield _with(request, await asyncio.to_thread(self.renewed, tokens))

    def current(self) -> StoredTokens:
        """Return tokens that are good for a while yet, refreshed if need be."""
        tokens = self._signed_in()
        return tokens if tokens.expires_at > _now() + REFRESH_BEFORE_SECONDS else self.renewed(tokens)

    def renewed(self, stale: StoredTokens) -> StoredTokens:
        """Return newer tokens than these: those that another has stored meanwhile, or those of a refresh."""
        with self.store.locked():
            tokens = self._signed_in()
            return tokens if tokens.access_token != stale.access_token else self._refreshed(tokens)

    def _is_elsewhere(self, request: httpx.Request) -> bool:
        return origin_of(request.url) != origin_of(self._signed_in().url)

    def _signed_in(self) -> StoredTokens:
        tokens = self.store.read()
        if tokens is None:
            raise SignedOut("You are not signed in.")
        return tokens

    def _refreshed(self, tokens: StoredTokens) -> StoredTokens:
        answer = self._post_refresh(tokens)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            newer = self.store.read()
            if newer and newer.refresh_token != tokens.refresh_token:
                return newer
            self.store.clear()
            raise SignedOut("Your session is over.")
        fresh = stored(tokens.url, tokens.email, accepted(answer), key_before=tokens.refresh_key)
        return self.store.replace(tokens, fresh)

    def _post_refresh(self, tokens: StoredTokens) -> httpx.Response:
        """Ask for new tokens, again after a lost answer: with the same key they are the same."""
        with httpx.Client(base_url=tokens.url, transport=self._transport, timeout=TIMEOUT_SECONDS) as client:
            body = {"refresh_token": tokens.refresh_token}
            headers = {"Idempotency-Key": tokens.refresh_key} if tokens.refresh_key else {}
            return until_answered(lambda: client.post("/api/auth/refresh", json=body, headers=headers))


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


def stored(url: str, email: str, answer: httpx.Response, *, key_before: str | None = None) -> StoredTokens:
    """Return the tokens in the answer to a sign-up, a sign-in or a refresh, with the key of their own refresh."""
    body = answer.json()
    # Derived, so that all who asked for this pair at once, without a lock, go on with one key; secret like the first.
    before = key_before or token_urlsafe(32)
    key = sha256(f"{before} {body['refresh_token']}".encode()).hexdigest()
    return StoredTokens(url, email, body["access_token"], body["refresh_token"], _now() + body["expires_in"], key)


def _with(request: httpx.Request, tokens: StoredTokens) -> httpx.Request:
    ours, theirs = origin_of(request.url), origin_of(tokens.url)
    if ours != theirs:  # somebody has signed in elsewhere meanwhile
        raise OtherServer(theirs, ours)
    request.headers["Authorization"] = f"Bearer {tokens.access_token}"
    return request


def _now() -> float:
    return time.time()
