"""A machine dies, a switchover, and a dead manager, with Patroni: what docs/scaling.md says of them."""

import asyncio
from pathlib import Path

import pytest

from app.core.database.hosts import LOOK_SECONDS
from tests.faults.load import Acknowledged, Writer, check, more_written, writing
from tests.machines.patroni import TTL_SECONDS, Managed, Managers, managed, needs_patroni
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.alone, needs_patroni]

# The lease runs out, the standbys ask each other, one is promoted, and the service finds it.
SECONDS = TTL_SECONDS + 15


async def first_success(writers: list[Writer], after: float) -> float:
    """Wait for an answer to a request that came after that moment, and return how long that took."""
    loop_time = asyncio.get_running_loop().time
    while not any(writer.answered_at > after for writer in writers):
        assert loop_time() - after < SECONDS
        await asyncio.sleep(0.02)
    return min(writer.answered_at for writer in writers if writer.answered_at > after) - after


async def another(three: Managers, than: Managed) -> Managed:
    """Wait until another holds the lease."""
    for _ in range(10 * SECONDS):
        primary = await asyncio.to_thread(three.primary)
        if primary is not than:
            return primary
        await asyncio.sleep(0.1)
    raise AssertionError("no other primary")


async def test_patroni_moves_the_primary_and_nothing_is_lost(folder: Path, tmp_path: Path) -> None:
    """The same process goes on at the new primary, and with `synchronous_mode` nothing acknowledged is lost."""
    known, loop_time = Acknowledged(), asyncio.get_running_loop().time
    with managed(folder) as three, serving(tmp_path, DATABASE_URL=three.url, LOG_LEVEL="WARNING") as server:
        async with writing(server.url, known) as writers:
            await more_written(known, 50)
            dead = await asyncio.to_thread(three.primary)
            await asyncio.to_thread(dead.kill_all)
            died = await first_success(writers, loop_time() + 0.1)
            await more_written(known, 50)
            await asyncio.to_thread(dead.manage)
            await asyncio.to_thread(three.wait_until_whole)

            began = loop_time()
            switching = asyncio.create_task(asyncio.to_thread(three.switch_over))
            before = await asyncio.to_thread(three.primary)
            await switching
            switched = await first_success(writers, loop_time())
            took = loop_time() - began
            await asyncio.to_thread(three.wait_until_whole)
            await more_written(known, 50)

            old = await asyncio.to_thread(three.primary)
            assert old is not before
            await asyncio.to_thread(old.kill_manager)
            began = loop_time()
            new = await another(three, than=old)
            promoted = loop_time()
            left = await first_success(writers, promoted + LOOK_SECONDS)
            await more_written(known, 100)
            assert not old.ask("SELECT pg_is_in_recovery()"), "nothing has stopped it: there is no watchdog"
        await check(new.url, server.url, known, moved=True)
    print(
        f"Patroni, ttl {TTL_SECONDS} s: after a machine's death the first success came after {died:.1f} s; "
        f"a switchover took {took:.1f} s; after a manager's death another was promoted after {promoted - began:.1f} s, "
        f"and was written to within {LOOK_SECONDS + left:.1f} s"
    )
    assert switched < 5
