"""Writers that commit late, in another order than they began, or never; and a client that asks in between."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest
from psycopg.rows import tuple_row

from app.tasks import repository
from tests.support.copies import Copy
from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import running
from tests.support.settings import make_settings

pytestmark = pytest.mark.slow

ROUNDS = rounds(1000, least=200)
WRITERS = 6
IDS = 12  # few, so that they meet: made, changed, deleted and made again at once
SLOWEST_SECONDS = 0.01


class LateWriter:
    """Runs the service's own statements in transactions of any length."""

    def __init__(self, url: str, person: Person, session_id: str, chance: random.Random) -> None:
        self.url, self.chance = url, chance
        self.user_id = UUID(person.user["id"])
        self.session = {"user_id": self.user_id, "session_id": session_id, "token_version": 0}
        self.connection: psycopg.AsyncConnection[Any] | None = None

    async def write(self) -> None:
        """Write one to three times in one transaction, which may end by its commit, its rollback or its death."""
        if self.connection is None or self.connection.closed:
            self.connection = await psycopg.AsyncConnection.connect(self.url, row_factory=tuple_row)
        try:
            for _ in range(self.chance.randint(1, 3)):
                await self._write_one(self.connection)
                await asyncio.sleep(self.chance.random() * SLOWEST_SECONDS)
            await self._end(self.connection)
        except psycopg.errors.DeadlockDetected:
            await self.connection.rollback()

    async def _write_one(self, connection: psycopg.AsyncConnection[Any]) -> None:
        now = (await (await connection.execute("SELECT clock_timestamp()")).fetchone())[0]  # type: ignore[index]  # a row
        task_id = uuid5(self.user_id, str(self.chance.randrange(IDS)))
        task = {"task_id": task_id, "now": now, "versions": None, "excluded": []}
        title = {"title": f"{self.chance.random()}"}
        new = {"description": None, "status": "pending", "priority": "low"}
        change = repository.update_statement(frozenset({"title"}), reopen=False).statement
        statement: Any = self.chance.choice([repository.INSERT_AGAIN, change, change, repository.DELETE])
        await connection.execute(statement.sql, {**self.session, **task, **title, **new})

    async def _end(self, connection: psycopg.AsyncConnection[Any]) -> None:
        fate = self.chance.random()
        if fate < 0.1:
            await connection.rollback()
        elif fate < 0.13:
            await connection.close()  # as when its process is killed
        else:
            await connection.commit()


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
