"""Asking for a prediction: once, whatever happens in between.

`submitting_at` is committed before the provider is asked, the prediction's id before anything
waits on it. Whoever finds the first without the second (after a crash, a broken connection, a
5xx) looks for the lost prediction; what cannot be told is left to the owner.
"""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import structlog
from sqlalchemy import Connection

from server.catalog import jobs, predictions, sent, tokens
from server.catalog.leases import LeaseLost
from server.catalog.records import Clip
from server.clock import wait as wait_for
from server.errors import Invalid
from server.jobs import inputs, retry
from server.jobs.clip_row import ClipEnded, ClipRow, Trouble
from server.jobs.context import Work
from server.library import lifecycle
from server.library.claims import Claim
from server.providers.base import NotSent, Passing, Prediction, Refused, Submission, Unknown

log = structlog.get_logger(__name__)

# How long a shutdown waits for the answer to a POST that is on its way, in seconds.
SUBMIT_AT_SHUTDOWN = 10.0
# Clocks differ: a lost prediction may seem older than its submission, by so many seconds.
SKEW = 120
# A submission that is surely lost is sent again so often.
RESENDS = 1
# The waits between looks for a lost prediction, in seconds: the first, and the longest.
LOOK = (0.5, 5.0)

Begun = Literal["begun", "adopted", "spent", "canceled"]


class Submitter:
    """Gets a clip its prediction."""

    def __init__(self, work: Work, claim: Claim, row: ClipRow) -> None:
        self._work, self._claim, self._row = work, claim, row
        self._job = row.job
        self._provider = work.providers[row.job.provider]
        self._db = work.database

    async def obtain(self, clip: Clip) -> None:
        """Return when the clip has a prediction: asked for, or found again.

        Raises ClipEnded and CancelRequested.
        """
        if clip.submitting_at is None or not await self._find_lost(clip):
            await self._submit(clip)

    async def _submit(self, clip: Clip) -> None:
        """Ask for the prediction: once, and as often as it surely did not arrive."""
        trouble = Trouble(self._work, self._row, "submit", retry.SUBMIT, "not sent yet.")
        # Tokens are issued and files uploaded for the input: not while the service drains.
        await self._row.wait_while_draining()
        given = await self._input(clip)
        while True:
            await self._row.wait_while_draining()
            await self._row.look()
            # Neither a shutdown nor a cancellation tears the POST from the commit of its answer.
            attempt = asyncio.ensure_future(self._submit_once(given))
            try:
                await asyncio.shield(attempt)
                return
            except NotSent as error:
                log.info("not sent, will try again", clip=clip.id, reason=error.detail)
                if not await trouble.wait(error.detail, retry_after=error.retry_after):
                    await self._row.fail(error.code, error.detail, ended=True)
            except asyncio.CancelledError:
                await wait_for(self._work.clock, asyncio.wait([attempt]), SUBMIT_AT_SHUTDOWN)
                if self._work.draining.is_set():
                    attempt.cancel()
                else:
                    # The lease is lost: what is answered is right all the same.
                    self._work.unfinished.add(attempt)
                    attempt.add_done_callback(self._work.unfinished.discard)
                raise

    async def _input(self, clip: Clip) -> dict[str, Any]:
        """What the model gets; a clip for which it cannot be made fails before it is paid."""
        words = "a file that it needs could not be uploaded yet."
        trouble = Trouble(self._work, self._row, "input", retry.SUBMIT, words)
        while True:
            await self._row.look()
            try:
                given = await inputs.build(self._work, self._claim, self._job, clip)
            except Passing as error:  # an upload that can be tried again
                if not await trouble.wait(error.detail, retry_after=error.retry_after):
                    await self._row.fail(error.code, error.detail, ended=True)
            except (Invalid, Refused) as error:
                await self._row.fail(error.code, error.detail, ended=True)
            else:
                await trouble.over(clip)
                return given

    async def _submit_once(self, given: dict[str, Any]) -> None:
        if self._work.draining.is_set():
            # Who would serve it the files that it needs?
            raise NotSent("The service is shutting down.")
        nonce = secrets.token_urlsafe(16)
        base = self._work.webhook_base[self._job.provider]
        webhook_url = None if base is None else f"{base}?clip={nonce}"
        begun = await self._row.write(self._begin, nonce, sent.short(given))
        if begun == "spent":
            await self._fail_unless_adopted("it was asked once more already")
        if begun != "begun":
            return
        try:
            if self._work.draining.is_set():  # since the commit began
                raise NotSent("The service is shutting down.")
            self._claim.check()
            prediction = await self._provider.submit(
                Submission(model=self._job.model, input=given, webhook_url=webhook_url)
            )
        except (NotSent, LeaseLost):
            await self._claim.write_unfenced(lifecycle.unsubmit_clip, self._row.id, nonce)
            raise
        except Refused as error:
            await self._row.fail(error.code, error.detail, ended=True)
        except Unknown as error:
            log.warning("submission unknown", clip=self._row.id, reason=error.detail)
            if not await self._find_lost(await self._row.look()):
                await self._submit_once(given)
            return
        # A late answer is right, too, as a webhook's would be: so it needs no lease.
        adopted = await self._claim.write_unfenced(
            lifecycle.answer_submission,
            self._row.id,
            nonce,
            prediction.id,
            prediction.handles,
            self._work.clock.now(),
        )
        # Another clip with the very same input may have taken it for its own lost one: then
        # that one's is left for this clip.
        if not adopted and not await self._find_lost(await self._row.look()):
            await self._fail_unless_adopted("its prediction is another clip's")

    def _begin(self, conn: Connection, nonce: str, short: Mapping[str, Any]) -> Begun:
        """Commit the intent to ask, unless there is a reason not to."""
        clip = jobs.get_clip(conn, self._row.id)
        job = jobs.get(conn, self._job.id)
        if job is None or job.cancel_requested:
            return "canceled"
        # A webhook may have reported the lost prediction since it was looked for in vain.
        if clip.prediction_id is not None:
            return "adopted"
        again = clip.submitting_at is not None
        if again and clip.resends >= RESENDS:
            return "spent"
        now = self._work.clock.now()
        lifecycle.submit_clip(conn, clip, now=now, nonce=nonce, sent=short, again=again)
        return "begun"

    async def _find_lost(self, clip: Clip) -> bool:
        """Look for the prediction of a submission that was never answered; whether it is found.

        False when the provider, which lists reliably, surely has none: then it may be asked
        again. When that cannot be told the clip fails with `submission_unknown`. A webhook may
        report it meanwhile, by the submission's nonce.
        """
        if clip.prediction_id is not None:
            return True
        assert clip.submitting_at is not None
        words = "looking for the prediction of a request that was not answered."
        trouble = Trouble(self._work, self._row, "lost", retry.LOST, words)
        since = clip.submitting_at - timedelta(seconds=SKEW)
        deadline = clip.submitting_at + timedelta(seconds=self._work.submission_grace)
        wait, longest = LOOK
        while True:
            clip = await self._row.look()
            if clip.prediction_id is not None:
                return True
            late = self._work.clock.now() >= deadline
            try:
                recent = await self._provider.recent(since)
            except Passing as error:
                if not await trouble.wait(error.detail, retry_after=error.retry_after):
                    if late:
                        return await self._fail_unless_adopted(
                            "the provider cannot be asked about it"
                        )
                    await self._row.pause(longest)
                continue
            await trouble.over(clip)
            found, possible = await self._match(clip, recent)
            rivals = await self._db.read(predictions.claimants, clip)
            # There are as many candidates as waiting clips with this input: any assignment is
            # correct.
            if found and len(found) == rivals and await self._adopt(found[0]):
                log.info("lost prediction found", clip=clip.id, prediction=found[0].id)
                return True
            if late:
                if found or possible:
                    return await self._fail_unless_adopted("several predictions may be this clip's")
                if self._provider.lists_reliably:
                    return False
                return await self._fail_unless_adopted("this provider does not tell what it has")
            await self._row.pause(wait)
            wait = min(wait * 2, longest)

    async def _adopt(self, prediction: Prediction) -> bool:
        return await self._row.write(
            lifecycle.adopt_prediction,
            self._row.id,
            prediction.id,
            prediction.handles,
            self._work.clock.now(),
        )

    async def _match(
        self, clip: Clip, recent: list[Prediction]
    ) -> tuple[list[Prediction], list[Prediction]]:
        """The predictions that have this clip's input; and those that do not tell theirs."""
        owned = await self._db.read(predictions.owned, self._job.provider)
        free = [
            one for one in recent if one.id not in owned and _same_model(one.model, self._job.model)
        ]
        # The provider forgets inputs after an hour.
        possible = [one for one in free if not one.input]
        mine = await self._db.read(tokens.of_clip, clip.id)
        if mine:
            # Its input has a token that no other prediction was ever given.
            return [one for one in free if mine & tokens_in(self._work, one.input)], possible
        ours = clip.sent or {"prompt": clip.prompt}
        return [one for one in free if one.input and sent.has(one.input, ours)], possible

    async def _fail_unless_adopted(self, why: str) -> Literal[True]:
        """Leave it to the owner; unless a webhook has reported it meanwhile: then True."""

        def fail(conn: Connection) -> bool:
            if jobs.get_clip(conn, self._row.id).prediction_id is not None:
                return False
            message = (
                f"The provider was asked but its answer was lost, and {why}. Look at the account "
                "there: a retry asks for a new prediction, which may be paid twice."
            )
            lifecycle.fail_clip(conn, self._row.id, "submission_unknown", message, ended=True)
            return True

        if await self._row.write(fail):
            log.warning("clip failed", clip=self._row.id, code="submission_unknown")
            raise ClipEnded
        return True


def tokens_in(work: Work, value: Any) -> set[str]:
    """The tokens of ours that stand in URLs anywhere in a prediction's input, by id."""
    if isinstance(value, str):
        found = parse_qs(urlsplit(value).query).get("token", [])
        ids = (work.tokens.token_id(text) for text in found)
        return {one for one in ids if one is not None}
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*(tokens_in(work, one) for one in value))
    return set()


def _same_model(theirs: str | None, ours: str) -> bool:
    return theirs is not None and theirs.partition(":")[0] == ours.partition(":")[0]
