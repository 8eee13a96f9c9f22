"""What is written down a little later: uses of tokens and keys.

Reading an asset never costs a write on the spot: lines are gathered here and written by a task
every few seconds, at the shutdown, and before somebody looks at the log.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from server.catalog import keys, tokens
from server.clock import Clock
from server.db import Database

log = logging.getLogger(__name__)

INTERVAL = 3.0
# Lines that wait at most; a flood of refused tokens must not fill the memory.
WAITING = 10_000
KEY_INTERVAL = timedelta(minutes=1)


class AccessLog:
    """Gathers uses in memory and writes them together."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db, self._clock = database, clock
        self._lines: list[tokens.Access] = []
        self._used: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}
        self._lock = asyncio.Lock()

    def add(self, line: tokens.Access) -> None:
        """Remember one use of a token, or a refused attempt."""
        if len(self._lines) < WAITING:
            self._lines.append(line)

    def key_used(self, key_id: str, now: datetime) -> None:
        """Remember that a key was used; written at most once a minute."""
        last = self._written.get(key_id)
        if last is None or now - last >= KEY_INTERVAL:
            self._written[key_id] = self._used[key_id] = now

    async def flush(self) -> None:
        """Write down what was gathered."""
        async with self._lock:
            lines, self._lines = self._lines, []
            used, self._used = self._used, {}
            try:
                if lines:
                    await self._db.write(tokens.log, lines)
                if used:
                    await self._db.write(keys.set_used, used)
            except Exception:
                log.exception("access log not written", extra={"lost": len(lines)})

    async def run(self) -> None:
        """Write every few seconds until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL)
            await self.flush()
