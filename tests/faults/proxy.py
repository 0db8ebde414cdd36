"""A proxy on loopback between the service and its database, that delays, slices, cuts and swallows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.server import free_port


@dataclass
class Proxy:
    """What happens to every connection; it may be changed while they are open."""

    target: Path
    port: int = field(default_factory=free_port)
    delay_seconds: float = 0
    slice_bytes: int = 0
    swallow: bool = False
    cut_after_bytes: int | None = None
    links: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, asks = await asyncio.open_unix_connection(str(self.target))
        except OSError:
            writer.close()
            return
        self.links |= {writer, asks}
        both = [asyncio.create_task(self.pump(reader, asks)), asyncio.create_task(self.pump(answers, writer))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, asks):
            self.links.discard(end)
            end.transport.abort()
        for task in both:
            task.cancel()

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if self.swallow:
                continue
            if self.cut_after_bytes is not None:
                left = self.cut_after_bytes - len(data)
                if left <= 0:
                    sink.write(data[: self.cut_after_bytes])
                    self.cut_after_bytes = None
                    return
                self.cut_after_bytes = left
            step = self.slice_bytes or len(data)
            for start in range(0, len(data), step):
                sink.write(data[start : start + step])
                await sink.drain()
                if self.slice_bytes:
                    await asyncio.sleep(0)

    def cut(self) -> None:
        """End every connection at once, without a goodbye."""
        for link in list(self.links):
            link.transport.abort()


@asynccontextmanager
async def proxied(target: Path) -> AsyncIterator[Proxy]:
    """Stand before a database's socket."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
