"""Time as a value that is passed in, so that tests can hold it still or let hours pass at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time and waits."""

    def now(self) -> datetime:
        """The moment, in UTC: what is stamped on rows."""
        ...

    def monotonic(self) -> float:
        """Seconds from anywhere, never set back: what durations are measured with."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(seconds)


async def wait(clock: Clock, something: Awaitable[object], seconds: float) -> bool:
    """Wait for something, `seconds` at most; whether it came. It is canceled when it did not."""
    awaited = asyncio.ensure_future(something)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((awaited, timer), return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            awaited.result()  # raises what it raised
            return True
        return False
    finally:
        timer.cancel()
        awaited.cancel()


@asynccontextmanager
async def timeout(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """End what is done inside after so many seconds, as `asyncio.timeout`: raises TimeoutError.

    Unlike `wait` it makes no task of what is waited for: a lock is held by who has asked for it.
    """
    async with asyncio.timeout(None) as waiting:

        async def end() -> None:
            await clock.sleep(seconds)
            waiting.reschedule(0.0)  # the event loop's time: at once

        timer = asyncio.create_task(end())
        try:
            yield
        finally:
            timer.cancel()
