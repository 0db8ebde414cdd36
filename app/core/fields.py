"""Types for the fields of request bodies, and what text may be stored.

Bodies are strict, so that `"1"` is no number and `1` no text. Strict pydantic also refuses text where a date, a time or
an id is wanted, although JSON has no other way to write them: the types below read it.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Body(BaseModel):
    """A request body: JSON types as they are, unknown members ignored."""

    model_config = ConfigDict(strict=True)


class QueryFields(BaseModel):
    """Query parameters, all optional. One that is empty counts as not sent: forms send every field."""

    model_config = ConfigDict(frozen=True)  # who sends none shares one with all who do

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, sent: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in sent.items() if value != ""}


def empty_is_none(value: Any) -> Any:
    """Return the value, None for text that is empty."""
    return None if value == "" else value


def whole(value: Any) -> Any:
    """Return the value, 90 for 90.0: JSON has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
"""The one spelling of RFC 9562 4; Python's UUID() also reads braces, URNs and bare digits."""

NO_NUL = r"^[^\x00]*$"
"""The pattern that documents storable text: PostgreSQL has no room for NUL."""

# Unicode's White_Space, Default_Ignorable_Code_Point, Cc and Cf, without the formats that are drawn before a number
# (Prepended_Concatenation_Mark), and Braille's blank.
_INVISIBLE = [
    *[(0x0, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x1680, 0x1680)],
    *[(0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x2800, 0x2800)],
    *[(0x3000, 0x3000), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB)],
    *[(0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)],
]
SHOWS_NOTHING = "".join(chr(code) for first, last in _INVISIBLE for code in range(first, last + 1))
"""The characters that shape, order or separate text but show nothing by themselves."""

_SHORT_CODES = "".join(rf"\u{first:04x}-\u{last:04x}" for first, last in _INVISIBLE if last <= 0xFFFF)
VISIBLE = rf"^[^\x00]*[^{_SHORT_CODES}][^\x00]*$"
"""The pattern that documents text which shows something. Python and JavaScript read it alike, with its flag u or not:
that is why it leaves out the code points beyond U+FFFF, for which they have no common spelling."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text. Raises: PydanticCustomError if it cannot be stored."""
    if "\0" in text:
        raise PydanticCustomError("own_nul", "must not contain NUL characters")
    if _SURROGATE.search(text):
        raise PydanticCustomError("own_string_unicode", "must be text without lone surrogates")
    return text


def visible(text: str) -> str:
    """Return the text. Raises: PydanticCustomError if it shows nothing."""
    if not text.strip(SHOWS_NOTHING):
        raise PydanticCustomError("own_blank", "must not be blank")
    return text


def blank_is_none(value: Any) -> Any:
    """Return the value, None for text that shows nothing."""
    return None if isinstance(value, str) and not value.strip(SHOWS_NOTHING) else value


_NO_ID = UUID(int=0)


def path_id(text: Any) -> UUID:
    """Read an id in a path; text that is none becomes the id of nothing, so that the error is the same."""
    return msgspec.convert(text, UUID) if UUID_TEXT.fullmatch(text) else _NO_ID


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


def _reader(pattern: re.Pattern[str], read: Callable[[str], Any], code: str, message: str) -> BeforeValidator:
    """Make a validator that reads text of this form and rejects everything else."""

    def validate(value: Any) -> Any:
        if isinstance(value, str) and pattern.fullmatch(value):
            try:
                return read(value)
            except (ValueError, OverflowError):  # the 31st of February; a time zone beyond the year 9999
                pass
        raise PydanticCustomError(f"own_{code}", message)

    return BeforeValidator(validate)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


Date = Annotated[date, _reader(_DATE, date.fromisoformat, "date", "must be a date such as 2026-01-31")]
"""RFC 3339's full-date."""

Instant = Annotated[
    datetime, _reader(_INSTANT, _utc, "date_time", "must be a time such as 2026-01-31T10:00:00Z, with its offset")
]
"""RFC 3339's date-time, read as UTC."""

Id = Annotated[UUID, _reader(UUID_TEXT, UUID, "uuid", "must be a UUID")]
"""A UUID in the one spelling of RFC 9562."""
