"""Writers of one user's tasks that commit late, in another order than they began, or never."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid5

import psycopg
from psycopg.rows import tuple_row

from app.tasks import repository
from tests.support.people import Person

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
        connection = await self.connect()
        try:
            for _ in range(self.chance.randint(1, 3)):
                await self.write_one(connection)
                await asyncio.sleep(self.chance.random() * SLOWEST_SECONDS)
            await self.end(connection)
        except psycopg.errors.DeadlockDetected:
            await connection.rollback()

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        if self.connection is None or self.connection.closed:
            self.connection = await psycopg.AsyncConnection.connect(self.url, row_factory=tuple_row)
        return self.connection

    async def write_one(self, connection: psycopg.AsyncConnection[Any]) -> None:
        now = (await (await connection.execute("SELECT clock_timestamp()")).fetchone())[0]  # type: ignore[index]  # a row
        task = {"task_id": uuid5(self.user_id, str(self.chance.randrange(IDS))), "now": now}
        task |= {"versions": None, "excluded": []}
        title = {"title": f"{self.chance.random()}"}
        new = {"description": None, "status": "pending", "priority": "low"}
        change = repository.update_statement(frozenset({"title"}), reopen=False).statement
        statement: Any = self.chance.choice([repository.INSERT_AGAIN, change, change, repository.DELETE])
        await connection.execute(statement.sql, {**self.session, **task, **title, **new})

    async def end(self, connection: psycopg.AsyncConnection[Any]) -> None:
        fate = self.chance.random()
        if fate < 0.1:
            await connection.rollback()
        elif fate < 0.13:
            await connection.close()  # as when its process is killed
        else:
            await connection.commit()
