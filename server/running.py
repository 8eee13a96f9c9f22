"""From the first request to the last: uvicorn, with a beginning and an end of our own."""

import asyncio
import contextlib
import os
import socket
import threading
from types import FrameType

import structlog
import uvicorn

from server.app import Application
from server.clock import Clock

log = structlog.get_logger(__name__)

# What the end may take beyond the time that responses are given: a submission that is on its way
# (`server/jobs/submitting.py`), then the database.
END = 20.0
# What undoing a start that failed may take, in seconds.
UNDO = 10.0


class Server(uvicorn.Server):
    """A uvicorn that drains before it closes, and that ends whatever happens.

    From the signal on jobs begin nothing new (`draining`), but the listener stays open while a
    provider has yet to fetch the files of a prediction that was just submitted. Then event
    streams end (`stopping`), nobody is accepted any more, and running responses get the rest of
    `seconds`.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        application: Application,
        draining: asyncio.Event,
        stopping: asyncio.Event,
        clock: Clock,
        *,
        seconds: float,
    ) -> None:
        super().__init__(config)
        self._application = application
        self._draining, self._stopping = draining, stopping
        self._seconds, self._monotonic = seconds, clock.monotonic
        self._deadline: float | None = None
        self._said = False
        self._opened = contextlib.AsyncExitStack()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn."""
        super().handle_exit(sig, frame)
        # Nobody waits for it, it is only looked at: safe within a signal handler.
        self._draining.set()
        if self._deadline is None:
            self._deadline = self._monotonic() + self._seconds
            exit_within(self._seconds + END, "the shutdown does not end: cut off")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn. Raises what fails in the application's own start."""
        async with contextlib.AsyncExitStack() as opened:
            try:
                await opened.enter_async_context(self._application.lifespan())
                await super().startup(sockets)
            except BaseException:
                exit_within(UNDO, "what a failed start had begun does not end: cut off")
                raise
            self._opened = opened.pop_all()
        log.info("startup complete")

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn: whether to close the listener now."""
        if not await super().on_tick(counter):
            return False
        if not self._said:
            self._said = True
            log.info("draining", seconds=self._seconds)
        left = 0.0 if self._deadline is None else self._deadline - self._monotonic()
        if self.force_exit or left <= 0:
            return True
        return not await self._unfetched(left)

    async def _unfetched(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._application.unfetched()
        except Exception:
            log.warning("cannot tell what providers have yet to fetch", exc_info=True)
            return False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._stopping.set()
        left = 0.0 if self._deadline is None else self._deadline - self._monotonic()
        # Without it uvicorn waits for the last viewer of the longest video.
        self.config.timeout_graceful_shutdown = max(1, int(left))
        await super().shutdown(sockets)
        # Those that uvicorn has cancelled: what they hold of the database they give back.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1.0)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._opened.aclose()


def exit_within(seconds: float, words: str) -> None:
    """End the process after so many seconds if it has not ended by itself.

    A thread that never returns, or a task that ignores its cancellation, would keep it, and with
    it the lock of the data folder, for ever. A thread's timer, not the Clock's: the event loop
    may be what does not end.
    """

    def leave() -> None:
        log.critical(words)
        os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
