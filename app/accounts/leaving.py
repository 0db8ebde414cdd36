"""How an account goes, whatever belongs to it: first all of that, some rows at a time, and then the account."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from app.accounts import repository
from app.core.database.connection import Transaction
from app.core.database.pool import Database
from app.core.database.statement import Statement

BATCH = 2000
"""Rows that are deleted at a time: few enough for a request's statement."""

FINISHED_AT_A_TIME = 100


async def end_made_before(transaction: Transaction, statements: Sequence[Statement[Any]], user_id: UUID) -> None:
    """Delete what a reset ends, which is little: whoever had the account before may have made it."""
    for statement in statements:
        await transaction.fetch_all(statement, user_id=user_id)


async def finish(database: Database, belongings: Sequence[Statement[UUID]], user_id: UUID) -> None:
    """Delete an account that was closed for good. What was interrupted is finished by doing it again."""
    for statement in belongings:
        while len(await database.fetch_all(statement, user_id=user_id, batch=BATCH)) == BATCH:
            pass
    await database.transact(lambda transaction: repository.delete_user(transaction, user_id))


async def finish_interrupted(database: Database, belongings: Sequence[Statement[UUID]]) -> AsyncIterator[int]:
    """Delete every account that was closed for good and is still there, and yield how many each time."""
    while users := await repository.select_leaving(database, limit=FINISHED_AT_A_TIME):
        for user_id in users:
            await finish(database, belongings, user_id)
        yield len(users)
