"""SIGTERM with a balancer before the service; tests/machines/test_draining.py has the real ones."""

import asyncio
import signal
from types import FrameType

import pytest

from app.core.http.draining import STOPS, Draining
from tests.support.server import Service, app_of
from tests.support.waiting import until


async def test_a_process_that_stops_is_not_ready_and_keeps_no_connection(service: Service) -> None:
    """A balancer is told to send requests elsewhere; those that come all the same are answered."""
    async with service() as client:
        app_of(client).state.draining.begun = True
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["code"]) == (503, "STOPPING")
        for path, status in (("/health/live", 200), ("/api/tasks", 401), ("/nothing", 404)):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["connection"]) == (status, "close")


@pytest.fixture
def stopped() -> "list[int]":
    """What the server was told."""
    return []


@pytest.mark.parametrize("number", STOPS)
async def test_the_server_is_told_when_the_time_is_over_or_at_once(number: signal.Signals, stopped: list[int]) -> None:
    """The listener is open as long as the setting says; a second signal, or none to wait for, ends that."""

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)

    before = {each: signal.signal(each, stop) for each in STOPS}
    try:
        for seconds, signals in ((0.05, 1), (300, 2), (0, 1)):
            stopped.clear()
            draining = Draining(seconds)
            with draining.on_signals():
                signal.raise_signal(number)
                await until(lambda draining=draining: draining.begun)  # type: ignore[misc]
                assert bool(stopped) is (seconds == 0)
                if signals == 2:
                    signal.raise_signal(number)
                await until(lambda: stopped == [signal.SIGTERM])
            assert signal.getsignal(number) is stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


async def test_nohup_is_respected(stopped: list[int]) -> None:
    """What was started by nohup goes on when its terminal is closed."""
    before = {number: signal.getsignal(number) for number in STOPS}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    try:
        draining = Draining(300)
        with draining.on_signals():
            signal.raise_signal(signal.SIGHUP)
            assert not draining.begun
            signal.raise_signal(signal.SIGTERM)
            await until(lambda: draining.begun)
            assert stopped == []  # it is the first: a second one is handed on at once
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        await asyncio.to_thread(lambda: Draining(0).on_signals().__enter__())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
