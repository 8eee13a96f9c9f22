"""One clip: from its prompt to a prediction's output, and to the asset that it becomes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import structlog
from sqlalchemy import Connection

from server.catalog import assets, jobs, predictions, sent, tokens
from server.catalog.records import Asset, Clip, ClipChanges
from server.errors import StorageFull
from server.jobs import storing, unfetched
from server.jobs.clip_row import ClipEnded
from server.jobs.storing import PREDICTED
from server.jobs.submitting import Submitting
from server.library import lifecycle
from server.providers import data_uri
from server.providers.base import (
    Output,
    Passing,
    Prediction,
    ResultUnavailable,
    Vanished,
)

log = structlog.get_logger(__name__)

# Seconds between look-ups: the first, the factor, the longest; and where webhooks tell as well.
POLL = (0.5, 1.4, 10.0)
POLL_BESIDE_WEBHOOKS = (3.0, 1.5, 30.0)
# A passing failure (E003, E004) is waited out for so many seconds before a new prediction.
AGAIN = 5.0
# A provider that does not answer about a prediction is mentioned in the job's notes after so long.
SILENT = timedelta(seconds=20)
# How long the result of a prediction that has ended is asked for when that fails.
RESULT = timedelta(minutes=15)
# How far storing is, is told at once and then so often: each time is a commit.
TELL = 0.5
# On a full disk nothing can be written down: looked at again after so many seconds.
FULL = 5.0


class ClipRun(Submitting):
    """Takes one clip as far as it goes. May be started again at any point."""

    # The files that came inside the provider's answer, by asset: rows do not have them.
    _inline: Mapping[str, str] = MappingProxyType({})
    # Whether the job says that the provider does not answer: perhaps, from before a restart.
    _has_note = True

    async def run(self) -> None:
        """Go on from where the row says; returns when the clip is completed, failed, canceled."""
        while True:
            try:
                await self._go_on()
                return
            except ClipEnded:
                return
            except StorageFull:
                # Nothing is lost by waiting; failing would invite a retry, which is paid.
                await self._pause(FULL)

    async def _go_on(self) -> None:
        # In line before anything is awaited: a job's clips begin in their order.
        async with self._in_line() as place:
            clip = await self._clip()
            if clip.status in ("queued", "submitting", "processing"):
                await self._check_canceled()
                while not place.done():
                    await asyncio.wait([place], timeout=1.0)
                    await self._check_canceled()
                try:
                    await self._predict()
                except ClipEnded:
                    await self._answered()
                    raise
        clip = await self._clip()
        if clip.status == "storing":
            await self._store()

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

    async def give_up(self, code: str, message: str) -> None:
        """Fail the clip before anything is asked for; a retry begins anew."""
        await self._fail(code, message, ended=True)

    async def _predict(self) -> None:
        clip = await self._clip()
        if clip.prediction_id is None:
            if clip.submitting_at is None or not await self._find_lost(clip):
                await self._submit(clip)
            clip = await self._clip()
        assert clip.prediction_id is not None
        await self._follow(clip.prediction_id, clip.handles or {})

    async def _follow(self, prediction_id: str, handles: Mapping[str, str]) -> None:
        """Look the prediction up until it has ended."""
        hooked = self._work.webhook_base[self._job.provider] is not None
        wait, factor, longest = POLL_BESIDE_WEBHOOKS if hooked else POLL
        shown: tuple[float, int | None] = (0.0, None)
        silent_since = self._work.clock.now()
        while True:
            await self._check_canceled()
            try:
                prediction = await self._provider.look_up(
                    prediction_id, model=self._job.model, handles=handles
                )
            except Passing as error:
                await self._unanswered(prediction_id, silent_since, error)
                await (self._rest(error.retry_after) if error.retry_after else self._pause(wait))
                wait = min(wait * factor, longest)
                continue
            except Vanished as error:
                await self._fail(error.code, error.detail, ended=True)
                raise ClipEnded from None
            await self._answered()
            silent_since = self._work.clock.now()
            if prediction.status == "succeeded":
                await self._succeeded(prediction)
                return
            if prediction.status in ("failed", "canceled"):
                await self._ended_badly(prediction)
                return
            now = (PREDICTED * (prediction.progress or 0.0), prediction.queue_position)
            if now != shown:
                shown = now
                await self._set_pending(progress=now[0], queue_position=now[1])
            await self._pause(wait)
            wait = min(wait * factor, longest)

    async def _unanswered(self, prediction_id: str, since: datetime, error: Passing) -> None:
        """Say in the job's notes what is waited for; give up a result that never comes."""
        now = self._work.clock.now()
        if isinstance(error, ResultUnavailable):
            begun = await self._db.write(predictions.unavailable, self._id, prediction_id, now)
            if begun is not None and now - begun >= RESULT:
                await self._db.write(predictions.available_again, self._id, prediction_id)
                # It was paid for: a retry asks for the same result, not for a new prediction.
                minutes = int(RESULT.total_seconds() // 60)
                await self._fail(
                    "result_unavailable",
                    f"The prediction ended, but for {minutes} minutes its result could not be "
                    f"read. {error.detail} A retry asks for it again and costs nothing.",
                    ended=False,
                )
                raise ClipEnded
        if now - since >= SILENT:
            about = await self._waiting_for()
            await self._db.write(jobs.set_note, self._job.id, about, error.detail)
            self._has_note = True

    async def _answered(self) -> None:
        """Take back what `_unanswered` said."""
        if self._has_note:
            about = await self._waiting_for()
            await self._db.write(jobs.set_note, self._job.id, about, None)
            self._has_note = False

    async def _waiting_for(self) -> str:
        filename = (await self._clip()).filename
        return f"{filename}: waiting for the provider's answer."

    async def _ended_badly(self, prediction: Prediction) -> None:
        """Start over after a passing failure, as long as that is allowed; else fail."""
        clip = await self._clip()
        await self._bill(prediction)
        lent = await self._lent(prediction)
        verdict = unfetched.judge(
            prediction.error_code,
            temporary=prediction.passing,
            lent=lent,
            was_down=self._was_down(clip),
            attempts=clip.attempts,
            max_attempts=self._work.max_attempts,
        )
        if verdict.again:
            log.info("prediction failed in passing", clip=self._id, code=prediction.error_code)
            await self._db.write(self._start_over, prediction.error_code, verdict.missed)
            await self._pause(AGAIN)
            await self._predict()
            return
        if prediction.status == "canceled":
            message = prediction.error_message or "The prediction was canceled."
            await self._db.write(lifecycle.cancel_clip, self._id, ended=True, message=message)
        else:
            await self._fail(
                prediction.error_code or "prediction_failed",
                self._explained(prediction, lent, verdict.missed),
                ended=True,
            )
        raise ClipEnded

    async def _bill(self, prediction: Prediction) -> None:
        await self._db.write(
            predictions.billed,
            self._id,
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
        return await self._db.read(tokens.lent_for, self._id)

    def _start_over(self, conn: Connection, code: str | None, missed: Sequence[str]) -> None:
        clip = jobs.get_clip(conn, self._id)
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

    async def _succeeded(self, prediction: Prediction) -> None:
        """Commit where the files are, and the assets that they will be."""
        await self._bill(prediction)
        expired = prediction.error_code == "output_expired"
        # Models may repeat their input: that is no output, and never what the clip is about.
        given = [(await self._clip()).sent, prediction.input]
        made = [one for one in prediction.outputs if not self._is_repeated(one, given)]
        if not made and not expired:
            words = prediction.error_message or "The prediction succeeded without a file."
            await self._fail("no_output", words, ended=True)
            raise ClipEnded
        self._inline = await self._db.write(
            storing.record,
            self._work,
            self._job,
            self._id,
            # What the provider has deleted already is listed all the same: it was paid for.
            made or [Output(url="")],
            left_out=prediction.left_out,
            expired=expired,
        )

    def _is_repeated(self, output: Output, given: object) -> bool:
        """Whether a file is one that the model was given: under a URL of ours, or in its input."""
        if not data_uri.is_one(output.url) and self._tokens_in(output.url):
            return True
        return sent.mentions(given, output.url)

    async def _store(self) -> None:
        """Store the files; the clip is completed even when that fails for now."""
        now = self._work.clock.monotonic
        due = 0.0

        def told(done: int, total: int | None, share: float) -> None:
            nonlocal due
            if now() >= due:
                due = now() + TELL
                values = {"bytes_stored": done, "bytes_total": total}
                progress = PREDICTED + (1 - PREDICTED) * share
                self._background(self._set_pending(progress=progress, **values))

        rows = await storing.store(self._work, self._id, self._inline, told)
        unsaved = [row for row in rows if row.storage_state != "stored"]
        if self._work.keep_unsaved or not unsaved:
            size = sum(row.size or 0 for row in rows if row.storage_state == "stored")
            values: ClipChanges = {} if unsaved else {"bytes_stored": size, "bytes_total": size}
            await self._db.write(lifecycle.complete_clip, self._id, **values)
        else:
            await self._db.write(self._forget, unsaved, len(rows))
        self._inline = {}

    def _forget(self, conn: Connection, unsaved: list[Asset], count: int) -> None:
        """Fail the clip for failed saves, for those who do not want to keep what is not stored."""
        for row in unsaved:
            assets.delete(conn, row.id)
        why = (unsaved[0].storage_error or {}).get("message", "")
        what = "The video was" if count == 1 else f"{len(unsaved)} of {count} files were"
        message = f"{what} generated but could not be stored. {why}"
        lifecycle.fail_clip(conn, self._id, "not_saved", message, ended=True)

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
