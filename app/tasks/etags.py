"""Entity tags: `If-Match` and `If-None-Match` over a task's version. Source: RFC 9110 8.8.3 and 13.1."""

import re
from collections.abc import Sequence

_OPAQUE = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"', re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
MAX_LENGTH = 4096
"""A longer list of tags is nobody's, and 64 KiB of them would take 20 ms to read and to send to the database."""


def etag(version: int) -> str:
    return f'"{version}"'


def versions_to_match(if_match: str | None) -> Sequence[int] | None:
    """Give the versions that `If-Match` allows, None for any. A weak tag never matches, garbage neither."""
    if if_match is None or if_match.strip() == "*":
        return None
    if len(if_match) > MAX_LENGTH:
        return []
    return [int(tag) for weak, tag in _OPAQUE.findall(if_match) if not weak and _VERSION.fullmatch(tag)]


def is_unchanged(if_none_match: str | None, version: int) -> bool:
    """Say whether the client has this version already. Weak tags count here."""
    if if_none_match is None or len(if_none_match) > MAX_LENGTH:
        return False
    return if_none_match.strip() == "*" or str(version) in (tag for _, tag in _OPAQUE.findall(if_none_match))
