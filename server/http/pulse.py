"""Waking those who follow changes."""

import asyncio

from server.clock import Clock, wait
from server.db import Database


class Pulse:
    """Tells those who wait that something has changed, by this process or another.

    Other commits (bytes, leases) wake nobody.
    """

    def __init__(
        self, database: Database, stopping: asyncio.Event, clock: Clock, *, every: float = 0.1
    ) -> None:
        self._db, self._stopping, self._clock, self._every = database, stopping, clock, every
        self._next = asyncio.Event()

    async def run(self) -> None:
        """Look at the database's version (some microseconds) ten times a second."""
        changes = self._db.changes
        seen, news = changes.version(), changes.news()
        while True:
            await self._clock.sleep(self._every)
            version = changes.version()
            if version == seen and not self._stopping.is_set():
                continue
            seen, before = version, news
            news = changes.news()
            if news != before or self._stopping.is_set():
                self._next.set()
                self._next = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether the service is shutting down: streams are to end."""
        return self._stopping.is_set()

    def ticket(self) -> asyncio.Event:
        """To be taken before one looks, so that what is committed meanwhile is not missed."""
        return self._next

    async def wait(self, ticket: asyncio.Event, timeout: float) -> bool:
        """Until something has changed after `ticket` was taken; False when nothing has."""
        return await wait(self._clock, ticket.wait(), timeout)
