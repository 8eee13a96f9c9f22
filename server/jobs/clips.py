"""One clip: from its prompt to a prediction's output, and to the asset that it becomes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from server.catalog import assets, jobs, names, predictions, tokens
from server.errors import StorageFull
from server.jobs import unfetched
from server.jobs.clip_row import ClipEnded
from server.jobs.save import QUIET, save
from server.jobs.submitting import Submitting
from server.providers.base import (
    Output,
    Passing,
    Prediction,
    Vanished,
)

log = structlog.get_logger(__name__)

# Of a clip's progress, what the prediction is; storing its bytes is the rest.
PREDICTED = 0.9
# Seconds between look-ups: the first, the factor, the longest; and where webhooks tell as well.
POLL = (0.5, 1.4, 10.0)
POLL_BESIDE_WEBHOOKS = (3.0, 1.5, 30.0)
# A passing failure (E003, E004) is waited out for so many seconds before a new prediction.
AGAIN = 5.0
# How far storing is, is told at once and then so often: each time is a commit.
TELL = 0.5
# On a full disk nothing can be written down: looked at again after so many seconds.
FULL = 5.0


class ClipRun(Submitting):
    """Takes one clip as far as it goes. May be started again at any point."""

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
                await self._predict()
        clip = await self._clip()
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

    async def give_up(self, code: str, message: str) -> None:
        """Fail the clip before anything is asked for; a retry begins anew."""
        await self._fail(code, message, ended=True)

    async def _predict(self) -> None:
        clip = await self._clip()
        if clip.prediction_id is None:
            if clip.submitting_at is None or not await self._find_lost(clip):
                await self._submit(clip)
            clip = await self._clip()
        await self._follow(clip.prediction_id, clip.handles or {})

    async def _follow(self, prediction_id: str, handles: Mapping[str, str]) -> None:
        """Look the prediction up until it has ended."""
        hooked = self._work.webhook_base[self._job.provider] is not None
        wait, factor, longest = POLL_BESIDE_WEBHOOKS if hooked else POLL
        shown: tuple[float, int | None] = (0.0, None)
        while True:
            await self._check_canceled()
            try:
                prediction = await self._provider.look_up(
                    prediction_id, model=self._job.model, handles=handles
                )
            except Passing as error:
                await (self._rest(error.retry_after) if error.retry_after else self._pause(wait))
                wait = min(wait * factor, longest)
                continue
            except Vanished as error:
                await self._fail(error.code, error.detail, ended=True)
                raise ClipEnded from None
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
            await self._set(
                status="canceled",
                prediction_ended=True,
                error_code="canceled",
                error_message=prediction.error_message or "The prediction was canceled.",
            )
        else:
            await self._fail(
                prediction.error_code or "prediction_failed",
                self._explained(prediction, lent, verdict.missed),
                ended=True,
            )
        raise ClipEnded

    async def _bill(self, prediction: Prediction) -> None:
        await self._db.write(
            predictions.billed, self._id, prediction.id, prediction.seconds, prediction.cost
        )

    def _was_down(self, clip: Row[Any]) -> bool:
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
        jobs.start_over(conn, clip)
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
        """Commit where the output is, and the asset that it will be."""
        await self._bill(prediction)
        expired = prediction.error_code == "output_expired"
        if not prediction.outputs and not expired:
            words = prediction.error_message or "The prediction succeeded without a file."
            await self._fail("no_output", words, ended=True)
            raise ClipEnded
        # What the provider has deleted already is listed all the same: it was paid for.
        output = prediction.outputs[0] if prediction.outputs else Output(url="")

        def apply(conn: Connection) -> None:
            clip = jobs.get_clip(conn, self._id)
            if clip.asset_id is not None:
                return
            asset_id = assets.insert_asset(
                conn,
                user_id=self._job.user_id,
                project_id=self._job.project_id,
                scene_id=self._job.scene_id,
                job_id=self._job.id,
                role="clip",
                kind="video",
                filename=names.safe_filename(_title(clip.prompt), extension="mp4"),
                content_type="video/mp4",
                source_url=output.url or None,
                source_expires_at=output.expires_at,
                prompt=clip.prompt,
                now=self._work.clock(),
                storage_state="expired" if expired else "pending",
            )
            jobs.change_clip(
                conn,
                self._id,
                status="completed" if expired else "storing",
                progress=1.0 if expired else PREDICTED,
                asset_id=asset_id,
                queue_position=None,
            )

        await self._db.write(apply)

    async def _store(self, clip: Row[Any]) -> None:
        """Store the output; the clip is completed even when that fails for now."""
        now = asyncio.get_running_loop().time
        due = 0.0

        def report(done: int, total: int | None) -> None:
            nonlocal due
            if now() >= due:
                due = now() + TELL
                part = min(1.0, done / total) if total else 0.0
                values = {"bytes_stored": done, "bytes_total": total}
                progress = PREDICTED + (1 - PREDICTED) * part
                self._background(self._set_pending(progress=progress, **values))

        stored = await save(self._work, clip.asset_id, quiet=QUIET, report=report)
        if stored or self._work.keep_unsaved:
            await self._set(status="completed", progress=1.0)
        else:
            await self._forget(clip)

    async def _forget(self, clip: Row[Any]) -> None:
        """Fail the clip for a failed save, for those who do not want to keep what is not stored."""

        def apply(conn: Connection) -> None:
            row = assets.get(conn, clip.asset_id)
            why = (row.storage_error or {}).get("message", "") if row is not None else ""
            assets.delete(conn, clip.asset_id)
            jobs.change_clip(
                conn,
                self._id,
                status="failed",
                prediction_ended=True,
                error_code="not_saved",
                error_message=f"The video was generated but could not be stored. {why}",
            )

        await self._db.write(apply)

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _title(prompt: str) -> str:
    """The beginning of a prompt, as the name of a file."""
    words = " ".join(prompt.split())
    return words if len(words) <= 60 else words[:60].rpartition(" ")[0] or words[:60]
