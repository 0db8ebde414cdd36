"""`httpx.Auth` that keeps a sign-in alive: attaches the access token, refreshes in time or on a 401, once for all."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from http import HTTPStatus

import httpx

from auth_tasks_client.store import StoredTokens, TokenStore

REFRESH_BEFORE_SECONDS = 30
ATTEMPTS = 3
TIMEOUT_SECONDS = 10


class SignedOut(Exception):
    """Nobody is signed in, or the sign-in is over: sign in again."""


class TokenAuth(httpx.Auth):
    """One refresh is in flight at a time, across tasks, threads and processes that share the store.

    Works with `httpx.Client` and `httpx.AsyncClient`. Raises: SignedOut, httpx.TransportError.
    """

    def __init__(self, store: TokenStore, *, transport: httpx.BaseTransport | None = None) -> None:
        self.store = store
        self._transport = transport

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with a living token; on a 401 refresh and send once more."""
        tokens = self.current()
        response = yield _with(request, tokens)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            yield _with(request, self.renewed(tokens))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The same; waiting for the lock and the refresh happens in a thread."""
        tokens = await asyncio.to_thread(self.current)
        response = yield _with(request, tokens)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            yield _with(request, await asyncio.to_thread(self.renewed, tokens))

    def current(self) -> StoredTokens:
        """Give tokens that live for a while yet, refreshed if need be."""
        tokens = self._signed_in()
        return tokens if tokens.expires_at > _now() + REFRESH_BEFORE_SECONDS else self.renewed(tokens)

    def renewed(self, stale: StoredTokens) -> StoredTokens:
        """Give newer tokens than these: those that somebody else has fetched meanwhile, or a refresh of ours."""
        with self.store.locked():
            tokens = self._signed_in()
            if tokens.access_token != stale.access_token:
                return tokens
            fresh = self._refresh(tokens)
            self.store.write(fresh)
            return fresh

    def _signed_in(self) -> StoredTokens:
        tokens = self.store.read()
        if tokens is None:
            raise SignedOut("You are not signed in.")
        return tokens

    def _refresh(self, tokens: StoredTokens) -> StoredTokens:
        answer = self._post_refresh(tokens)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self.store.clear()
            raise SignedOut("Your sign-in is over.")
        answer.raise_for_status()
        return stored(tokens.url, tokens.email, answer)

    def _post_refresh(self, tokens: StoredTokens) -> httpx.Response:
        """Ask again when the answer was lost: within the server's leeway it is the same successor."""
        with httpx.Client(base_url=tokens.url, transport=self._transport, timeout=TIMEOUT_SECONDS) as client:
            for _ in range(ATTEMPTS - 1):
                try:
                    return client.post("/api/auth/refresh", json={"refresh_token": tokens.refresh_token})
                except httpx.TransportError:
                    continue
            return client.post("/api/auth/refresh", json={"refresh_token": tokens.refresh_token})


def stored(url: str, email: str, answer: httpx.Response) -> StoredTokens:
    """Read the tokens of a sign-up, sign-in or refresh."""
    body = answer.json()
    return StoredTokens(url, email, body["access_token"], body["refresh_token"], _now() + body["expires_in"])


def _with(request: httpx.Request, tokens: StoredTokens) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {tokens.access_token}"
    return request


def _now() -> float:
    return time.time()
