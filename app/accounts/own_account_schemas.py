"""The bodies of the routes of one's own account and sessions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.accounts.schemas import AnyPassword, Body, Name, NewPassword, WantsCookie

_RESET_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6InByK2p3dCJ9.eyJ0eXBlIjoicmVzZXQifQ.x"


class NameBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Ada Lovelace"}})

    name: Name


class PasswordBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"current_password": "correct horse", "new_password": "correct horse battery"}}
    )

    current_password: AnyPassword
    new_password: NewPassword
    cookie: WantsCookie = False


class DeleteBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"current_password": "correct horse"}})

    current_password: AnyPassword


class ResetBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"token": _RESET_TOKEN, "new_password": "correct horse battery"}}
    )

    token: Annotated[str, Field(description="What follows `#token=` in the link.")]
    new_password: NewPassword


class SessionRead(BaseModel):
    """A session in which somebody is signed in; `current` is the one that asks."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0d2f7b2c-5d1b-4e0c-9f0e-6b6f0f2f7c11",
                "device": "Ada's telephone",
                "created_at": "2026-01-07T10:00:00.123456Z",
                "last_used_at": "2026-01-09T18:30:00.123456Z",
                "current": True,
            }
        }
    )

    id: UUID
    device: str | None
    created_at: datetime
    last_used_at: Annotated[
        datetime, Field(description="When it began or its tokens were last refreshed, whichever is later.")
    ]
    current: bool
