"""The bodies of the routes of mail. What is sent is written by `core/http/json.py`, as these document it."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.accounts.schemas import PROOF_EXAMPLE, Email, Proof
from app.core.fields import Body

_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImV2K2p3dCJ9.eyJ0eXBlIjoidmVyaWZ5In0.x"


class EmailBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com"}})

    email: Email


class LinkBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"token": _TOKEN}})

    token: Annotated[str, Field(description="What follows `#token=` in the link.")]


class ChangeBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@new.example.com", "proof": PROOF_EXAMPLE}})

    email: Email
    proof: Proof


class AddressRead(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ada@example.com", "verified_at": "2026-01-07T10:00:00.123456Z"}}
    )

    email: str
    verified_at: Annotated[
        datetime | None, Field(description="When its owner proved by a link that mail reaches them; null until then.")
    ]
