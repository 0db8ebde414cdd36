"""What text may be stored: everything but NUL, which PostgreSQL has no room for, and lone surrogates."""

import re

from pydantic_core import PydanticCustomError

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
"""The one spelling of RFC 9562 4; Python's UUID() also reads braces, URNs and bare digits."""

NO_NUL = r"^[^\x00]*$"
"""What a schema can say of storable text."""

# Spaces, controls, joiners, direction marks: they shape or order text, but show nothing by themselves.
_INVISIBLE = (
    r"\s\x00-\x20\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
)
VISIBLE = rf"^[^\x00]*[^{_INVISIBLE}][^\x00]*$"
"""Text that shows something; written so that Python and JavaScript read it alike."""

_VISIBLE = re.compile(VISIBLE)
_SURROGATE = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """Raises: PydanticCustomError for what cannot be stored as text."""
    if "\0" in text:
        raise PydanticCustomError("own_nul", "must not contain NUL characters")
    if _SURROGATE.search(text):
        raise PydanticCustomError("own_string_unicode", "must be text without lone surrogates")
    return text


def visible(text: str) -> str:
    """Raises: PydanticCustomError for text that shows nothing."""
    if not _VISIBLE.match(text):
        raise PydanticCustomError("own_blank", "must not be blank")
    return text
