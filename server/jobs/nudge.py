"""Waking what runs, without losing a word that is said while nobody listens."""

import asyncio


class Nudge:
    """Something has happened outside: a webhook, a cancellation. Several may wait on one."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake all who wait, and all who have not looked since."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def beyond(self, count: int) -> int:
        """Return once there was a nudge after number `count`; the newest number."""
        while self.count <= count:
            await self._event.wait()
        return self.count
