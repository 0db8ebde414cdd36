"""What shows that it is the account's owner who asks, and not somebody at a device that was left open."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field

from app.core.fields import Body

Act = Literal["password", "delete", "email", "passkey", "token"]
"""What takes a proof: a new password, deleting the account, a new address, making or deleting a passkey, a token."""

Use = Callable[[], Awaitable[None]]
"""Uses a proof that was verified, as the first thing that is written. Raises the error of a wrong one if it is used."""

_ID = "KEDetxZcUfinhVi6Za5nZQ"
_CLIENT_DATA = "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0IiwiY2hhbGxlbmdlIjoiMTIzIiwib3JpZ2luIjoiaHR0cHM6Ly9leGFtcGxlLmNvbSJ9"
ASSERTION_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "rawId": _ID,
    "type": "public-key",
    "response": {
        "clientDataJSON": _CLIENT_DATA,
        "authenticatorData": "SZYN5YgOjGh0NBcPZHZgW4_krrmihjLHmVzzuoMdl2MFAAAAAQ",
        "signature": "MEUCIQDm",
        "userHandle": "my2LHjpTTD-Kbg8fDH8qEA",
    },
}


def may_be_missing(schema: dict[str, Any]) -> None:
    """Document a member as one that may be missing, never as null."""
    schema.pop("default", None)
    for choice in schema.pop("anyOf", ()):
        schema |= choice if choice != {"type": "null"} else {}


CredentialId = Annotated[str, Field(max_length=1364, description="In base64url, as all bytes here.")]
ClientData = Annotated[str, Field(max_length=4096)]


class AssertionResponse(Body):
    """What an authenticator has signed."""

    clientDataJSON: ClientData  # noqa: N815  # the standard's names
    authenticatorData: Annotated[str, Field(max_length=2048)]  # noqa: N815
    signature: Annotated[str, Field(max_length=2048)]
    userHandle: Annotated[  # noqa: N815
        Annotated[str, Field(max_length=88)] | None, Field(json_schema_extra=may_be_missing)
    ] = None


class Assertion(Body):
    """What `navigator.credentials.get()` returns, by `toJSON()`; more members are ignored.

    Source: WebAuthn 3, AuthenticationResponseJSON.
    """

    model_config = ConfigDict(json_schema_extra={"example": ASSERTION_EXAMPLE})

    id: CredentialId
    rawId: CredentialId  # noqa: N815
    type: Literal["public-key"]
    response: AssertionResponse


class Given(NamedTuple):
    """What somebody has given as proof: one of the two, and the member of the body in which it was."""

    password: str | None
    passkey: Assertion | None
    field: str = "proof"
