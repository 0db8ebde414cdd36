"""What can go wrong besides the network, whose errors are httpx's."""

from http import HTTPStatus
from typing import Any

import httpx


class SignedOut(Exception):
    """Nobody is signed in, or the session is over: sign in again."""


class OtherServer(SignedOut):
    """The session that is stored is one of another server, which alone gets its tokens."""

    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(f"You are signed in at {theirs}, not at {ours}.")


class OtherAccount(Exception):
    """Another account, or another server, is signed in than the one that this is of."""


class TokenEnded(SignedOut):
    """A script's token is over, or none of this server's: somebody makes another."""

    def __init__(self) -> None:
        super().__init__("This script's token has ended, or is none of this server's.")


class ApiError(Exception):
    """The server answered with an error: its HTTP `status`, its constant `code` and its sentence `detail`.

    `code` is None where the answer has none, as from a proxy on the way. `detail` is the server's text as it came:
    escape it before it reaches a terminal.
    """

    def __init__(self, status: int, code: str | None, detail: str) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class InsufficientScope(ApiError):
    """A script's token is good, but has not the `scope` that this needs."""

    def __init__(self, scope: str) -> None:
        detail = f"This script's token has not the scope {scope}, which that needs."
        super().__init__(HTTPStatus.FORBIDDEN, "INSUFFICIENT_SCOPE", detail)
        self.scope = scope


def accepted(answer: httpx.Response) -> httpx.Response:
    """Return the answer of a request that succeeded. Raises: ApiError, also if a hotel's sign-in page has answered."""
    if answer.is_success:
        if answer.content and not answer.headers.get("Content-Type", "").startswith("application/json"):
            raise ApiError(answer.status_code, None, "Something else than the service has answered.")
        return answer
    detail = _body(answer).get("detail")
    raise ApiError(
        answer.status_code,
        code_of(answer),
        detail if isinstance(detail, str) and detail else f"The server answered {answer.status_code}.",
    )


def code_of(answer: httpx.Response) -> str | None:
    """Return the code of an error; None where something else than the service has answered."""
    code = _body(answer).get("code")
    return code if isinstance(code, str) else None


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
