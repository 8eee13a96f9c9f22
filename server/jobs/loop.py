"""The loop: runs what the rows say is to be done, at once, and again after a restart.

Under the data folder's lock this process alone runs jobs, so no leases are needed: what the rows
call unfinished is simply taken up.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from server.catalog import assets, jobs
from server.jobs import generate, process
from server.jobs.context import Work
from server.library import collect

log = structlog.get_logger(__name__)

# Jobs at a time; what waits is `queued`.
CONCURRENCY = 16
PROCESSING = 2
# Looks again without being woken: for what is due by the clock.
INTERVAL = 5.0
# Looks whether another process has written something.
FOREIGN = 1.0


class Loop:
    """Starts jobs and processing as the rows ask for it; one task each."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._woken = asyncio.Event()
        self._nudged: set[str] = set()
        self._jobs: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._processing: dict[str, asyncio.Task[None]] = {}
        self._collecting: asyncio.Task[None] | None = None

    def wake(self, job_id: str | None = None) -> None:
        """Something has changed (with this job): look at once."""
        if job_id is not None:
            self._nudged.add(job_id)
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; then what runs is stopped where it stands, and its rows say where."""
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                self._woken.clear()
                try:
                    await self._look()
                except Exception:
                    log.exception("job loop failed, goes on")
                try:
                    await asyncio.wait_for(self._woken.wait(), INTERVAL)
                except TimeoutError:
                    pass
        finally:
            watch.cancel()
            running = [task for task, _ in self._jobs.values()] + [*self._processing.values()]
            if self._collecting is not None:
                running.append(self._collecting)
            for task in running:
                task.cancel()
            await asyncio.gather(watch, *running, return_exceptions=True)

    async def _look(self) -> None:
        while self._nudged:
            running = self._jobs.get(self._nudged.pop())
            if running is not None:
                running[1].set()
        for job in await self._work.database.read(jobs.active):
            if job.id not in self._jobs and len(self._jobs) < CONCURRENCY:
                nudge = asyncio.Event()
                task = asyncio.create_task(self._job(job.id, nudge))
                self._jobs[job.id] = (task, nudge)
        room = PROCESSING - len(self._processing)
        if room > 0:
            rows = await self._work.database.read(assets.to_process, PROCESSING * 2)
            for row in rows:
                if row.id not in self._processing and len(self._processing) < PROCESSING:
                    self._processing[row.id] = asyncio.create_task(self._process(row.id))
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.create_task(self._guarded("collect", self._collect()))

    async def _job(self, job_id: str, nudge: asyncio.Event) -> None:
        try:
            await self._guarded("job", generate.run(self._work, job_id, nudge), job=job_id)
        finally:
            self._jobs.pop(job_id, None)
        job = await self._work.database.read(jobs.get, job_id)
        if job is not None and job.status in jobs.ENDED:
            self.wake()  # others may be waiting for the place

    async def _process(self, asset_id: str) -> None:
        try:
            await self._guarded("process", process.process(self._work, asset_id), asset=asset_id)
        finally:
            self._processing.pop(asset_id, None)
        self.wake()

    async def _collect(self) -> None:
        work = self._work
        await collect.collect(work.database, work.blobs, work.volume)

    async def _guarded(self, what: str, work: Coroutine[Any, Any, Any], **context: str) -> None:
        """One that fails in an unforeseen way is logged and taken up at the next look."""
        try:
            await work
        except Exception:
            log.exception(f"{what} failed", **context)

    async def _watch(self) -> None:
        """Wake up when another process has committed something."""
        seen = self._work.database.changes.version()
        while True:
            await asyncio.sleep(FOREIGN)
            version = self._work.database.changes.version()
            if version != seen:
                seen = version
                self.wake()
