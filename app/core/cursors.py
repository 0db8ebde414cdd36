"""Cursors: where a client has come to, as text that it sends back unread."""

from base64 import b64decode, urlsafe_b64encode
from typing import TypeVar

import msgspec

from app.core.errors import ValidationFailed

T = TypeVar("T", bound=msgspec.Struct)


class InvalidCursor(ValidationFailed):
    """The cursor was not given here, or belongs to another list."""

    def __init__(self, field: str) -> None:
        super().__init__([{"field": field, "message": "is not one that was given here", "code": "cursor"}])


def encode_cursor(cursor: msgspec.Struct) -> str:
    """Write a cursor as clients keep it."""
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def decode_cursor(text: str, kind: type[T], *, field: str) -> T:
    """Read a cursor of this kind from the parameter of this name. Raises: InvalidCursor."""
    try:
        return msgspec.json.decode(b64decode(text, b"-_", validate=True), type=kind)
    except (ValueError, RecursionError) as error:
        raise InvalidCursor(field) from error
