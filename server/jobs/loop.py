"""The loop: runs what the rows say is to be done, at once, and again after a restart.

Under the data folder's lock this process alone runs jobs, so no leases are needed: what the rows
call unfinished is simply taken up.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import structlog
from sqlalchemy import Connection

from server.catalog import assets, deliveries, events, jobs
from server.catalog.records import Job
from server.clock import wait
from server.jobs import deliver, download, generate, process, save
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.library import collect, lifecycle

log = structlog.get_logger(__name__)

# Jobs at a time; what waits is `queued`.
CONCURRENCY = 16
PROCESSING = 2
SAVING = 4
DELIVERING = 4
# Looks again without being woken: for what is due by the clock, or written by another process.
INTERVAL = 1.0
COLLECT_EVERY = 5.0
# Old events are forgotten so often, in seconds.
FORGET_EVERY = 3600.0
# A job that fails so often in ways that nobody foresaw is given up.
MAX_FAILURES = 3


class Loop:
    """Starts jobs and processing as the rows ask for it; one task each."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._woken = asyncio.Event()
        self._nudged: set[str] = set()
        self._jobs: dict[str, tuple[asyncio.Task[None], Nudge]] = {}
        self._downloads: set[str] = set()  # those of the jobs that are downloads
        self._processing: dict[str, asyncio.Task[None]] = {}
        self._saving: dict[str, asyncio.Task[None]] = {}
        self._delivering: dict[str, asyncio.Task[None]] = {}
        self._collecting: asyncio.Task[None] | None = None
        self._collected = 0.0
        self._forgotten = 0.0
        self._failures: Counter[str] = Counter()

    def wake(self, job_id: str | None = None) -> None:
        """Something has changed (with this job): look at once."""
        if job_id is not None:
            self._nudged.add(job_id)
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; then what runs is stopped where it stands, and its rows say where."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._look()
                except Exception:
                    log.exception("job loop failed, goes on")
                await wait(self._work.clock, self._woken.wait(), INTERVAL)
        finally:
            running = [task for task, _ in self._jobs.values()]
            running += [
                *self._processing.values(),
                *self._saving.values(),
                *self._delivering.values(),
            ]
            if self._collecting is not None:
                running.append(self._collecting)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _look(self) -> None:
        while self._nudged:
            running = self._jobs.get(self._nudged.pop())
            if running is not None:
                running[1].set()
        if not self._work.draining.is_set():
            await self._begin()
        # What is paid is saved, and what has happened is reported, for as long as there is time.
        for asset_id in await self._work.database.read(
            assets.to_save, self._work.clock.now(), SAVING
        ):
            if asset_id not in self._saving and len(self._saving) < SAVING:
                self._saving[asset_id] = asyncio.create_task(self._save(asset_id))
        for row in await self._work.database.read(
            deliveries.due, self._work.clock.now(), DELIVERING
        ):
            if row.id not in self._delivering and len(self._delivering) < DELIVERING:
                self._delivering[row.id] = asyncio.create_task(self._deliver(row))

    async def _begin(self) -> None:
        """Begin what waits, as far as there are places."""
        for job in await self._work.database.read(jobs.active):
            if job.id not in self._jobs and self._may_begin(job):
                nudge = Nudge()
                task = asyncio.create_task(self._job(job.id, nudge))
                self._jobs[job.id] = (task, nudge)
                if job.kind == "download":
                    self._downloads.add(job.id)
        room = PROCESSING - len(self._processing)
        if room > 0:
            waiting = await self._work.database.read(assets.to_process, PROCESSING * 2)
            for asset_id in waiting:
                if asset_id not in self._processing and len(self._processing) < PROCESSING:
                    self._processing[asset_id] = asyncio.create_task(self._process(asset_id))
        now = self._work.clock.monotonic()
        idle = self._collecting is None or self._collecting.done()
        if idle and now - self._collected >= COLLECT_EVERY:
            self._collected = now
            self._collecting = asyncio.create_task(self._guarded("collect", self._collect()))

    def _may_begin(self, job: Job) -> bool:
        """Whether there is a place for a job now; the two kinds do not wait for each other."""
        if self._work.draining.is_set():
            return False
        if job.cancel_requested:
            return True  # only to be ended
        if job.kind != "download":
            return len(self._jobs) - len(self._downloads) < CONCURRENCY
        due = job.not_before is None or job.not_before <= self._work.clock.now()
        return due and len(self._downloads) < self._work.downloads.at_once

    async def _job(self, job_id: str, nudge: Nudge) -> None:
        try:
            await self._run_job(job_id, nudge)
        except Exception:
            log.exception("job failed in an unforeseen way", job=job_id)
            self._failures[job_id] += 1
            if self._failures[job_id] >= MAX_FAILURES:
                job = await self._work.database.read(jobs.get, job_id)
                if job is not None:
                    await self._work.database.about(job.user_id).write(self._give_up, job_id)
        finally:
            self._jobs.pop(job_id, None)
            if job_id in self._downloads:
                self._downloads.discard(job_id)
                self.wake()  # one that is to be tried again later gives its place up, too
        job = await self._work.database.read(jobs.get, job_id)
        if job is None or job.status in jobs.ENDED:
            self._failures.pop(job_id, None)
            self.wake()  # others may be waiting for the place

    async def _run_job(self, job_id: str, nudge: Nudge) -> None:
        run = download.run if job_id in self._downloads else generate.run
        await run(self._work, job_id, nudge)

    def _give_up(self, conn: Connection, job_id: str) -> None:
        message = "Something went wrong on our side. A retry goes on from where it was."
        now = self._work.clock.now()
        lifecycle.end_job(conn, job_id, "failed", now, code="internal_error", message=message)

    async def _process(self, asset_id: str) -> None:
        try:
            await self._guarded("process", process.process(self._work, asset_id), asset=asset_id)
        finally:
            self._processing.pop(asset_id, None)
        self.wake()

    async def _save(self, asset_id: str) -> None:
        try:
            await self._guarded("save", save.save_again(self._work, asset_id), asset=asset_id)
        finally:
            self._saving.pop(asset_id, None)

    async def _deliver(self, row: deliveries.Due) -> None:
        try:
            await self._guarded("webhook", deliver.deliver(self._work, row), job=row.job_id)
        finally:
            self._delivering.pop(row.id, None)

    async def _collect(self) -> None:
        work = self._work
        await collect.empty_trash(work.database, work.clock.now(), work.trash)
        await collect.collect(work.database, work.blobs, work.volume, work.clock.now())
        if work.clock.now().timestamp() - self._forgotten > FORGET_EVERY:
            self._forgotten = work.clock.now().timestamp()
            await work.database.write(events.forget_old, work.clock.now())

    async def _guarded(self, what: str, work: Coroutine[Any, Any, Any], **context: str) -> None:
        """One that fails in an unforeseen way is logged and taken up at the next look."""
        try:
            await work
        except Exception:
            log.exception(f"{what} failed", **context)
