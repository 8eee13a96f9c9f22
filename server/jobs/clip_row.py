"""The row of a clip that is being worked on: reading it, writing to it, waiting for it."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection

from server.catalog import jobs
from server.catalog.records import Clip, GenerateJob, Job
from server.clock import wait as wait_for
from server.errors import StorageFull
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.jobs.retry import REPORTED, Policy, jittered
from server.library import lifecycle
from server.library.claims import Claim

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class ClipEnded(Exception):
    """The clip's row says it all: failed, canceled or deleted."""


class CancelRequested(Exception):
    """The job is to be canceled; `clip` is the clip as it was then."""

    def __init__(self, clip: Clip) -> None:
        super().__init__(clip.id)
        self.clip = clip


class ClipRow:
    """What every step needs of the row. Writes go through the job's claim."""

    def __init__(
        self, work: Work, claim: Claim, job: GenerateJob, clip_id: str, nudge: Nudge
    ) -> None:
        """`nudge` is set when something has happened outside: a webhook, a cancellation."""
        self._work, self._claim, self._nudge = work, claim, nudge
        self._heard = nudge.count
        self.job, self.id = job, clip_id

    async def read(self) -> Clip:
        """The clip as it is now, also when it is to be canceled. Raises ClipEnded if deleted."""
        return (await self._work.database.read(self._both))[1]

    async def look(self) -> Clip:
        """The clip as it is now. Raises CancelRequested, and ClipEnded when it was deleted."""
        job, clip = await self._work.database.read(self._both)
        if job.cancel_requested:
            raise CancelRequested(clip)
        return clip

    def _both(self, conn: Connection) -> tuple[Job, Clip]:
        job = jobs.get(conn, self.job.id)
        if job is None:
            raise ClipEnded
        return job, jobs.get_clip(conn, self.id)

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See `Claim.write`."""
        return await self._claim.write(fn, *args, **kwargs)

    async def show(self, **values: Any) -> None:
        """Write down how far it is: not worth failing for."""
        with contextlib.suppress(StorageFull):
            await self._claim.write_pending(jobs.change_clip, self.id, **values)

    async def fail(self, code: str, message: str, *, ended: bool) -> NoReturn:
        """Fail the clip; `ended`: a retry asks for a new prediction. Raises ClipEnded."""
        log.warning("clip failed", clip=self.id, code=code)
        await self.write(lifecycle.fail_clip, self.id, code, message, ended=ended)
        raise ClipEnded

    async def wait_while_draining(self) -> None:
        """Wait until the service no longer drains: for its end. Raises CancelRequested.

        In front of all that begins something new; the row says where to go on after the start.
        """
        while self._work.draining.is_set():
            await self.look()
            await self.pause(1.0)

    async def pause(self, seconds: float) -> None:
        """Wait so many seconds, or until the next nudge; one since the last wait counts."""
        await wait_for(self._work.clock, self._nudge.beyond(self._heard), seconds)
        self._heard = self._nudge.count

    async def rest(self, seconds: float) -> None:
        """Wait so many seconds; only a cancellation ends it early. Raises CancelRequested."""
        clock = self._work.clock
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            await self.pause(min(left, 1.0))
            await self.look()


class Trouble:
    """One kind of temporary fault of a clip, waited out by one policy."""

    def __init__(
        self,
        work: Work,
        row: ClipRow,
        code: str,
        policy: Policy,
        words: str,
        *,
        failures: int = 0,
    ) -> None:
        """`code` and `words` say what is waited for, in the row; `failures` there were before."""
        self._work, self._row, self._code, self._policy = work, row, code, policy
        self._words = words
        self._failures = failures
        self._is_reported = False
        self._since = work.clock.now()

    async def wait(self, detail: str, *, retry_after: float | None = None) -> bool:
        """Wait until the next attempt; False when the bound has passed: then it is given up.

        `detail` is what was said this time; `retry_after` the seconds that the provider has asked
        for: it is not asked earlier.
        """
        self._failures += 1
        now = self._work.clock.now()
        if self._failures == 1:
            self._since = now
        seconds = jittered(self._policy.wait(self._failures), self._work.spread)
        seconds = max(seconds, retry_after or 0.0)
        if seconds >= REPORTED:
            until = now + timedelta(seconds=seconds)
            words = f"{self._words} {detail}".strip()
            # The row remembers since when, over restarts.
            with contextlib.suppress(StorageFull):
                self._since = await self._row.write(
                    jobs.set_wait, self._row.id, self._code, words, self._since, until
                )
                self._is_reported = True
        if now - self._since >= timedelta(seconds=self._policy.bound):
            return False
        await (self._row.rest(seconds) if retry_after else self._row.pause(seconds))
        return True

    async def over(self, clip: Clip) -> None:
        """It went well: take back what was reported, as `clip` shows it or we have done since."""
        if self._is_reported or clip.wait_code is not None:
            with contextlib.suppress(StorageFull):
                await self._row.write(jobs.end_wait, self._row.id)
        self._is_reported = False
        self.reset()

    def reset(self) -> None:
        """Count from here on: what this is about is well."""
        self._failures = 0
        self._since = self._work.clock.now()
