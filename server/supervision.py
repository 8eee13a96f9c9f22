"""Background tasks that run as long as the service does: one that ends is started again.

A task of this kind that ends silently is worse than a crash: the service answers, and something
that people rely on (events, saves, backups) no longer happens.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from server.clock import Clock

log = structlog.get_logger(__name__)

# Seconds before a task is started again: the first wait; it doubles up to the longest.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
# A task that has run for so many seconds has recovered: its next wait is the first again.
STEADY = 60.0


class Supervisor:
    """Keeps tasks running until `stopping` is set or it is canceled itself."""

    def __init__(self, clock: Clock, stopping: asyncio.Event) -> None:
        self._clock, self._stopping = clock, stopping
        self._down: set[str] = set()
        self.restarts: Counter[str] = Counter()

    @property
    def down(self) -> frozenset[str]:
        """The tasks that have ended and wait for being started again, by name."""
        return frozenset(self._down)

    async def run(self, tasks: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Run each task, by name; returns when all have ended after `stopping` was set."""
        async with asyncio.TaskGroup() as group:
            for name, start in tasks.items():
                group.create_task(self._keep(name, start))

    async def _keep(self, name: str, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        wait = FIRST_WAIT
        while True:
            began = self._clock.monotonic()
            error: Exception | None = None
            try:
                await start()
            except Exception as caught:  # noqa: BLE001
                error = caught
            if self._stopping.is_set() and error is None:
                return
            self._down.add(name)
            self.restarts[name] += 1
            log.error("background task ended, is started again", task=name, exc_info=error)
            if self._clock.monotonic() - began >= STEADY:
                wait = FIRST_WAIT
            await self._clock.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
            self._down.discard(name)
