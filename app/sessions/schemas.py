"""The bodies of the routes of sessions. What is sent is written by `core/http/json.py`, as these document it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.auth.proof import may_be_missing
from app.core.fields import NO_NUL, Body, blank_is_none, storable
from app.sessions.models import DEVICE_LENGTH

REFRESH_TOKEN_EXAMPLE = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.x"
TOKENS_EXAMPLE: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXBlIjoiYWNjZXNzIn0.x",
    "refresh_token": REFRESH_TOKEN_EXAMPLE,
    "token_type": "bearer",
    "expires_in": 900,
}

_Device = Annotated[
    str, Field(max_length=DEVICE_LENGTH, json_schema_extra={"pattern": NO_NUL}), AfterValidator(storable)
]
Device = Annotated[
    _Device | None,
    BeforeValidator(blank_is_none),
    Field(description="What to call this device in the list of sessions; otherwise its User-Agent."),
]
ReplacedToken = Annotated[
    str | None,
    Field(description="The last one of this account on this device, used or expired: its session is replaced."),
]
WantsCookie = Annotated[
    bool,
    Field(description="For pages: put the refresh token into a cookie that no script can read, not into the body."),
]


class RefreshBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": REFRESH_TOKEN_EXAMPLE}})

    refresh_token: Annotated[str | None, Field(description="Required, unless it is in the cookie.")] = None
    cookie: WantsCookie = False


class SignOutBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"refresh_token": REFRESH_TOKEN_EXAMPLE, "everywhere": False}}
    )

    refresh_token: Annotated[str | None, Field(description="Without it the one in the cookie is taken.")] = None
    everywhere: Annotated[bool, Field(description="End all sessions, this one too.")] = False
    others: Annotated[bool, Field(description="End all sessions but this one.")] = False


class TokenRead(BaseModel):
    """Two tokens; `expires_in` is the access token's life in seconds. Source: RFC 6749 5.1."""

    model_config = ConfigDict(json_schema_extra={"example": TOKENS_EXAMPLE})

    access_token: str
    refresh_token: Annotated[
        str | None,
        Field(description="Left out where it is in the cookie.", json_schema_extra=may_be_missing),
    ] = None
    token_type: Literal["bearer"] = "bearer"
    expires_in: int


class SessionRead(BaseModel):
    """A session in which somebody is signed in; `current` is the one that asks."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0d2f7b2c-5d1b-4e0c-9f0e-6b6f0f2f7c11",
                "device": "backup",
                "created_at": "2026-01-07T10:00:00.123456Z",
                "last_used_at": "2026-01-07T10:00:00.123456Z",
                "current": False,
                "kind": "script",  # FastAPI leaves out what is null, of which a person's session has two
                "scopes": ["tasks:read"],
                "expires_at": "2026-04-07T10:00:00.000000Z",
            }
        }
    )

    id: UUID
    device: Annotated[str | None, Field(description="Its name, or a script's.")]
    created_at: datetime
    last_used_at: Annotated[
        datetime, Field(description="When it began or its tokens were last refreshed, whichever is later.")
    ]
    current: bool
    kind: Annotated[Literal["person", "script"], Field(description="`script`: a token that somebody made for one.")]
    scopes: Annotated[list[str] | None, Field(description="What a script may do.")]
    expires_at: Annotated[datetime | None, Field(description="When a script's token ends.")]


class Detail(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"detail": "Signed out."}})

    detail: str
