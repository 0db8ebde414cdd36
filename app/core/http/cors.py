"""CORS: pages of other origins may call, if the operator has named them."""

import re
from collections.abc import Iterator
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import ApiError
from app.core.http.problems import problem_details
from app.core.logging import current_request_id, get_logger
from app.core.origins import is_one_of, own_origins

logger = get_logger("app.access")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
EXPOSED_HEADERS = ["ETag", "Link", "Location", "Retry-After", "X-Total-Count", "X-Request-ID", "WWW-Authenticate"]
MAX_REMEMBERED = 100  # of what was refused
MAX_SHOWN = 200
MAX_NAMES = 8 * 1024  # 64 KiB would take 12 ms to read

_HEADER_NAMES = re.compile(r"[ \t,]*([\w!#$%&'*+.^`|~-]+[ \t]*(,[ \t,]*|$))*", re.ASCII)
_WHY = {
    "origin": "The origin of this page is not one of FRONTEND_URL.",
    "method": f"The method is none of {', '.join(METHODS)}, in capitals.",
    "header": "Access-Control-Request-Headers has what cannot be the name of a header, or more than 8 KiB.",
}


class PreflightDenied(ApiError):
    code = "CORS_PREFLIGHT_REFUSED"

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.detail = " ".join(_WHY[part] for part in refused)


class Cors(CORSMiddleware):
    """Starlette's CORS, skipped where no browser asks. It says what it refuses: in our shape, and once in the log.

    Any header may be sent: tracing libraries add theirs, and what guards the service is the origin.
    """

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
            max_age=7200,
        )
        self._told: dict[tuple[str, str], None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not any(name == b"origin" for name, _ in scope["headers"]):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self.is_allowed_origin(headers["origin"]) and not _is_same_origin(headers):
            self._tell("origin", headers["origin"], setting="FRONTEND_URL")
        await super().__call__(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return is_one_of(origin, self.allow_origins)

    def preflight_response(self, request_headers: Headers) -> Response:
        refused = dict(self._refused(request_headers))
        answer = super().preflight_response(request_headers)
        if not refused:
            return answer
        for part, value in refused.items():
            if part != "origin":  # which has been told
                self._tell(part, value)
        denied = JSONResponse(problem_details(PreflightDenied(*refused), current_request_id()), 400)
        shown = ("vary",) if "origin" in refused else ("vary", "access")
        denied.headers.update({name: value for name, value in answer.headers.items() if name.startswith(shown)})
        return denied

    def _refused(self, asked: Headers) -> Iterator[tuple[str, str]]:
        if not self.is_allowed_origin(asked["origin"]):
            yield "origin", asked["origin"]
        if asked["access-control-request-method"] not in METHODS:
            yield "method", asked["access-control-request-method"]
        names = asked.get("access-control-request-headers", "")
        if len(names) > MAX_NAMES or not _HEADER_NAMES.fullmatch(names):
            yield "header", names

    def _tell(self, part: str, value: str, **more: Any) -> None:
        """Log what was refused, once for each value: a stranger may send any number of them."""
        told = (part, value[:MAX_SHOWN])
        if told not in self._told:
            if len(self._told) >= MAX_REMEMBERED:
                del self._told[next(iter(self._told))]
            self._told[told] = None
            logger.warning("cors_refused", extra={part: told[1], **more})


def _is_same_origin(headers: Headers) -> bool:
    """Return whether a page of this service's own host asks: browsers name its origin, too, and need no permission."""
    return headers.get("sec-fetch-site") == "same-origin" or headers["origin"] in own_origins(headers.get("host", ""))
