"""Who writes to an upload: one request at a time, and never for longer than somebody is there.

A client that comes back must not be kept out by its own former connection, of which nobody has
told us that it is dead. So one from which nothing has come for a moment has to leave as soon as
another request wants the upload; one that goes on sending may stay.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from server.clock import Clock, timeout
from server.errors import ReelbaseError, Unavailable

# In seconds. A connection from which nothing has come for QUIET leaves for another one, and in
# any case after STALL. How long it is waited for: PATIENCE, looking every POLL.
QUIET = 1.0
STALL = 60.0
PATIENCE = 3.0
POLL = 0.05

_CLOSE = {"Connection": "close"}


class UploadLocked(ReelbaseError):
    """Another request has the upload."""

    status = 423
    code = "upload_locked"


class UploadStalled(ReelbaseError):
    """Nothing came any more. What had come is kept."""

    status = 408
    code = "upload_stalled"


@dataclass
class Seat:
    """The right to write to one upload."""

    clock: Clock
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    stopping: bool = False
    # Whoever has it is to leave.
    unwanted: bool = False
    # While its bytes are waited for: since when, and what ends the waiting.
    since: float = 0.0
    waiting: asyncio.Timeout | None = None

    def vacate(self) -> None:
        """Have whoever is here leave, when it waits for bytes the next time or does so now."""
        self.unwanted = True
        self._wait_no_longer()

    def is_quiet(self) -> bool:
        """Whether bytes have been waited for in vain for a while."""
        return self.waiting is not None and self.clock.monotonic() - self.since > QUIET

    async def watch(self) -> None:
        """End a wait that lasts too long: one task for all pieces, as each needs to be cheap."""
        while True:
            left = STALL - (self.clock.monotonic() - self.since) if self.waiting else STALL
            if left <= 0:
                self._wait_no_longer()
            await self.clock.sleep(left if left > 0 else STALL)

    def _wait_no_longer(self) -> None:
        if self.waiting is not None:
            self.waiting.reschedule(0.0)  # the event loop's time: at once
            self.waiting = None

    async def next(self, stream: AsyncGenerator[bytes, None]) -> bytes | None:
        """The next piece, None after the last.

        Raises UploadLocked when another request has taken over, UploadStalled, Unavailable when
        the service is ending, and what `stream` raises.
        """
        self.since = self.clock.monotonic()
        try:
            if not self.unwanted:
                async with asyncio.timeout(None) as self.waiting:
                    return await anext(stream, None)
        except TimeoutError:
            pass
        finally:
            self.waiting = None
        if self.stopping:
            raise Unavailable(
                "The service is restarting. Go on with the upload in a moment.", headers=_CLOSE
            )
        if self.unwanted:
            raise UploadLocked("Another request goes on with this upload.", headers=_CLOSE)
        raise UploadStalled(
            "Nothing came for a minute. What had come is kept: go on from there.", headers=_CLOSE
        )


class Seats:
    """The seats that are taken, by upload."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seats: dict[str, Seat] = {}

    @asynccontextmanager
    async def take(self, upload_id: str, *, at_once: bool = False) -> AsyncIterator[Seat]:
        """Have an upload to oneself; `at_once`: also when its bytes are coming just now.

        Raises UploadLocked when who has it does not leave.
        """
        seat = self._seats.setdefault(upload_id, Seat(self._clock))
        seat.users += 1
        try:
            await self._sit_down(seat, at_once)
            watching = asyncio.create_task(seat.watch())
            try:
                yield seat
            finally:
                watching.cancel()
                seat.lock.release()
        finally:
            seat.users -= 1
            if not seat.users:
                del self._seats[upload_id]

    def close(self) -> None:
        """Have everybody leave: the service is ending."""
        for seat in self._seats.values():
            seat.stopping = True
            seat.vacate()

    async def _sit_down(self, seat: Seat, at_once: bool) -> None:
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            if at_once or seat.is_quiet():
                seat.vacate()
            try:
                async with timeout(self._clock, POLL):
                    await seat.lock.acquire()
                break
            except TimeoutError:
                if self._clock.monotonic() > deadline:
                    raise UploadLocked(
                        "Another request is sending bytes of this upload. Ask how far it is when "
                        "that one has ended.",
                        headers={"Retry-After": "1"},
                    ) from None
        seat.unwanted = seat.stopping
