"""The bodies of the routes of passkeys. What is sent is written by `core/http/json.py`, as these document it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.accounts.schemas import PROOF_EXAMPLE, Proof
from app.auth.proof import ASSERTION_EXAMPLE, Act, Assertion, ClientData, CredentialId
from app.core.fields import NO_NUL, Body, blank_is_none, storable
from app.passkeys.models import PASSKEY_NAME_LENGTH
from app.sessions.schemas import Device, ReplacedToken, WantsCookie

_ID = ASSERTION_EXAMPLE["id"]
_CHALLENGE = "h4Q1bJwqVZ0yJm5w0Vn3VAAAAABpXi9YH0rC3zZ7GqVqQWwq2J0p8m1b7w9xk4rTtS0yD3c"
_MADE: dict[str, Any] = {
    "id": _ID,
    "rawId": _ID,
    "type": "public-key",
    "response": {
        "clientDataJSON": ASSERTION_EXAMPLE["response"]["clientDataJSON"],
        "attestationObject": "o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YQ",
    },
}
_KEY: dict[str, Any] = {"type": "public-key", "id": _ID}

_Name = Annotated[
    str, Field(max_length=PASSKEY_NAME_LENGTH, json_schema_extra={"pattern": NO_NUL}), AfterValidator(storable)
]


class AttestationResponse(Body):
    """What an authenticator says of a new key."""

    clientDataJSON: ClientData  # noqa: N815  # the standard's names
    attestationObject: Annotated[str, Field(max_length=16384)]  # noqa: N815


class Attestation(Body):
    """What `navigator.credentials.create()` returns, by `toJSON()`; more members are ignored.

    Source: WebAuthn 3, RegistrationResponseJSON.
    """

    model_config = ConfigDict(json_schema_extra={"example": _MADE})

    id: CredentialId
    rawId: CredentialId  # noqa: N815
    type: Literal["public-key"]
    response: AttestationResponse


class PasskeySignInBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"credential": ASSERTION_EXAMPLE, "device": "My phone"}})

    credential: Assertion
    device: Device = None
    refresh_token: ReplacedToken = None
    cookie: WantsCookie = False


class PasskeyBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"credential": _MADE, "name": "My phone", "proof": PROOF_EXAMPLE}}
    )

    credential: Attestation
    name: Annotated[_Name | None, BeforeValidator(blank_is_none)] = None
    proof: Proof


class ProofBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"proof": PROOF_EXAMPLE}})

    proof: Proof


class ProofOptionsBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"for": "password"}})

    act: Annotated[Act, Field(alias="for", description="What will be asked for with the proof.")]


class KnownKey(BaseModel):
    """A key, by its id."""

    type: Literal["public-key"]
    id: str


class RequestOptionsRead(BaseModel):
    """What `PublicKeyCredential.parseRequestOptionsFromJSON()` reads for `navigator.credentials.get()`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "challenge": _CHALLENGE,
                "timeout": 300000,
                "rpId": "example.com",
                "allowCredentials": [_KEY],
                "userVerification": "required",
            }
        }
    )

    challenge: str
    timeout: int
    rpId: str  # noqa: N815
    allowCredentials: list[KnownKey]  # noqa: N815
    userVerification: Literal["required"]  # noqa: N815


class Party(BaseModel):
    """Who asks for a key."""

    id: str
    name: str


class KeyOwner(BaseModel):
    """Whose key it will be: the id is the account's, its 16 bytes in base64url."""

    id: str
    name: str
    displayName: str  # noqa: N815


class Algorithm(BaseModel):
    """A kind of keys that is accepted."""

    type: Literal["public-key"]
    alg: int


class Selection(BaseModel):
    """What an authenticator must be able to do."""

    residentKey: Literal["required"]  # noqa: N815
    requireResidentKey: bool  # noqa: N815
    userVerification: Literal["required"]  # noqa: N815


class CreationOptionsRead(BaseModel):
    """What `PublicKeyCredential.parseCreationOptionsFromJSON()` reads for `navigator.credentials.create()`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "rp": {"id": "example.com", "name": "Example"},
                "user": {"id": "my2LHjpTTD-Kbg8fDH8qEA", "name": "ada@example.com", "displayName": "Ada"},
                "challenge": _CHALLENGE,
                "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
                "timeout": 300000,
                "excludeCredentials": [_KEY],
                "authenticatorSelection": {
                    "residentKey": "required",
                    "requireResidentKey": True,
                    "userVerification": "required",
                },
                "attestation": "none",
            }
        }
    )

    rp: Party
    user: KeyOwner
    challenge: str
    pubKeyCredParams: list[Algorithm]  # noqa: N815
    timeout: int
    excludeCredentials: list[KnownKey]  # noqa: N815
    authenticatorSelection: Selection  # noqa: N815
    attestation: Literal["none"]


class PasskeyRead(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _ID,
                "name": "My phone",
                "created_at": "2026-01-07T10:00:00.123456Z",
                "last_used_at": "2026-01-07T10:00:00.123456Z",
                "synced": True,
            }
        }
    )

    id: str
    name: str | None
    created_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="When it signed in or proved last; null until then.")]
    synced: Annotated[bool, Field(description="Whether its owner's other devices have it, too.")]
