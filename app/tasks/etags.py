"""Entity tags: `If-Match` and `If-None-Match` over a task's version. Source: RFC 9110 8.8.3 and 13.1."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_OPAQUE = re.compile(r'(?:[Ww]/)?"([\x21\x23-\x7e\x80-\xff]*)"', re.ASCII)
# A proxy that compresses weakens the tag (nginx, HAProxy) or adds the coding (Apache, Caddy, Jetty). It is the same
# version all the same, for no other state of the task has it, so that comparing it strongly would protect nothing.
_VERSION = re.compile(r"([1-9][0-9]{0,8})(?:(?:--?|;)(?:gzip|br|zstd|deflate))?", re.ASCII)
MAX_LENGTH = 4096
"""No client needs a longer list of tags, and 64 KiB of them would take 20 ms to read and to send to the database."""


class Precondition(NamedTuple):
    """The versions that a write is meant for, None for any; and those that it must not find, None for all."""

    versions: Sequence[int] | None = None
    excluded: Sequence[int] | None = []


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def read_precondition(if_match: Sequence[str] | None, if_none_match: Sequence[str] | None) -> Precondition:
    """Return what the lines of the two headers ask for."""
    versions, excluded = _read(if_match), _read(if_none_match)
    return Precondition(
        versions=None if versions is None or versions.any else versions.numbers,
        excluded=[] if excluded is None else None if excluded.any or excluded.is_too_long else excluded.numbers,
    )


def is_unchanged(if_none_match: Sequence[str] | None, version: int) -> bool:
    """Return whether the client has this version already, by the lines of `If-None-Match`."""
    tags = _read(if_none_match)
    return tags is not None and (tags.any or version in tags.numbers)


class _Tags(NamedTuple):
    any: bool
    numbers: Sequence[int]
    is_too_long: bool


def _read(lines: Sequence[str] | None) -> _Tags | None:
    if lines is None:
        return None
    tags = ", ".join(lines)
    if len(tags) > MAX_LENGTH:
        return _Tags(any=False, numbers=[], is_too_long=True)
    versions = [int(found[1]) for tag in _OPAQUE.findall(tags) if (found := _VERSION.fullmatch(tag))]
    return _Tags(any=tags.strip() == "*", numbers=versions, is_too_long=False)
