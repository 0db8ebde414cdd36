"""What commands have to do with streams: they say of whom they write, and doctor asks whether that is heard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.config import Settings
from app.core.database.pool import Database
from app.live.hints import EVERYBODY, PROBE, Hints, listening_server, read_hint
from app.live.listener import HEARD_SECONDS, LISTEN


@asynccontextmanager
async def telling(settings: Settings, database: Database) -> AsyncIterator[None]:
    """Tell the streams of every process of whom something is written in this block."""
    async with listening_server(settings, database) as server:
        hints = Hints(server, lambda outcome: None)
        database.on_write = hints.add
        async with hints.running():
            yield


async def tell_everybody(settings: Settings, database: Database) -> None:
    """Let every stream look. Those that do not hear of it do so within 20 s."""
    async with listening_server(settings, database) as server:
        await Hints(server, lambda outcome: None).send([EVERYBODY])


async def are_heard(settings: Settings, database: Database) -> bool | None:
    """Return whether what is said is heard, None if nothing can be said. Raises: psycopg.Error."""
    async with listening_server(settings, database) as server:
        hints = Hints(server, lambda outcome: None)
        connection = await server.connect()
        async with connection:
            await connection.execute(LISTEN)
            if not await hints.send([PROBE]):
                return None
            async for notice in connection.notifies(timeout=HEARD_SECONDS):
                if read_hint(notice.payload).sender == hints.sender:
                    return True
    return False
