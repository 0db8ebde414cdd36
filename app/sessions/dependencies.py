"""What routes that begin, renew or end a session take from a request besides its body."""

import re
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Path, Request
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.auth.dependencies import get_auth
from app.core.fields import path_id
from app.core.http.client_address import client_address, is_behind_unknown_proxy
from app.sessions.models import DEVICE_LENGTH
from app.sessions.refresh_cookie import RefreshCookie

SET_COOKIE: dict[str, Any] = {
    "headers": {
        "Set-Cookie": {
            "description": "The refresh token, where the client wants it in a cookie.",
            "schema": {"type": "string"},
        }
    }
}
"""The header of an answer that may set the cookie."""


async def get_refresh_cookie(request: Request) -> RefreshCookie:
    """Return the cookie of this request."""
    return RefreshCookie(request, (await get_auth(request)).settings)


async def get_user_agent(request: Request) -> str | None:
    """Return what the client calls itself, as much of it as a device's name may have; None if nothing can be seen."""
    printable = filter(str.isprintable, request.headers.get("user-agent", ""))
    return "".join(islice(printable, DEVICE_LENGTH)).strip() or None


async def get_refresh_client(request: Request) -> str | None:
    """Return what stays the same while a client refreshes several times at once; None if it cannot be known."""
    trusted = (await get_auth(request)).settings.trusted_proxies
    if is_behind_unknown_proxy(request, trusted):
        return None
    return "\0".join([client_address(request, trusted), *request.headers.getlist("user-agent")])


SessionId = Annotated[
    UUID, BeforeValidator(path_id, json_schema_input_type=UUID), Path(description="The session's id.")
]
_REFRESH_KEY = r"^[\x21-\x7e]{22,255}$"


def _one_refresh_key(lines: list[str]) -> list[str]:
    """Check that there is one, and long enough not to be guessed."""
    if len(lines) > 1 or not re.fullmatch(_REFRESH_KEY, lines[0]):
        raise PydanticCustomError("own_refresh_key", "must be sent once, with 22 to 255 visible ASCII characters")
    return lines


RefreshClient = Annotated[str | None, Depends(get_refresh_client)]
UserAgent = Annotated[str | None, Depends(get_user_agent)]
Cookie = Annotated[RefreshCookie, Depends(get_refresh_cookie)]
# A list, so that FastAPI hands over every line of the header.
RefreshKey = Annotated[
    list[str] | None,
    BeforeValidator(
        _one_refresh_key,
        json_schema_input_type=Annotated[str, Field(min_length=22, max_length=255, pattern=_REFRESH_KEY)],
    ),
    Header(
        alias="Idempotency-Key",
        description="At least 128 random bits that you keep with this pair, and send again after a lost answer.",
        examples=["oT3xVfS9wq0mJk2R7bYcNd"],
    ),
]
"""The key that whoever refreshes may ask again with, alone in its list."""
