"""The bodies of the auth routes. What is sent is written by `core/http/json.py`, as these document it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, SecretStr
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from app.accounts.emails import normalise_email
from app.auth.models import DEVICE_LENGTH, NAME_LENGTH
from app.auth.passwords import MAX_INPUT_LENGTH, MAX_LENGTH, MIN_LENGTH, normalise_password
from app.core.fields import NO_NUL, storable
from app.core.http.error_responses import Problem


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


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


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
Name = Annotated[_Name | None, BeforeValidator(_blank_is_none)]
_Device = Annotated[
    str, Field(max_length=DEVICE_LENGTH, json_schema_extra={"pattern": NO_NUL}), AfterValidator(storable)
]
Device = Annotated[
    _Device | None,
    BeforeValidator(_blank_is_none),
    Field(description="What to call this device in the list of sessions; otherwise its User-Agent."),
]


# For the document.
_REFRESH_TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.x"
_TOKENS: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0eXBlIjoiYWNjZXNzIn0.x",
    "refresh_token": _REFRESH_TOKEN,
    "token_type": "bearer",
    "expires_in": 900,
}
_USER: dict[str, Any] = {
    "id": "9b2d8b1e-3a53-4c3f-8a6e-0f1f0c7f2a10",
    "email": "ada@example.com",
    "name": "Ada",
    "created_at": "2026-01-07T10:00:00.123456Z",
}


def _no_default(schema: dict[str, Any]) -> None:
    """Document a member as one that may be missing, never as null."""
    schema.pop("default", None)


class Body(BaseModel):
    """A request body: JSON types as they are, unknown members ignored."""

    model_config = ConfigDict(strict=True)


WantsCookie = Annotated[
    bool,
    Field(description="For pages: put the refresh token into a cookie that no script can read, not into the body."),
]


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
    refresh_token: Annotated[
        str | None,
        Field(description="A refresh token of this account, used or expired: this device has failures of its own."),
    ] = None
    cookie: WantsCookie = False


class RefreshBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": _REFRESH_TOKEN}})

    refresh_token: Annotated[str | None, Field(description="Required, unless it is in the cookie.")] = None
    cookie: WantsCookie = False


class SignOutBody(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": _REFRESH_TOKEN, "everywhere": False}})

    refresh_token: Annotated[str | None, Field(description="Without it the one in the cookie is taken.")] = None
    everywhere: Annotated[bool, Field(description="End all sessions, this one too.")] = False
    others: Annotated[bool, Field(description="End all sessions but this one.")] = False


class TokenForm(BaseModel):
    """An OAuth 2 token request. Source: RFC 6749 4.3.2 and 6."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"grant_type": "password", "username": "ada@example.com", "password": "correct horse"}
        }
    )

    grant_type: Annotated[str, Field(description="`password` or `refresh_token`.")]
    username: Annotated[str | None, Field(description="The e-mail address, for `password`.")] = None
    password: Annotated[str | None, Field(json_schema_extra={"format": "password"})] = None
    refresh_token: Annotated[str | None, Field(description="For `refresh_token`.")] = None
    device: Device = None


class OAuthProblem(Problem):
    """An error with RFC 6749 5.2's `error` where OAuth has a word for it."""

    error: str | None = None


class UserRead(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _USER})

    id: UUID
    email: str
    name: str | None
    created_at: datetime


class TokenRead(BaseModel):
    """Two tokens; `expires_in` is the access token's life in seconds. Source: RFC 6749 5.1."""

    model_config = ConfigDict(json_schema_extra={"example": _TOKENS})

    access_token: str
    refresh_token: Annotated[
        str | SkipJsonSchema[None],
        Field(description="Left out where it is in the cookie.", json_schema_extra=_no_default),
    ] = None
    token_type: Literal["bearer"] = "bearer"
    expires_in: int


class SignedInRead(TokenRead):
    model_config = ConfigDict(json_schema_extra={"example": {**_TOKENS, "user": _USER}})

    user: UserRead


class Detail(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"detail": "Signed out."}})

    detail: str
