"""What text may be stored: everything but NUL, which PostgreSQL has no room for, and lone surrogates."""

import re
import unicodedata

from pydantic_core import PydanticCustomError

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
"""The one spelling of RFC 9562 4; Python's UUID() also reads braces, URNs and bare digits."""

# Marks that shape or order text but show nothing by themselves: spaces, controls, joiners, direction marks.
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def storable(text: str) -> str:
    """Raises: PydanticCustomError for what cannot be stored as text."""
    if "\0" in text:
        raise PydanticCustomError("own_nul", "must not contain NUL characters")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise PydanticCustomError("own_string_unicode", "must be text without lone surrogates")
    return text


def visible(text: str) -> str:
    """Raises: PydanticCustomError for text that shows nothing."""
    if all(unicodedata.category(c) in _INVISIBLE for c in text):
        raise PydanticCustomError("own_blank", "must not be blank")
    return text
