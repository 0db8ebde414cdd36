"""Does what people do, the way the service does it: a sign-up, a session and a task, all of which is undone."""

import asyncio
import os
from collections.abc import Iterator
from uuid import uuid4

import psycopg

from app.accounts.repository import INSERT_USER
from app.auth.active_session import caller
from app.auth.passwords import PasswordHasher
from app.auth.principal import Principal
from app.core.clock import stopwatch, system_clock
from app.core.config import Settings
from app.core.database.connection import Transaction
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.database.trouble import why
from app.core.errors import ApiError
from app.core.rate_limits.limits import make_limiter
from app.operations.doctor import Finding
from app.sessions.repository import BEGIN
from app.tasks.models import DESCRIPTION_LENGTH
from app.tasks.repository import INSERT

HASH_SECONDS = 0.5
ADDRESS = "doctor"


class _Undone(Exception):
    """Rolls the transaction back."""


def try_out(settings: Settings) -> Iterator[Finding]:
    """Yield what was found of the hashes, the counters, the writes and the streams."""
    yield from asyncio.run(_try_out(settings))


async def _try_out(settings: Settings) -> list[Finding]:
    database = Database(settings.dsn, pool_min=1, pool_max=1)
    await database.open()
    try:
        found = [await _hash(settings), await _count(settings, database), await _write(database)]
        return [*found, await _live(settings, database)]
    finally:
        await database.close()


async def _hash(settings: Settings) -> Finding:
    passwords = PasswordHasher(cost=settings.password_hash_cost, queue_seconds=settings.hash_queue_seconds)
    began = stopwatch()
    try:
        await passwords.hash("correct horse", client=ADDRESS)
    except Exception as error:  # whatever it is, it would be a 500
        how = f"fails, so that nobody can sign in: {type(error).__name__}"
        return Finding("fail", "hashing", how)
    finally:
        passwords.close()
    seconds = stopwatch() - began
    how = f"{seconds * 1000:.0f} ms at cost {settings.password_hash_cost}"
    if seconds > HASH_SECONDS:
        return Finding("warn", "hashing", f"{how}: a sign-in takes longer than {HASH_SECONDS:g} s here")
    return Finding("ok", "hashing", how)


async def _count(settings: Settings, database: Database) -> Finding:
    limiter = make_limiter(settings, database, system_clock)
    where = "in Redis" if settings.rate_limit_storage else "in the database"
    try:
        await limiter.hit("doctor", uuid4().hex, settings.rate_limit_signin_address)
    except DatabaseUnavailable as error:
        return Finding("fail", "limits", f"cannot be counted: the database {error.reason}")
    except ApiError:
        how = "cannot be counted, so that nobody can sign in: Redis at RATE_LIMIT_STORAGE does not answer"
        return Finding("fail", "limits", how)
    finally:
        await limiter.close()
    return Finding("ok", "limits", "are off" if settings.rate_limits == "off" else f"are counted {where}")


async def _write(database: Database) -> Finding:
    try:
        await database.transact(_sign_up_and_add)
    except _Undone:
        return Finding("ok", "writes", "an account, a session and a task could be written, and are gone again")
    except DatabaseUnavailable as error:
        return Finding("fail", "writes", f"the database {error.reason}")
    raise AssertionError


async def _live(settings: Settings, database: Database) -> Finding:
    if not settings.live_streams:
        return Finding("ok", "live", "is off: clients ask now and then")
    from app.live.operators import are_heard  # a room that may be switched off

    try:
        is_heard = await are_heard(settings, database)
    except psycopg.Error as error:
        reason = why(error, settings.listen_dsn or settings.dsn).replace("DATABASE_URL", "DATABASE_LISTEN_URL")
        return Finding("warn", "live", f"nobody can listen: the database {reason}")
    if is_heard is None:
        return Finding(
            "warn", "live", "hints cannot be said: let the role of DATABASE_URL EXECUTE pg_notify(text, text)"
        )
    if not is_heard:
        remedy = "name a direct way past the pooler in DATABASE_LISTEN_URL"
        return Finding("warn", "live", f"hints are not heard, so that streams look every 5 s: {remedy}")
    return Finding("ok", "live", "what happens is told at once")


async def _sign_up_and_add(transaction: Transaction) -> None:
    """Write what a sign-up and a task write. The text is long and random: a full disk has no room for it."""
    now, me = system_clock(), Principal(uuid4(), uuid4(), 0, system_clock())
    email = f"{me.user_id}@doctor.invalid"
    await transaction.fetch_one(INSERT_USER, user_id=me.user_id, email=email, name=None, new_hash="", now=now)
    begun = {"session_id": me.session_id, "device": "doctor", "proven_version": 0, "now": now}
    await transaction.fetch_one(BEGIN, user_id=me.user_id, **begun)
    text = os.urandom(DESCRIPTION_LENGTH // 2).hex()
    values = {"title": "doctor", "description": text, "status": "pending", "priority": "low"}
    if not await transaction.fetch_one(INSERT, **caller(me), task_id=uuid4(), now=now, **values):
        raise AssertionError
    raise _Undone
