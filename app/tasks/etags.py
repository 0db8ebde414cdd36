"""Entity tags: `If-Match` and `If-None-Match` over a task's version. Source: RFC 9110 8.8.3 and 13.1."""

import re
from collections.abc import Sequence

_OPAQUE = re.compile(r'([Ww]/)?"([\x21\x23-\x7e\x80-\xff]*)"', re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
MAX_LENGTH = 4096
"""No client needs a longer list of tags, and 64 KiB of them would take 20 ms to read and to send to the database."""


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def versions_to_match(if_match: Sequence[str]) -> Sequence[int] | None:
    """Return the versions that the lines of `If-Match` allow, None for any. Weak tags and garbage never match."""
    tags = ", ".join(if_match)
    if tags.strip() == "*":
        return None
    if len(tags) > MAX_LENGTH:
        return []
    return [int(tag) for weak, tag in _OPAQUE.findall(tags) if not weak and _VERSION.fullmatch(tag)]


def is_unchanged(if_none_match: Sequence[str] | None, version: int) -> bool:
    """Return whether the client has this version already, by the lines of `If-None-Match`. Weak tags count here."""
    tags = ", ".join(if_none_match or ())
    if len(tags) > MAX_LENGTH:
        return False
    return tags.strip() == "*" or str(version) in (tag for _, tag in _OPAQUE.findall(tags))
