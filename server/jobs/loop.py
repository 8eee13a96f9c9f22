"""The loop: takes up what the rows say is to be done, at once, and again after a restart.

Whatever it takes up is claimed first (`catalog/leases.py`): nobody else works on it meanwhile.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from server.catalog import assets, deliveries, events, jobs, leases
from server.catalog.leases import LeaseLost
from server.clock import wait
from server.errors import StorageFull
from server.jobs import deliver, download, generate, process, retry, save
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.library import collect, lifecycle
from server.library.claims import Claim

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

INTERNAL = "Something went wrong on our side; the log says what."

Due = Callable[[Connection, datetime, int], list[tuple[str, str]]]
Run = Callable[[Work, Claim, Nudge], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """Work of one kind: what its leases are for, how much runs at a time, how it is found and done.

    `due` gives (key, user) of what is to be done now; `run` takes one as far as it goes.
    """

    lease: str
    at_once: int
    due: Due
    run: Run
    # Whether it is begun during a shutdown, too.
    while_draining: bool = False


class Loop:
    """Starts a task for each thing that is to be done, as far as there is room."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._claims = work.claims
        self._woken = asyncio.Event()
        self._nudged: set[str] = set()
        self._kinds = (
            # Canceled jobs have room of their own: they do not wait behind running ones.
            Kind("job", CONCURRENCY, lambda conn, _, limit: jobs.to_cancel(conn, limit), _run_job),
            Kind("job", CONCURRENCY, _jobs_due("generate"), generate.run),
            Kind("job", work.downloads.at_once, _jobs_due("download"), download.run),
            Kind("process", PROCESSING, assets.to_process, process.process),
            Kind("collect", 1, lambda *_: [("all", "")], self._collect),
            # What is paid is saved, and what has happened is reported, as long as there is time.
            Kind("save", SAVING, assets.to_save, save.save_again, while_draining=True),
            Kind("deliver", DELIVERING, deliveries.due, deliver.deliver, while_draining=True),
        )
        self._running: dict[Kind, dict[str, tuple[Claim, Nudge]]] = {
            kind: {} for kind in self._kinds
        }

    def wake(self, job_id: str | None = None) -> None:
        """Something has changed (with this job): look at once."""
        if job_id is not None:
            self._nudged.add(job_id)
        self._woken.set()

    async def run(self) -> None:
        """Until canceled; then what runs is stopped where it stands, and its rows say where."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._look()
                except Exception:
                    log.exception("job loop failed, goes on")
                await wait(self._work.clock, self._woken.wait(), INTERVAL)
        finally:
            claims = [claim for running in self._running.values() for claim, _ in running.values()]
            tasks = [claim.task for claim in claims if claim.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for attempt in self._work.unfinished:
                attempt.cancel()
            await asyncio.gather(*self._work.unfinished, return_exceptions=True)
            try:
                await self._claims.release(*claims)
            except Exception:
                log.exception("leases not given back: the next start ends them")

    async def _look(self) -> None:
        nudged, self._nudged = self._nudged, set()
        for running in self._running.values():
            for job_id in nudged & running.keys():
                running[job_id][1].set()
        try:
            await self._claims.renew()
        except Exception:
            log.exception("leases not renewed")
        # Also when their leases have expired, as after a step of the clock: they run still.
        mine = {(kind.lease, key) for kind, its in self._running.items() for key in its}
        found = await self._work.database.read(self._find, self._work.clock.now(), mine)
        if not found:
            return
        kinds = {(kind.lease, key): kind for kind, key, _ in found}
        wanted = [(kind.lease, key, user_id) for kind, key, user_id in found]
        for claim in await self._claims.claim(wanted):
            self._start(kinds[claim.lease.kind, claim.key], claim)

    def _find(
        self, conn: Connection, at: datetime, mine: set[tuple[str, str]]
    ) -> list[tuple[Kind, str, str]]:
        """What is to be done and nobody has claimed, as far as there is room."""
        claimed = leases.claimed(conn) | mine
        found: list[tuple[Kind, str, str]] = []
        for kind in self._kinds:
            room = kind.at_once - len(self._running[kind])
            if room <= 0 or (self._work.draining.is_set() and not kind.while_draining):
                continue
            due = kind.due(conn, at, room + len(claimed))
            free = ((kind, *one) for one in due if (kind.lease, one[0]) not in claimed)
            found += itertools.islice(free, room)
        return found

    def _start(self, kind: Kind, claim: Claim) -> None:
        nudge = Nudge()
        claim.task = asyncio.create_task(self._run(kind, claim, nudge))
        self._running[kind][claim.key] = (claim, nudge)

    async def _run(self, kind: Kind, claim: Claim, nudge: Nudge) -> None:
        try:
            await self._run_guarded(kind, claim, nudge)
        finally:
            self._claims.forget(claim)
            del self._running[kind][claim.key]
        self.wake()  # others may be waiting for the room

    async def _run_guarded(self, kind: Kind, claim: Claim, nudge: Nudge) -> None:
        """Run and release; what fails in an unforeseen way is taken up again later."""
        try:
            try:
                await kind.run(self._work, claim, nudge)
            except Exception as error:
                if _is_all(LeaseLost, error):
                    raise LeaseLost from None
                if _is_all(StorageFull, error):
                    log.warning("disk full", kind=kind.lease, key=claim.key)
                    return
                log.exception(f"{kind.lease} failed in an unforeseen way", key=claim.key)
                # Without a state of its own the lease's expiry is the wait.
                if kind.lease != "job" or not await claim.write(
                    self._postpone, claim.key, self._work.clock.now()
                ):
                    return
            await self._claims.release(claim)
        except LeaseLost:
            log.warning("lease lost", kind=kind.lease, key=claim.key)
        except Exception:
            log.exception("cannot be written down", kind=kind.lease, key=claim.key)

    def _postpone(self, conn: Connection, job_id: str, now: datetime) -> bool:
        """Count a failure; whether the job has a time for the next try, or has ended."""
        job = jobs.get(conn, job_id)
        if job is None:
            return True
        failures = job.attempts + 1
        if not retry.UNFORESEEN.is_spent(failures):
            until = now + retry.UNFORESEEN.delay(failures, self._work.spread)
            lifecycle.postpone_job(conn, job_id, until, INTERNAL)
            return not job.cancel_requested  # what is to be canceled waits for no time
        if job.cancel_requested:
            message = lifecycle.CANCELED
            lifecycle.end_job(conn, job_id, "canceled", now, code="canceled", message=message)
        else:
            words = f"{INTERNAL} A retry goes on from where it was."
            lifecycle.end_job(conn, job_id, "failed", now, code="internal_error", message=words)
        return True

    async def _collect(self, work: Work, claim: Claim, nudge: Nudge) -> None:
        """Collect again and again, under one lease, for as long as the service runs."""
        clock, forgotten = work.clock, -FORGET_EVERY
        while not work.draining.is_set():
            claim.check()
            await collect.empty_trash(work.database, clock.now(), work.trash)
            await collect.collect(work.database, work.blobs, work.volume, clock.now())
            if clock.monotonic() - forgotten >= FORGET_EVERY:
                forgotten = clock.monotonic()
                await work.database.write(events.forget_old, clock.now())
            await clock.sleep(COLLECT_EVERY)


def _jobs_due(kind: str) -> Due:
    return lambda conn, at, limit: jobs.due(conn, kind, at, limit)


async def _run_job(work: Work, claim: Claim, nudge: Nudge) -> None:
    job = await work.database.read(jobs.get, claim.key)
    if job is not None:
        await (download.run if job.kind == "download" else generate.run)(work, claim, nudge)


def _is_all(kind: type[Exception], error: Exception) -> bool:
    """Whether an error is of a kind, and nothing else went wrong."""
    if isinstance(error, ExceptionGroup):
        return error.split(kind)[1] is None
    return isinstance(error, kind)
