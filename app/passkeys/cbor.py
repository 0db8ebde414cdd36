"""Reads what an authenticator may write in CBOR, and nothing else of it. Source: CTAP 2.1, 8.

A general reader also makes numbers, dates and patterns of tagged values, some of which take seconds. So whatever is
handed to one was read by this one first, in one go over its bytes.
"""

from typing import Any

MOST_NESTED = 4
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_SIMPLE = {20: False, 21: True, 22: None}


class InvalidCbor(Exception):
    """It is not what an authenticator writes."""


def read_cbor(data: bytes, start: int = 0) -> tuple[Any, int]:
    """Return the value that begins there, and where it ends. Raises: InvalidCbor."""
    return _read(data, start, MOST_NESTED)


def _read(data: bytes, at: int, levels: int) -> tuple[Any, int]:
    if at >= len(data):
        raise InvalidCbor
    kind, short = data[at] >> 5, data[at] & 0x1F
    if kind == 7:
        if short not in _SIMPLE:
            raise InvalidCbor
        return _SIMPLE[short], at + 1
    number, at = _number(data, at + 1, short)
    match kind:
        case 0:
            return number, at
        case 1:
            return -1 - number, at
        case 2 | 3 if at + number <= len(data):
            content = data[at : at + number]
            return (content if kind == 2 else _text(content)), at + number
        case 4 | 5 if levels and number <= len(data) - at:  # each member takes a byte at least
            return _members(data, at, number, levels - 1, is_map=kind == 5)
    raise InvalidCbor


def _number(data: bytes, at: int, short: int) -> tuple[int, int]:
    if short < 24:
        return short, at
    length = _LENGTHS.get(short)
    if length is None or at + length > len(data):
        raise InvalidCbor
    return int.from_bytes(data[at : at + length], "big"), at + length


def _members(data: bytes, at: int, count: int, levels: int, *, is_map: bool) -> tuple[Any, int]:
    found: list[Any] = []
    for _ in range(count * 2 if is_map else count):
        member, at = _read(data, at, levels)
        found.append(member)
    if not is_map:
        return found, at
    names = found[::2]
    if not all(type(name) in (int, str) for name in names) or len(set(names)) < count:
        raise InvalidCbor
    return dict(zip(names, found[1::2], strict=True)), at


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidCbor from None
