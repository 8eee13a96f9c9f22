"""A clock that tests hold in their hands."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2026, 1, 1, tzinfo=UTC)
# Turns of the event loop after which everything that can run without waiting has run.
TURNS = 20
# How often a sleeper is looked for, a millisecond apart, before there surely is none.
PATIENCE = 20_000


class FakeClock:
    """Time that passes only when a test says so.

    `busy` tells whether something outside the event loop (a database thread) still works on an
    answer: time stands still until it has come.
    """

    def __init__(self, busy: Callable[[], bool] = lambda: False) -> None:
        self.busy = busy
        self._seconds = 0.0
        self._number = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """See `server.clock.Clock`."""
        return START + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """See `server.clock.Clock`."""
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        """Until a test has let that much time pass."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._seconds + seconds, next(self._number), future))
        await future

    async def settle(self) -> None:
        """Until nothing can go on without time passing."""
        quiet = 0
        while quiet < TURNS:
            quiet = 0 if self.busy() else quiet + 1
            await asyncio.sleep(0.0005 if self.busy() else 0)

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking whoever sleeps at the moment that they asked for."""
        end = self._seconds + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._seconds = max(self._seconds, at)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self._seconds = end
        await self.settle()

    async def step(self, unless: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until the next sleeper wakes; `unless`: nobody can sleep any more."""
        for _ in range(PATIENCE):
            await self.settle()
            if unless():
                return
            pending = [one[0] for one in self._sleepers if not one[2].done()]
            if pending:
                await self.advance(max(0.0, min(pending) - self._seconds))
                return
            await asyncio.sleep(0.001)  # a thread has something that nobody sleeps beside
        raise AssertionError("nothing sleeps: time has no reason to pass")

    async def until(self, condition: Callable[[], bool], *, within: float = 86_400.0) -> None:
        """Let time pass from one sleeper to the next until a condition holds."""
        end = self._seconds + within
        await self.settle()
        while not condition():
            pending = [one for one in self._sleepers if not one[2].done()]
            if not pending or min(pending)[0] > end:
                raise AssertionError(f"did not happen within {within} s of the clock's time")
            await self.advance(min(pending)[0] - self._seconds)
