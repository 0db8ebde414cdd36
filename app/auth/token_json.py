"""The JSON of tokens: written compactly, and read strictly."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from app.auth.errors import InvalidToken


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Reject a name that stands twice: parsers differ in which one they take (RFC 7515 4)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidToken
    return members


from_json = json.JSONDecoder(object_pairs_hook=_unique).decode
to_json = msgspec.json.Encoder().encode  # in UTF-8: a long address in Unicode must fit
