"""One clip: from its prompt to a prediction's output, never asking for a second prediction.

`submitting_at` is committed before the provider is asked, the prediction's id before anything
waits on it. Whoever finds the first without the second (after a crash, a broken connection, a
5xx) looks for the lost prediction; what cannot be told is left to the owner.
"""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from sqlalchemy import Connection, Row

from server.catalog import assets, jobs, names, tokens
from server.errors import ReelbaseError
from server.jobs import inputs
from server.jobs.context import Work
from server.jobs.save import QUIET, save
from server.providers.base import (
    NotSent,
    Output,
    Passing,
    Prediction,
    Provider,
    Refused,
    Submission,
    Unknown,
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
# How long a shutdown waits for the answer to a POST that is on its way, in seconds.
SUBMIT_AT_SHUTDOWN = 10.0
# Clocks differ: a lost prediction may seem older than its submission, by so many seconds.
SKEW = 120


class ClipEnded(Exception):
    """The clip's row says it all: failed or canceled."""


class ClipRun:
    """Takes one clip as far as it goes. May be started again at any point."""

    def __init__(self, work: Work, job: Row[Any], clip_id: str, nudge: asyncio.Event) -> None:
        """`nudge` is set when something has happened outside: a webhook, a cancellation."""
        self._work, self._job, self._id, self._nudge = work, job, clip_id, nudge
        self._provider: Provider = work.providers[job.provider]
        self._db = work.database

    async def run(self) -> None:
        """Go on from where the row says; returns when the clip is completed, failed, canceled."""
        try:
            clip = await self._clip()
            if clip.status in ("queued", "submitting", "processing"):
                async with self._work.slot(self._job.provider):
                    await self._predict()
            clip = await self._clip()
            if clip.status == "storing":
                await self._store(clip)
        except ClipEnded:
            return
        except ReelbaseError as error:
            await self._fail(error.code, error.detail, ended=True)

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

    async def _submit(self, clip: Row[Any]) -> None:
        """Ask for the prediction: once, and as often as it surely did not arrive."""
        wait = 1.0
        # Fails before anything is paid when the input cannot be made.
        given = await inputs.build(self._work, self._job, clip)
        while True:
            await self._check_canceled()
            # Neither a shutdown nor a cancellation tears the POST from the commit of its answer.
            attempt = asyncio.ensure_future(self._submit_once(given))
            try:
                await asyncio.shield(attempt)
                return
            except NotSent as error:
                log.info("not sent, will try again", clip=self._id, reason=error.detail)
                await self._pause(error.retry_after or wait)
                wait = min(wait * 2, 60.0)
            except asyncio.CancelledError:
                await asyncio.wait([attempt], timeout=SUBMIT_AT_SHUTDOWN)
                attempt.cancel()
                raise

    async def _submit_once(self, given: dict[str, Any]) -> None:
        nonce = secrets.token_urlsafe(16)
        base = self._work.webhook_base[self._job.provider]
        webhook_url = None if base is None else f"{base}?clip={nonce}"

        def begin(conn: Connection) -> bool:
            # A webhook may have told of the lost prediction since it was looked for in vain.
            if jobs.get_clip(conn, self._id).prediction_id is not None:
                return False
            jobs.change_clip(
                conn,
                self._id,
                status="submitting",
                submitting_at=self._work.clock(),
                nonce=nonce,
            )
            return True

        if not await self._db.write(begin):
            return
        try:
            prediction = await self._provider.submit(
                Submission(model=self._job.model, input=given, webhook_url=webhook_url)
            )
        except NotSent:
            await self._set(status="queued", submitting_at=None, nonce=None)
            raise
        except Refused as error:
            await self._fail(error.code, error.detail, ended=True)
            raise ClipEnded from None
        except Unknown as error:
            log.warning("submission unknown", clip=self._id, reason=error.detail)
            if not await self._find_lost(await self._clip()):
                await self._submit_once(given)
            return
        await self._own(prediction)

    async def _own(self, prediction: Prediction) -> None:
        await self._db.write(jobs.own_prediction, self._id, prediction.id, dict(prediction.handles))

    async def _find_lost(self, clip: Row[Any]) -> bool:
        """Look for the prediction of a submission that was never answered; whether it is found.

        False when the provider, which lists reliably, surely has none: then it may be asked
        again. When that cannot be told the clip fails with `submission_unknown`. A webhook may
        tell meanwhile, by the submission's nonce.
        """
        since = clip.submitting_at - timedelta(seconds=SKEW)
        deadline = clip.submitting_at + timedelta(seconds=self._work.submission_grace)
        wait = 0.5
        while True:
            await self._check_canceled()
            if (await self._clip()).prediction_id is not None:
                return True
            try:
                recent = await self._provider.recent(since)
            except Passing as error:
                await self._pause(error.retry_after or wait)
                wait = min(wait * 2, 30.0)
                continue
            found = await self._match(clip, recent)
            if len(found) == 1:
                log.info("lost prediction found", clip=self._id, prediction=found[0].id)
                await self._own(found[0])
                return True
            if len(found) > 1:
                return await self._unknown("several predictions may be this clip's")
            if self._work.clock() >= deadline:
                if self._provider.lists_reliably:
                    return False
                return await self._unknown("this provider does not tell what it has")
            await self._pause(wait)
            wait = min(wait * 2, 5.0)

    async def _match(self, clip: Row[Any], recent: list[Prediction]) -> list[Prediction]:
        """The predictions that can only be this clip's, or could be."""
        owned = await self._db.read(jobs.owned_predictions, self._job.provider, but=self._id)
        free = [one for one in recent if one.id not in owned]
        mine = await self._db.read(tokens.of_clip, self._id)
        if mine:
            # Its input has a token that no other prediction was ever given.
            return [one for one in free if mine & self._tokens_in(one.input)]
        return [
            one
            for one in free
            if _same_model(one.model, self._job.model)
            and one.input is not None
            and one.input.get("prompt") == clip.prompt
        ]

    def _tokens_in(self, value: Any) -> set[str]:
        """The tokens of ours that stand in URLs anywhere in a prediction's input, by id."""
        if isinstance(value, str):
            found = parse_qs(urlsplit(value).query).get("token", [])
            ids = (self._work.tokens.token_id(text) for text in found)
            return {one for one in ids if one is not None}
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, list):
            return set().union(*(self._tokens_in(one) for one in value))
        return set()

    async def _unknown(self, why: str) -> bool:
        """Leave it to the owner; unless a webhook has told meanwhile: then True."""

        def fail(conn: Connection) -> bool:
            if jobs.get_clip(conn, self._id).prediction_id is not None:
                return True
            jobs.change_clip(
                conn,
                self._id,
                status="failed",
                prediction_ended=True,
                error_code="submission_unknown",
                error_message=f"The provider was asked but its answer was lost, and {why}. Look "
                "at the account there: a retry asks for a new prediction, which may be paid twice.",
            )
            return False

        if await self._db.write(fail):
            return True
        log.warning("clip failed", clip=self._id, code="submission_unknown")
        raise ClipEnded

    async def _follow(self, prediction_id: str, handles: Mapping[str, str]) -> None:
        """Look the prediction up until it has ended."""
        hooked = self._work.webhook_base[self._job.provider] is not None
        wait, factor, longest = POLL_BESIDE_WEBHOOKS if hooked else POLL
        shown: tuple[float, int | None] = (0.0, None)
        while True:
            await self._check_canceled(prediction_id, handles)
            try:
                prediction = await self._provider.look_up(
                    prediction_id, model=self._job.model, handles=handles
                )
            except Passing as error:
                await self._pause(error.retry_after or wait)
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
        if prediction.passing and clip.attempts < self._work.max_attempts:
            log.info("prediction failed in passing", clip=self._id, code=prediction.error_code)
            await self._db.write(lambda conn: jobs.start_over(conn, jobs.get_clip(conn, self._id)))
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
                await self._explained(prediction),
                ended=True,
                cost=prediction.cost,
                seconds=prediction.seconds,
            )
        raise ClipEnded

    async def _explained(self, prediction: Prediction) -> str:
        """The provider's words; for an input it could not use, whether it came to fetch it."""
        words = prediction.error_message or "The provider does not say why."
        if prediction.error_code not in ("E006", "file_download_error"):
            return words
        await self._work.flush_access_log()
        told = await self._db.read(tokens.fetches_of_clip, self._id)
        name = self._job.provider.capitalize()
        return " ".join(
            [words, *(_fetched(name, filename, statuses) for filename, statuses in told)]
        )

    async def _succeeded(self, prediction: Prediction) -> None:
        """Commit where the output is, and the asset that it will be."""
        if not prediction.outputs:
            await self._fail("no_output", "The prediction succeeded without a file.", ended=True)
            raise ClipEnded
        output: Output = prediction.outputs[0]

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
                source_url=output.url,
                source_expires_at=output.expires_at,
                prompt=clip.prompt,
                now=self._work.clock(),
            )
            jobs.change_clip(
                conn,
                self._id,
                status="storing",
                progress=PREDICTED,
                asset_id=asset_id,
                queue_position=None,
                cost=prediction.cost,
                seconds=prediction.seconds,
            )

        await self._db.write(apply)

    async def _store(self, clip: Row[Any]) -> None:
        """Store the output; the clip is completed even when that fails for now."""
        shown = 0

        def report(done: int, total: int | None) -> None:
            nonlocal shown
            # Shown every few MiB: a commit for each piece would keep the writer busy.
            if done - shown >= 4 * 1024 * 1024:
                shown = done
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


def _fetched(provider: str, filename: str, statuses: list[int]) -> str:
    """What the access log knows of a provider's attempts at a file."""
    if not statuses:
        return f"{provider} never asked for {filename}: can it reach this service?"
    got = ", ".join(str(status) for status in dict.fromkeys(statuses))
    return f"{provider} asked for {filename} and got {got}."


def _same_model(theirs: str | None, ours: str) -> bool:
    return theirs is not None and theirs.partition(":")[0] == ours.partition(":")[0]


def _title(prompt: str) -> str:
    """The beginning of a prompt, as the name of a file."""
    words = " ".join(prompt.split())
    return words if len(words) <= 60 else words[:60].rpartition(" ")[0] or words[:60]
