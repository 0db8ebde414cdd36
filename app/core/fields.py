"""Types for the fields of request bodies, and what text may be stored.

Bodies are strict, so that `"1"` is no number and `1` no text. Strict pydantic also refuses text where a date, a time or
an id is wanted, although JSON has no other way to write them: the types below read it.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Body(BaseModel):
    """A request body: JSON types as they are, unknown members ignored."""

    model_config = ConfigDict(strict=True)


class QueryFields(BaseModel):
    """Query parameters, all optional. One that is empty counts as not sent: forms send every field."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, sent: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in sent.items() if value != ""}


def empty_is_none(value: Any) -> Any:
    """Return the value, None for text that is empty."""
    return None if value == "" else value


UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
"""The one spelling of RFC 9562 4; Python's UUID() also reads braces, URNs and bare digits."""

NO_NUL = r"^[^\x00]*$"
"""The pattern that documents storable text: PostgreSQL has no room for NUL."""

# Spaces, controls, joiners, direction marks: they shape or order text, but show nothing by themselves.
_INVISIBLE = (
    r"\s\x00-\x20\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
)
VISIBLE = rf"^[^\x00]*[^{_INVISIBLE}][^\x00]*$"
"""Text that shows something; written so that Python and JavaScript read it alike."""

_VISIBLE = re.compile(VISIBLE)
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
    if not _VISIBLE.match(text):
        raise PydanticCustomError("own_blank", "must not be blank")
    return text


def blank_is_none(value: Any) -> Any:
    """Return the value, None for text that is blank."""
    return None if isinstance(value, str) and not value.strip() else value


_NO_ID = UUID(int=0)


def path_id(text: Any) -> UUID:
    """Read an id in a path; text that is none becomes the id of nothing, so that the error is the same."""
    return UUID(text) if UUID_TEXT.fullmatch(text) else _NO_ID


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
