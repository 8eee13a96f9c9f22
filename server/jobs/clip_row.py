"""A clip that is being worked on: its row, its waiting, its ways to end."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog

from server.catalog import jobs
from server.catalog.records import Clip, GenerateJob
from server.clock import wait as wait_for
from server.errors import StorageFull
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.library import lifecycle
from server.providers.base import Passing, Provider, Vanished

T = TypeVar("T")

# Seconds between attempts to have a provider cancel.
STOP_WAITS = (1.0, 2.0, 4.0, 8.0)

log = structlog.get_logger(__name__)


class ClipEnded(Exception):
    """The clip's row says it all: failed or canceled."""


class ClipRow:
    """What every step of a clip's way needs."""

    def __init__(self, work: Work, job: GenerateJob, clip_id: str, nudge: Nudge) -> None:
        """`nudge` is set when something has happened outside: a webhook, a cancellation."""
        self._work, self._job, self._id, self._nudge = work, job, clip_id, nudge
        self._provider: Provider = work.providers[job.provider]
        self._db = work.database.about(job.user_id)
        self._heard = nudge.count

    async def _check_canceled(self) -> None:
        job = await self._db.read(jobs.get, self._job.id)
        if job is None:
            raise ClipEnded
        if not job.cancel_requested:
            return
        clip = await self._clip()
        stopped = clip.submitting_at is None and clip.prediction_id is None
        if clip.prediction_id is not None:
            stopped = await self._stop(clip.prediction_id, clip.handles or {})
        # What may still run is not ended: a retry looks for it before it asks anew.
        message = lifecycle.CANCELED
        if not stopped:
            message = "The job was canceled; whether the provider has stopped cannot be told."
        await self._db.write(lifecycle.cancel_clip, self._id, ended=stopped, message=message)
        raise ClipEnded

    async def _stop(self, prediction_id: str, handles: Mapping[str, str]) -> bool:
        """Have the provider cancel a prediction; whether it surely has."""
        for wait in (*STOP_WAITS, None):
            try:
                await self._provider.cancel(prediction_id, model=self._job.model, handles=handles)
                return True
            except Vanished:
                return True
            except Passing as error:
                log.info("provider did not cancel", clip=self._id, reason=error.detail)
            if wait is not None:
                await self._work.clock.sleep(wait)
        return False

    async def hold(self) -> None:
        """While the service drains: wait for its end, or for a cancellation.

        In front of all that begins something new; the row says where to go on after the start.
        Raises ClipEnded.
        """
        while self._work.draining.is_set():
            await self._check_canceled()
            await self._pause(1.0)

    async def _pause(self, seconds: float) -> None:
        """Wait, or until something happens that was not heard of yet."""
        await wait_for(self._work.clock, self._nudge.beyond(self._heard), seconds)
        self._heard = self._nudge.count

    async def _rest(self, seconds: float) -> None:
        """Wait as long as a provider has asked us to; only a cancellation ends it early."""
        clock = self._work.clock
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            await self._pause(min(left, 1.0))
            await self._check_canceled()

    async def _surely(self, fn: Callable[..., T], *args: Any, **values: Any) -> T:
        """A write that must not be lost: on a full disk it is repeated until there is room."""
        while True:
            try:
                return await self._db.write(fn, *args, **values)
            except StorageFull:
                await self._work.clock.sleep(1.0)

    async def _clip(self) -> Clip:
        return await self._db.read(jobs.get_clip, self._id)

    async def _set_pending(self, **values: Any) -> None:
        # How far it is: not worth failing for.
        with contextlib.suppress(StorageFull):
            await self._db.write_pending(jobs.change_clip, self._id, **values)

    async def _fail(self, code: str, message: str, *, ended: bool) -> None:
        log.warning("clip failed", clip=self._id, code=code)
        await self._db.write(lifecycle.fail_clip, self._id, code, message, ended=ended)
