"""A clip that is being worked on: its row, its waiting, its ways to end."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import Row

from server.catalog import jobs
from server.errors import StorageFull
from server.jobs.context import Work
from server.providers.base import Passing, Provider, Vanished

log = structlog.get_logger(__name__)


class ClipEnded(Exception):
    """The clip's row says it all: failed or canceled."""


class ClipRow:
    """What every step of a clip's way needs."""

    def __init__(self, work: Work, job: Row[Any], clip_id: str, nudge: asyncio.Event) -> None:
        """`nudge` is set when something has happened outside: a webhook, a cancellation."""
        self._work, self._job, self._id, self._nudge = work, job, clip_id, nudge
        self._provider: Provider = work.providers[job.provider]
        self._db = work.database

    async def _check_canceled(
        self, prediction_id: str | None = None, handles: Mapping[str, str] | None = None
    ) -> None:
        job = await self._db.read(jobs.get, self._job.id)
        if job is None:
            raise ClipEnded
        if not job.cancel_requested:
            return
        if prediction_id is not None:
            try:
                await self._provider.cancel(
                    prediction_id, model=self._job.model, handles=handles or {}
                )
            except (Passing, Vanished) as error:
                log.info("provider did not cancel", clip=self._id, reason=error.detail)
        await self._set(
            status="canceled",
            prediction_ended=True,
            error_code="canceled",
            error_message="The job was canceled.",
        )
        raise ClipEnded

    async def _pause(self, seconds: float) -> None:
        """Wait, or until something happens."""
        self._nudge.clear()
        try:
            await asyncio.wait_for(self._nudge.wait(), seconds)
        except TimeoutError:
            pass

    async def _clip(self) -> Row[Any]:
        return await self._db.read(jobs.get_clip, self._id)

    async def _set(self, **values: Any) -> None:
        await self._db.write(jobs.change_clip, self._id, **values)

    async def _set_pending(self, **values: Any) -> None:
        # How far it is: not worth failing for.
        with contextlib.suppress(StorageFull):
            await self._db.write_pending(jobs.change_clip, self._id, **values)

    async def _fail(self, code: str, message: str, *, ended: bool, **values: Any) -> None:
        log.warning("clip failed", clip=self._id, code=code)
        await self._set(
            status="failed",
            prediction_ended=ended,
            error_code=code,
            error_message=message,
            **values,
        )
