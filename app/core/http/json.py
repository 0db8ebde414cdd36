"""The one writer of JSON: rows as the objects that a schema documents, and streamed lists of them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from app.core.database.statement import Row

MEDIA_TYPE = "application/json"

encode = msgspec.json.Encoder().encode
"""Return compact UTF-8; timestamps must be in UTC and end in Z."""


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

    def shape(self, row: Row) -> object:
        """Return a row with the schema's members alone, ready to be encoded."""
        return row if self._is_whole else self._shaped(*self._pick(row))

    def members(self, rows: Sequence[Row]) -> bytes:
        """Return rows as the members of an array, without its brackets."""
        shaped = rows if self._is_whole else [self.shape(row) for row in rows]
        return encode(shaped)[1:-1]


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
