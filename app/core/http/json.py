"""The one writer of JSON: rows as the objects that a schema documents, and streamed lists of them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, get_type_hints

import msgspec
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from app.core.database.statement import Row

MEDIA_TYPE = "application/json"

_encode = msgspec.json.Encoder().encode


def encode(content: object) -> bytes:
    """Return compact UTF-8; timestamps must be in UTC, end in Z and have six digits of a fraction."""
    return _encode(_with_fractions(content))


def instant(moment: datetime) -> str:
    """Write a moment of UTC with all six digits of its fraction, which strict parsers want."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _with_fractions(content: Any) -> Any:
    """Return content in which whole seconds, which msgspec would write without a fraction, are text.

    In a list nothing is looked at unless its first member can have a moment.
    """
    if isinstance(content, Row):
        whole = _whole_seconds(content, _moments(type(content)))
        return msgspec.structs.asdict(content) | whole if whole else content
    if isinstance(content, datetime):
        return content if content.microsecond else instant(content)
    if isinstance(content, dict):
        return {name: _with_fractions(value) for name, value in content.items()}
    if isinstance(content, list) and content and isinstance(content[0], Row | dict | datetime):
        return [_with_fractions(member) for member in content]
    return content


@cache
def _moments(row: type[Row]) -> Sequence[str]:
    """Return the names of the fields that are moments."""
    return [name for name, kind in get_type_hints(row).items() if kind in (datetime, datetime | None)]


def _whole_seconds(row: Row, names: Sequence[str]) -> dict[str, str]:
    """Return the moments of whole seconds, by their names, as they are to be written."""
    found = {}
    for name in names:
        moment: datetime | None = getattr(row, name)
        if moment and not moment.microsecond:
            found[name] = instant(moment)
    return found


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return content in JSON: rows, containers and plain values."""
    return Response(encode(content), status, headers, MEDIA_TYPE)


class RowWriter:
    """Writes rows as a schema documents them: the same members in the same order, others left out."""

    def __init__(self, schema: type[BaseModel], row: type[Row]) -> None:
        names = tuple(schema.model_fields)
        self._pick = attrgetter(*names)
        self._shaped = msgspec.defstruct(schema.__name__, names, gc=False)
        self._is_whole = names == row.__struct_fields__
        self._moments = [name for name in _moments(row) if name in names]

    def shape(self, row: Row) -> object:
        """Return a row with the schema's members alone, for `encode`."""
        if self._is_whole:
            return row
        shaped = self._shaped(*self._pick(row))
        for name, text in _whole_seconds(row, self._moments).items():
            setattr(shaped, name, text)
        return shaped

    def members(self, rows: Sequence[Row]) -> bytes:
        """Return rows as the members of an array, without its brackets."""
        if self._is_whole:
            return (encode(list(rows)) if self._has_whole_second(rows) else _encode(rows))[1:-1]
        return _encode([self.shape(row) for row in rows])[1:-1]

    def _has_whole_second(self, rows: Sequence[Row]) -> bool:
        """Return whether msgspec would leave out a fraction."""
        for name in self._moments:
            for moment in map(attrgetter(name), rows):
                if moment is not None and not moment.microsecond:
                    return True
        return False


class LongArray(NamedTuple):
    """An array whose first batch is there, how the others are got, and how each is written."""

    first: Sequence[Any]
    more: AsyncIterator[Sequence[Any]] | None
    members: Callable[[Sequence[Any]], bytes]


Part = bytes | LongArray | Callable[[int], bytes]
"""A piece of JSON; a function gets the number of rows that stand before it."""


async def parts_response(*parts: Part, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON made of these parts, sent batch by batch if an array has more than one."""
    written = _write(parts)
    if any(isinstance(part, LongArray) and part.more for part in parts):
        return StreamingResponse(written, 200, headers, MEDIA_TYPE)
    return Response(b"".join([piece async for piece in written]), 200, headers, MEDIA_TYPE)


async def _write(parts: Iterable[Part]) -> AsyncIterator[bytes]:
    count = 0
    for part in parts:
        if isinstance(part, LongArray):
            count += len(part.first)
            yield b"[" + part.members(part.first)
            if part.more:
                async for batch in part.more:
                    count += len(batch)
                    yield b"," + part.members(batch)
            yield b"]"
        else:
            yield part(count) if callable(part) else part
