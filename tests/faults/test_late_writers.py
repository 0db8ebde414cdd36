"""Writers that commit late, in another order than they began, or never; and a client that asks in between."""

import asyncio
import random
from typing import Any

import psycopg
import pytest

from tests.faults.late_writers import SLOWEST_SECONDS, LateWriter
from tests.support.copies import Copy
from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import running
from tests.support.settings import make_settings

pytestmark = pytest.mark.slow

ROUNDS = rounds(1000, least=200)
WRITERS = 6


async def test_a_copy_is_what_the_table_is_in_a_thousand_rounds(own_database_url: str) -> None:
    """However writers overlap, a client that asks again and again has what is there. Source: FR-059."""
    chance = random.Random(12)
    asked = 0
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        ((session_id,),) = await rows(own_database_url, "SELECT id FROM sessions")
        writers = [LateWriter(own_database_url, ada, session_id, chance) for _ in range(WRITERS)]
        copies = [Copy(ada), Copy(ada)]
        for number in range(ROUNDS):
            writing = asyncio.gather(*(writer.write() for writer in writers))
            while not writing.done():
                await copies[0].pull()
                asked += 1
                await asyncio.sleep(chance.random() * SLOWEST_SECONDS)
            await writing
            truth = await copies[0].truth()
            for copy in copies[: 1 + (number % 10 == 0)]:  # the other asks seldom
                await copy.pull()
                assert copy.tasks == truth, f"round {number}"
        for writer in writers:
            if writer.connection:
                await writer.connection.close()
        dead = await rows(own_database_url, "SELECT count(*) FROM task_tombstones")
    print(f"{ROUNDS} rounds of {WRITERS} writers, {asked} questions in between, {dead[0][0]} tombstones: 0 differ")
    assert asked >= ROUNDS
    assert dead[0][0] > 0


async def rows(url: str, query: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await (await connection.execute(query)).fetchall()
