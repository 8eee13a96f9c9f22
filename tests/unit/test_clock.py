"""Waiting with a clock that is passed in."""

import asyncio

import pytest

from server.clock import wait
from tests.unit.clock import FakeClock


def test_what_comes_in_time_is_not_waited_for_any_longer() -> None:
    """Nothing may be left asleep: a timer that stays would hold memory for as long as it runs."""

    async def run() -> None:
        clock = FakeClock()
        event = asyncio.Event()
        waiting = asyncio.create_task(wait(clock, event.wait(), 10))
        await clock.advance(3)
        assert not waiting.done()
        event.set()
        assert await waiting
        assert clock.monotonic() == 3

    asyncio.run(run())


def test_what_does_not_come_is_canceled_at_its_time() -> None:
    """The caller goes on, and what it waited for does not run on behind its back."""

    async def run() -> None:
        clock = FakeClock()
        event = asyncio.Event()
        never = asyncio.ensure_future(event.wait())
        waiting = asyncio.create_task(wait(clock, never, 10))
        await clock.advance(9.9)
        assert not waiting.done()
        await clock.advance(0.1)
        assert await waiting is False
        await clock.settle()
        assert never.cancelled()

    asyncio.run(run())


def test_an_error_of_what_is_waited_for_is_raised() -> None:
    """It must not be taken for a success."""

    async def fail() -> None:
        raise OSError("gone")

    async def run() -> None:
        with pytest.raises(OSError, match="gone"):
            await wait(FakeClock(), fail(), 10)

    asyncio.run(run())


def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    """The fake clock itself: engine tests rest on it."""

    async def run() -> None:
        clock = FakeClock()
        woken: list[tuple[str, float]] = []

        async def sleeper(name: str, *seconds: float) -> None:
            for one in seconds:
                await clock.sleep(one)
                woken.append((name, clock.monotonic()))

        tasks = [
            asyncio.create_task(sleeper("a", 3, 3)),
            asyncio.create_task(sleeper("b", 1, 4)),
        ]
        await clock.advance(10)
        assert woken == [("b", 1), ("a", 3), ("b", 5), ("a", 6)]
        assert clock.monotonic() == 10
        await asyncio.gather(*tasks)

    asyncio.run(run())
