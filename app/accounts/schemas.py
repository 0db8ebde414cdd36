"""The bodies of the routes of accounts. What is sent is written by `core/http/json.py`, as these document it."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from app.accounts.emails import normalise_email
from app.auth.models import NAME_LENGTH
from app.auth.passwords import MAX_INPUT_LENGTH, MAX_LENGTH, MIN_LENGTH, normalise_password
from app.auth.proof import Assertion, Given, may_be_missing
from app.core.fields import NO_NUL, Body, blank_is_none, storable
from app.core.http.error_responses import Problem
from app.sessions.schemas import REFRESH_TOKEN_EXAMPLE, TOKENS_EXAMPLE, Device, ReplacedToken, TokenRead, WantsCookie


def _email(text: str) -> str:
    email = normalise_email(text)
    if email is None:
        raise PydanticCustomError("own_email", "is not a valid e-mail address")
    return email


def _new_password(secret: SecretStr) -> SecretStr:
    """Count the code points of what is hashed: U+FDFA becomes 18, and an e with its accent one."""
    text = storable(secret.get_secret_value())
    length = len(normalise_password(text)) if len(text) <= MAX_INPUT_LENGTH else len(text)
    if length < MIN_LENGTH:
        raise PydanticKnownError("string_too_short", {"min_length": MIN_LENGTH})
    if length > MAX_LENGTH:
        raise PydanticKnownError("string_too_long", {"max_length": MAX_LENGTH})
    return secret


def _any_text(value: Any) -> SecretStr:
    """Take any string, lone surrogates too: at sign-in it is at worst a wrong password."""
    if not isinstance(value, str):
        raise PydanticCustomError("own_string_type", "must be a string")
    return SecretStr(value)


Email = Annotated[
    str,
    AfterValidator(storable),
    AfterValidator(_email),
    Field(json_schema_extra={"format": "email", "maxLength": 254}),
]
NewPassword = Annotated[
    SecretStr,
    Field(
        description="8 to 128 characters, counted in Unicode's normal form NFKC.",
        json_schema_extra={
            "format": "password",
            "minLength": MIN_LENGTH,
            "maxLength": MAX_LENGTH,
            "pattern": NO_NUL,
        },
    ),
    AfterValidator(_new_password),
]
AnyPassword = Annotated[
    SecretStr, PlainValidator(_any_text, json_schema_input_type=str), Field(json_schema_extra={"format": "password"})
]
_Name = Annotated[str, Field(max_length=NAME_LENGTH, json_schema_extra={"pattern": NO_NUL}), AfterValidator(storable)]
Name = Annotated[_Name | None, BeforeValidator(blank_is_none)]

_USER: dict[str, Any] = {
    "id": "9b2d8b1e-3a53-4c3f-8a6e-0f1f0c7f2a10",
    "email": "ada@example.com",
    "name": "Ada",
    "created_at": "2026-01-07T10:00:00.123456Z",
}
_RESET_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6InByK2p3dCJ9.eyJ0eXBlIjoicmVzZXQifQ.x"


class SignUpBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ada@example.com", "password": "correct horse", "name": "Ada"}}
    )

    email: Email
    password: NewPassword
    name: Name = None
    device: Device = None
    cookie: WantsCookie = False


class SignInBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com", "password": "correct horse"}})

    email: Email
    password: AnyPassword
    device: Device = None
    refresh_token: ReplacedToken = None
    cookie: WantsCookie = False


class TokenForm(BaseModel):
    """An OAuth 2 token request. Source: RFC 6749 4.3.2 and 6."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"grant_type": "password", "username": "ada@example.com", "password": "correct horse"}
        }
    )

    grant_type: Annotated[str | None, Field(description="`password`, also if it is left out, or `refresh_token`.")] = (
        None
    )
    username: Annotated[str | None, Field(description="The e-mail address, for `password`.")] = None
    password: Annotated[str | None, Field(json_schema_extra={"format": "password"})] = None
    refresh_token: Annotated[
        str | None, Field(description="For `refresh_token`; for `password` that which the device had before.")
    ] = None
    device: Device = None


class RevocationForm(BaseModel):
    """A token that is not needed any more. Source: RFC 7009 2.1."""

    model_config = ConfigDict(json_schema_extra={"example": {"token": REFRESH_TOKEN_EXAMPLE}})

    token: Annotated[str, Field(min_length=1, description="An access token, a refresh token or a script's.")]
    token_type_hint: Annotated[str | None, Field(description="Not needed: the token says what it is.")] = None


class OAuthProblem(Problem):
    """An error with RFC 6749 5.2's `error` where OAuth has a word for it."""

    error: str | None = None


class NameBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"name": "Ada Lovelace"}})

    name: Name


def _either(value: Any, info: ValidationInfo, other: str) -> Any:
    """Take a password where no passkey is given, and nothing beside one. What is wrong with the other says itself."""
    if value is None and info.data.get(other, ...) is None:
        raise PydanticKnownError("missing")
    if value is not None and info.data.get(other) is not None:
        raise PydanticCustomError("own_two_proofs", "must not be sent beside another proof")
    return value


def _one_of(*names: str) -> dict[str, Any]:
    """Document that one of these members is needed, and no two."""
    return {"oneOf": [{"required": [name]} for name in names]}


_PasswordIfAny = Annotated[AnyPassword | None, Field(validate_default=True, json_schema_extra=may_be_missing)]
PROOF_EXAMPLE: dict[str, Any] = {"current_password": "correct horse"}


class Proof(Body):
    """What shows that it is the account's owner who asks, and not somebody at a device that was left open.

    The password, or what a passkey has signed of the options for this act.
    """

    model_config = ConfigDict(json_schema_extra={"example": PROOF_EXAMPLE, **_one_of("current_password", "passkey")})

    passkey: Annotated[Assertion | None, Field(json_schema_extra=may_be_missing)] = None
    current_password: Annotated[_PasswordIfAny, AfterValidator(partial(_either, other="passkey"))] = None

    @property
    def given(self) -> Given:
        """Return which of the two it is."""
        password = self.current_password
        return Given(None if password is None else password.get_secret_value(), self.passkey)


class ProvenBody(Body):
    """A body that takes the password as such, too, as it did before there were proofs."""

    proof: Annotated[Proof | None, Field(json_schema_extra=may_be_missing)] = None
    current_password: Annotated[_PasswordIfAny, AfterValidator(partial(_either, other="proof"))] = None

    @property
    def given(self) -> Given:
        """Return the proof, in whichever member it was sent."""
        if self.proof:
            return self.proof.given
        assert self.current_password is not None
        return Given(self.current_password.get_secret_value(), None, "current_password")


class PasswordBody(ProvenBody):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {**PROOF_EXAMPLE, "new_password": "correct horse battery"},
            **_one_of("current_password", "proof"),
        }
    )

    new_password: NewPassword
    cookie: WantsCookie = False


class DeleteBody(ProvenBody):
    model_config = ConfigDict(json_schema_extra={"example": PROOF_EXAMPLE, **_one_of("current_password", "proof")})


class ResetBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"example": {"token": _RESET_TOKEN, "new_password": "correct horse battery"}}
    )

    token: Annotated[str, Field(description="What follows `#token=` in the link.")]
    new_password: NewPassword


class UserRead(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _USER})

    id: UUID
    email: str
    name: str | None
    created_at: datetime


class SignedInRead(TokenRead):
    model_config = ConfigDict(json_schema_extra={"example": {**TOKENS_EXAMPLE, "user": _USER}})

    user: UserRead
