"""One clip: from its prompt to a prediction's output, and to the asset that it becomes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import structlog
from sqlalchemy import Connection

from server.catalog import assets, jobs, predictions, sent, tokens
from server.catalog.leases import LeaseLost
from server.catalog.records import Asset, Clip, ClipChanges, GenerateJob
from server.clock import wait as wait_for
from server.errors import StorageFull
from server.jobs import retry, storing, unfetched
from server.jobs.clip_row import CancelRequested, ClipEnded, ClipRow, Trouble
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.jobs.storing import PREDICTED
from server.jobs.submitting import Submitter, tokens_in
from server.library import lifecycle
from server.library.claims import Claim
from server.providers import data_uri
from server.providers.base import Output, Passing, Prediction, ResultUnavailable, Vanished

log = structlog.get_logger(__name__)

# Seconds between look-ups: the first, the factor, the longest; and where webhooks report as well.
POLL = (0.5, 1.4, 10.0)
POLL_BESIDE_WEBHOOKS = (3.0, 1.5, 30.0)
# Seconds between attempts to have a provider cancel.
STOP_WAITS = (1.0, 2.0, 4.0, 8.0)
# How far storing is, is reported at once and then so often: each time is a commit.
REPORT_EVERY = 0.5
# On a full disk nothing can be written down: looked at again after so many seconds.
FULL = 5.0


class ClipRun:
    """Takes one clip as far as it goes. May be started again at any point.

    Each step begins with one look at the row; the next one gets what it has seen.
    """

    def __init__(
        self, work: Work, claim: Claim, job: GenerateJob, clip_id: str, nudge: Nudge
    ) -> None:
        """`nudge` is set when something has happened outside: a webhook, a cancellation."""
        self._work, self._claim, self._job = work, claim, job
        self._provider = work.providers[job.provider]
        self._db = work.database
        self.row = ClipRow(work, claim, job, clip_id, nudge)
        self._submitter = Submitter(work, claim, self.row)
        # The files that came inside the provider's answer, by asset: rows do not have them.
        self._inline: Mapping[str, str] = MappingProxyType({})

    async def run(self) -> None:
        """Go on from where the row says; returns when the clip is completed, failed, canceled."""
        while True:
            try:
                await self._go_on()
                return
            except ClipEnded:
                return
            except CancelRequested as request:
                with contextlib.suppress(StorageFull):
                    await self._cancel(request.clip)
                    return
                await self._work.clock.sleep(FULL)
            except StorageFull:
                # Nothing is lost by waiting; failing would invite a retry, which is paid.
                await self.row.pause(FULL)

    async def fail_unsubmitted(self, code: str, message: str) -> None:
        """Fail the clip before its prediction is asked for; a retry begins anew."""
        with contextlib.suppress(ClipEnded):
            await self.row.fail(code, message, ended=True)

    async def _go_on(self) -> None:
        # In line before anything is awaited: a job's clips begin in their order.
        async with self._in_line() as place:
            clip = await self.row.read()
            if clip.status in ("queued", "submitting", "processing"):
                clip = await self.row.look()
                while not place.done():
                    await wait_for(self._work.clock, asyncio.wait([place]), 1.0)
                    clip = await self.row.look()
                await self._predict(clip)
                clip = await self.row.read()
        if clip.status == "storing":
            await self._store(clip)

    @contextlib.asynccontextmanager
    async def _in_line(self) -> AsyncIterator[asyncio.Task[Any]]:
        """In line for a place at the provider: done when there is one, given back at the end."""
        slot = self._work.slot(self._job.provider)
        place = asyncio.create_task(slot.acquire())
        try:
            yield place
        finally:
            if not place.cancel():
                slot.release()

    async def _cancel(self, clip: Clip) -> None:
        """Have the provider stop, and end the clip; what is being stored is not canceled."""
        stopped = clip.submitting_at is None and clip.prediction_id is None
        if clip.prediction_id is not None:
            stopped = await self._stop(clip.prediction_id, clip.handles or {})
        # What may still run is not ended: a retry looks for it before it asks anew.
        message = lifecycle.CANCELED
        if not stopped:
            message = "The job was canceled; whether the provider has stopped cannot be told."
        await self.row.write(lifecycle.cancel_clip, clip.id, ended=stopped, message=message)

    async def _stop(self, prediction_id: str, handles: Mapping[str, str]) -> bool:
        """Have the provider cancel a prediction; whether it surely has."""
        for wait in (*STOP_WAITS, None):
            try:
                await self._provider.cancel(prediction_id, model=self._job.model, handles=handles)
                return True
            except Vanished:
                return True
            except Passing as error:
                log.info("provider did not cancel", clip=self.row.id, reason=error.detail)
            if wait is not None:
                await self._work.clock.sleep(wait)
        return False

    async def _predict(self, clip: Clip) -> None:
        """Until a prediction has made something; as many predictions as are allowed."""
        while True:
            if clip.prediction_id is None:
                await self._submitter.obtain(clip)
                clip = await self.row.look()
                if clip.prediction_id is None:
                    continue
            prediction = await self._follow(clip, clip.prediction_id)
            await self._bill(prediction)
            if prediction.status == "succeeded":
                await self._succeeded(clip, prediction)
                return
            clip = await self._again(clip, prediction)

    async def _follow(self, clip: Clip, prediction_id: str) -> Prediction:
        """Look the prediction up until it has ended."""
        hooked = self._work.webhook_base[self._job.provider] is not None
        wait, factor, longest = POLL_BESIDE_WEBHOOKS if hooked else POLL
        words = "waiting for the provider's answer."
        silence = Trouble(self._work, self.row, "look_up", retry.LOOK_UP, words)
        unread = Trouble(self._work, self.row, "result", retry.RESULT, words)
        shown: tuple[float, int | None] = (0.0, None)
        while True:
            try:
                prediction = await self._provider.look_up(
                    prediction_id, model=self._job.model, handles=clip.handles or {}
                )
            except ResultUnavailable as error:
                if not await unread.wait(error.detail, retry_after=error.retry_after):
                    minutes = int(retry.RESULT.bound // 60)
                    words = f"The prediction ended, but for {minutes} minutes its result could not"
                    await self._fail_unread(f"{words} be read. {error.detail}")
            except Passing as error:
                if not await silence.wait(error.detail, retry_after=error.retry_after):
                    hours = int(retry.LOOK_UP.bound // 3600)
                    words = (
                        f"For {hours} hours it could not be learned what became of the prediction."
                    )
                    await self._fail_unread(f"{words} {error.detail}")
            except Vanished as error:
                await self.row.fail(error.code, error.detail, ended=True)
            else:
                await silence.over(clip)
                unread.reset()
                if prediction.status in ("succeeded", "failed", "canceled"):
                    return prediction
                now = (PREDICTED * (prediction.progress or 0.0), prediction.queue_position)
                if now != shown:
                    shown = now
                    await self.row.show(progress=now[0], queue_position=now[1])
                await self.row.pause(wait)
                wait = min(wait * factor, longest)
            clip = await self.row.look()

    async def _fail_unread(self, why: str) -> NoReturn:
        """Fail a clip whose prediction was paid for: a retry asks for the same one."""
        message = f"{why} A retry asks for it again and costs nothing."
        await self.row.fail("result_unavailable", message, ended=False)

    async def _again(self, clip: Clip, prediction: Prediction) -> Clip:
        """Have the clip ask anew after a temporary failure, as long as that is allowed; else fail.

        Raises ClipEnded.
        """
        lent = await self._lent(prediction)
        verdict = unfetched.judge(
            prediction.error_code,
            temporary=prediction.passing,
            lent=lent,
            was_down=self._was_down(clip),
            attempts=clip.attempts,
            max_attempts=self._work.max_attempts,
        )
        if not verdict.again:
            await self._end_badly(clip, prediction, lent, verdict.missed)
        log.info("prediction failed, asking anew", clip=clip.id, code=prediction.error_code)
        await self.row.write(self._start_over, prediction.error_code, verdict.missed)
        said = prediction.error_message or f"It failed ({prediction.error_code})."
        words = "its prediction failed; a new one is asked for."
        failures = clip.attempts - 1
        trouble = Trouble(self._work, self.row, "again", retry.AGAIN, words, failures=failures)
        await trouble.wait(said)
        await trouble.over(clip)
        return await self.row.look()

    async def _end_badly(
        self,
        clip: Clip,
        prediction: Prediction,
        lent: Sequence[tokens.Lent],
        missed: Sequence[str],
    ) -> NoReturn:
        if prediction.status == "canceled":
            message = prediction.error_message or "The prediction was canceled."
            await self.row.write(lifecycle.cancel_clip, clip.id, ended=True, message=message)
            raise ClipEnded
        await self.row.fail(
            prediction.error_code or "prediction_failed",
            self._explained(prediction, lent, missed),
            ended=True,
        )

    async def _bill(self, prediction: Prediction) -> None:
        await self.row.write(
            predictions.billed,
            self.row.id,
            prediction.id,
            seconds=prediction.seconds,
            cost=prediction.cost,
            metrics=prediction.metrics,
            billable_units=prediction.billable_units,
        )

    def _was_down(self, clip: Clip) -> bool:
        """Whether nobody could fetch from us at some time since the prediction was asked for."""
        asked = clip.submitting_at
        return self._work.draining.is_set() or (asked is not None and asked < self._work.started_at)

    async def _lent(self, prediction: Prediction) -> list[tokens.Lent]:
        """For an input that the provider could not use: what it was to fetch."""
        if prediction.error_code not in unfetched.INPUT_CODES:
            return []
        await self._work.flush_access_log()
        return await self._db.read(tokens.lent_for, self.row.id)

    def _start_over(self, conn: Connection, code: str | None, missed: Sequence[str]) -> None:
        clip = jobs.get_clip(conn, self.row.id)
        lifecycle.restart_clip(conn, clip.id)
        if missed:
            note = (
                f"{clip.filename}: the service was restarted before {self._job.provider} had "
                f"fetched {', '.join(missed)}, so the prediction failed ({code}). A new one is "
                "asked for."
            )
            jobs.add_note(conn, self._job.id, note)

    def _explained(
        self, prediction: Prediction, lent: Sequence[tokens.Lent], missed: Sequence[str]
    ) -> str:
        """The provider's words; for an input it could not use, whether it came to fetch it."""
        said = prediction.error_message or "The provider does not say why."
        return f"{said} {unfetched.words(self._job.provider.capitalize(), lent, missed)}".strip()

    async def _succeeded(self, clip: Clip, prediction: Prediction) -> None:
        """Commit where the files are, and the assets that they will be."""
        expired = prediction.error_code == "output_expired"
        # Models may repeat their input: that is no output, and never what the clip is about.
        given = [clip.sent, prediction.input]
        made = [one for one in prediction.outputs if not self._is_repeated(one, given)]
        if not made and not expired:
            words = prediction.error_message or "The prediction succeeded without a file."
            await self.row.fail("no_output", words, ended=True)
        self._inline = await self.row.write(
            storing.record,
            self._work,
            self._job,
            self.row.id,
            # What the provider has deleted already is listed all the same: it was paid for.
            made or [Output(url="")],
            left_out=prediction.left_out,
            expired=expired,
        )

    def _is_repeated(self, output: Output, given: object) -> bool:
        """Whether a file is one that the model was given: under a URL of ours, or in its input."""
        if not data_uri.is_one(output.url) and tokens_in(self._work, output.url):
            return True
        return sent.mentions(given, output.url)

    async def _store(self, clip: Clip) -> None:
        """Store the files; the clip is completed even when that fails for now."""
        now = self._work.clock.monotonic
        due = 0.0
        reports: set[asyncio.Task[None]] = set()

        def report(done: int, total: int | None, share: float) -> None:
            nonlocal due
            if now() >= due:
                due = now() + REPORT_EVERY
                values = {"bytes_stored": done, "bytes_total": total}
                progress = PREDICTED + (1 - PREDICTED) * share
                task = asyncio.create_task(self._report(progress, **values))
                reports.add(task)
                task.add_done_callback(reports.discard)

        try:
            rows = await storing.store(self._work, self._claim, clip.id, self._inline, report)
        finally:
            for task in reports:
                task.cancel()
        unsaved = [row for row in rows if row.storage_state != "stored"]
        if self._work.keep_unsaved or not unsaved:
            size = sum(row.size or 0 for row in rows if row.storage_state == "stored")
            values: ClipChanges = {} if unsaved else {"bytes_stored": size, "bytes_total": size}
            await self.row.write(lifecycle.complete_clip, clip.id, **values)
        else:
            await self.row.write(self._forget, unsaved, len(rows))
        self._inline = {}

    def _forget(self, conn: Connection, unsaved: list[Asset], count: int) -> None:
        """Fail the clip for failed saves, for those who do not want to keep what is not stored."""
        for row in unsaved:
            assets.delete(conn, row.id)
        why = (unsaved[0].storage_error or {}).get("message", "")
        what = "The video was" if count == 1 else f"{len(unsaved)} of {count} files were"
        message = f"{what} generated but could not be stored. {why}"
        lifecycle.fail_clip(conn, self.row.id, "not_saved", message, ended=True)

    async def _report(self, progress: float, **values: int | None) -> None:
        with contextlib.suppress(LeaseLost):  # who works on it finds that out for itself
            await self.row.show(progress=progress, **values)
