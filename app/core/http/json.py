"""The one writer of JSON: rows as the objects that a schema documents, and streamed lists of them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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


def list_response(
    writer: RowWriter,
    rows: Sequence[Row],
    more: AsyncIterator[Sequence[Row]] | None = None,
    *,
    opening: bytes = b"[",
    ending: Callable[[int], bytes] = lambda count: b"]",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a list in JSON, batch by batch if there is more; `ending` gets the number of rows written."""
    if more is None:
        return Response(opening + writer.members(rows) + ending(len(rows)), 200, headers, MEDIA_TYPE)

    async def write() -> AsyncIterator[bytes]:
        count = len(rows)
        yield opening + writer.members(rows)
        async for batch in more:
            count += len(batch)
            yield b"," + writer.members(batch)
        yield ending(count)

    return StreamingResponse(write(), 200, headers, MEDIA_TYPE)


class LongArray(NamedTuple):
    """An array whose first batch is there, and how the others are got and each is written."""

    first: Sequence[Any]
    more: AsyncIterator[Sequence[Any]] | None
    members: Callable[[Sequence[Any]], bytes]


def object_response(**content: LongArray | str) -> Response:
    """Return an object in JSON, batch by batch if one of its arrays has more than one."""
    if not any(isinstance(value, LongArray) and value.more for value in content.values()):
        members = (f'"{name}":'.encode() + _whole(value) for name, value in content.items())
        return Response(b"{" + b",".join(members) + b"}", media_type=MEDIA_TYPE)

    async def write() -> AsyncIterator[bytes]:
        opening = b"{"
        for name, value in content.items():
            yield opening + f'"{name}":'.encode()
            async for part in _parts(value):
                yield part
            opening = b","
        yield b"}"

    return StreamingResponse(write(), media_type=MEDIA_TYPE)


def _whole(value: LongArray | str) -> bytes:
    return b"[" + value.members(value.first) + b"]" if isinstance(value, LongArray) else encode(value)


async def _parts(value: LongArray | str) -> AsyncIterator[bytes]:
    if isinstance(value, str) or value.more is None:
        yield _whole(value)
        return
    yield b"[" + value.members(value.first)
    async for batch in value.more:
        yield b"," + value.members(batch)
    yield b"]"
