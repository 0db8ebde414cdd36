"""A thief who has copied the whole file of tokens, the key too: found at the owner's next refresh."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from auth_tasks_client import SignedOut, TasksClient, TokenStore
from tests.client.between import InProcess
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, new_email
from tests.support.server import Service

ACCESS_TOKEN_IS_OLD = {"minutes": 16}
AT_ONCE = {"seconds": 0}


class Device:
    """A file of tokens and a way to the service, as the program `agent`."""

    def __init__(self, store: TokenStore, transport: InProcess) -> None:
        self.store, self.transport = store, transport
        self.told: list[str] = []

    async def works(self) -> bool:
        """Look at the tasks, with new tokens if the old ones are refused; return whether the session goes on."""
        return await asyncio.to_thread(self._works)

    def _works(self) -> bool:
        with TasksClient(self.store, transport=self.transport) as client:
            try:
                return client.tasks() == []
            except SignedOut as over:
                self.told.append(str(over))
                return False


@pytest.fixture
async def owner(service: Service, clock: FrozenClock, store: TokenStore) -> AsyncIterator[Device]:
    """Somebody who has signed in, with the service's leeway as it is by default."""
    async with service(clock=clock, refresh_reuse_leeway_seconds=10) as client:
        transport = InProcess(client)
        with TasksClient(store, "http://api.test", transport=transport) as signing_up:
            await asyncio.to_thread(signing_up.sign_up, new_email(), PASSWORD)
        yield Device(store, transport)


def thief_of(owner: Device, folder: Path, agent: str | None = None) -> Device:
    """Copy the owner's file; the thief is the same program on the same machine, unless it names itself otherwise."""
    copy = TokenStore(folder / "copy" / "tokens.json")
    copy.path.parent.mkdir()
    shutil.copy(owner.store.path, copy.path)
    return Device(copy, InProcess(owner.transport.client, agent))


async def in_turns(clock: FrozenClock, *devices: Device) -> int:
    """Let each refresh in its turn; return after how many turns one was refused, 12 at most."""
    for turn in range(12):
        clock.advance(**ACCESS_TOKEN_IS_OLD)
        if not await devices[turn % len(devices)].works():
            return turn
    return 12


@pytest.mark.parametrize("thief_is_first", [True, False])
async def test_two_with_one_store_are_found_in_turns(
    owner: Device, tmp_path: Path, clock: FrozenClock, caplog: pytest.LogCaptureFixture, *, thief_is_first: bool
) -> None:
    """Each makes a key of its own for the pair that both get; who refreshes it second ends the session for both."""
    thief = thief_of(owner, tmp_path)
    devices = (thief, owner) if thief_is_first else (owner, thief)
    assert await in_turns(clock, *devices) == 2
    assert not await owner.works()
    assert not await thief.works()
    assert "refresh_reuse_detected" in caplog.messages
    assert "somebody else may have a copy" in devices[0].told[0]


@pytest.mark.parametrize("agent", [None, "curl/8"], ids=["same client", "other client"])
@pytest.mark.parametrize("pause", [AT_ONCE, ACCESS_TOKEN_IS_OLD], ids=["at once", "later"])
@pytest.mark.parametrize("has_lock", [True, False], ids=["with lock", "without lock"])
async def test_a_thief_who_runs_ahead_is_put_out(
    request: pytest.FixtureRequest,
    owner: Device,
    tmp_path: Path,
    clock: FrozenClock,
    *,
    agent: str | None,
    pause: dict[str, Any],
    has_lock: bool,
) -> None:
    """The owner's next refresh ends what the thief has, also where the service takes it for a late duplicate."""
    if not has_lock:
        request.getfixturevalue("_unlocked")
    thief = thief_of(owner, tmp_path, agent)
    for _ in range(3):
        clock.advance(**ACCESS_TOKEN_IS_OLD)
        assert await thief.works()
    clock.advance(**pause)
    assert not await owner.works()
    assert not await thief.works()


@pytest.mark.usefixtures("_unlocked")
async def test_without_a_lock_two_in_turns_are_not_found(owner: Device, tmp_path: Path, clock: FrozenClock) -> None:
    """Without a lock keys derive, so that programs that refresh at once stay signed in: so does who copies them."""
    assert await in_turns(clock, owner, thief_of(owner, tmp_path)) == 12
