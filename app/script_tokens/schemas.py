"""The bodies of the route of script tokens. What is sent is written by `core/http/json.py`, as these document it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast, Field
from pydantic_core import PydanticCustomError

from app.accounts.schemas import PROOF_EXAMPLE, Proof
from app.auth.tokens import SCRIPT_DAYS
from app.core.fields import VISIBLE, Body, storable, visible, whole
from app.sessions.models import DEVICE_LENGTH

Scope = Literal["tasks:read", "tasks:write"]

_NAME = "backup"
_SCOPES: list[Any] = ["tasks:read"]


def _some(scopes: list[Scope]) -> list[Scope]:
    if not scopes:
        raise PydanticCustomError("own_no_scope", "must name at least one")
    return scopes


class TokenBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": _NAME,
                "scopes": _SCOPES,
                "days": 90,
                "proof": PROOF_EXAMPLE,
            }
        }
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=DEVICE_LENGTH, json_schema_extra={"pattern": VISIBLE}),
        AfterValidator(storable),
        AfterValidator(visible),
    ]
    scopes: Annotated[
        list[Scope],
        FailFast(),  # thousands that are wrong would hold the process up
        Field(description="What the script may do.", json_schema_extra={"minItems": 1}),
        AfterValidator(_some),
    ]
    days: Annotated[int, Field(ge=1, le=SCRIPT_DAYS, description="How long it may."), BeforeValidator(whole)]
    proof: Proof


class ScriptTokenRead(BaseModel):
    """A token for a script. It is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0d2f7b2c-5d1b-4e0c-9f0e-6b6f0f2f7c11",
                "name": _NAME,
                "scopes": _SCOPES,
                "expires_at": "2026-04-07T10:00:00.000000Z",
                "token": "atk_eyJhbGciOiJIUzI1NiIsInR5cCI6InN0K2p3dCJ9.eyJ0eXBlIjoic2NyaXB0In0.x",
            }
        }
    )

    id: UUID
    name: str
    scopes: list[Scope]
    expires_at: datetime
    token: str
