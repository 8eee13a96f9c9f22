"""Waking those who follow changes."""

import asyncio

from server.db import Database


class Pulse:
    """Tells those who wait that something was committed, by this process or another."""

    def __init__(self, database: Database, stopping: asyncio.Event, *, every: float = 0.1) -> None:
        self._db, self._stopping, self._every = database, stopping, every
        self._next = asyncio.Event()

    async def run(self) -> None:
        """Look at the database's version (some microseconds) ten times a second."""
        seen = self._db.changes.version()
        while True:
            await asyncio.sleep(self._every)
            version = self._db.changes.version()
            if version != seen or self._stopping.is_set():
                seen = version
                self._next.set()
                self._next = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether the service is shutting down: streams are to end."""
        return self._stopping.is_set()

    async def wait(self, timeout: float) -> bool:
        """Until something is committed; False when nothing was within `timeout` seconds."""
        try:
            await asyncio.wait_for(self._next.wait(), timeout)
        except TimeoutError:
            return False
        return True
