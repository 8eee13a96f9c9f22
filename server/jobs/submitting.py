"""Asking for a prediction: once, whatever happens in between.

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
from sqlalchemy import Connection

from server.catalog import jobs, predictions, sent, tokens
from server.catalog.records import Clip
from server.errors import Invalid
from server.jobs import inputs
from server.jobs.clip_row import ClipEnded, ClipRow
from server.library import lifecycle
from server.providers.base import NotSent, Passing, Prediction, Refused, Submission, Unknown

log = structlog.get_logger(__name__)

# How long a shutdown waits for the answer to a POST that is on its way, in seconds.
SUBMIT_AT_SHUTDOWN = 10.0
# Clocks differ: a lost prediction may seem older than its submission, by so many seconds.
SKEW = 120
# A submission that is surely lost is sent again so often.
RESENDS = 1
# How long beyond the grace a provider that does not answer is asked about a lost prediction.
UNREACHABLE = timedelta(minutes=15)


class Submitting(ClipRow):
    """The first half of a clip's way."""

    async def _submit(self, clip: Clip) -> None:
        """Ask for the prediction: once, and as often as it surely did not arrive."""
        wait = 1.0
        # Tokens are issued and files uploaded for the input: not while the service drains.
        await self.hold()
        given = await self._input(clip)
        while True:
            await self.hold()
            await self._check_canceled()
            # Neither a shutdown nor a cancellation tears the POST from the commit of its answer.
            attempt = asyncio.ensure_future(self._submit_once(given))
            try:
                await asyncio.shield(attempt)
                return
            except NotSent as error:
                log.info("not sent, will try again", clip=self._id, reason=error.detail)
                await self._rest(error.retry_after or wait)
                wait = min(wait * 2, 60.0)
            except asyncio.CancelledError:
                await asyncio.wait([attempt], timeout=SUBMIT_AT_SHUTDOWN)
                attempt.cancel()
                raise

    async def _input(self, clip: Clip) -> dict[str, Any]:
        """What the model gets; a clip for which it cannot be made fails before it is paid."""
        wait = 1.0
        while True:
            await self._check_canceled()
            try:
                return await inputs.build(self._work, self._job, clip)
            except Passing as error:  # an upload that can be tried again
                await self._pause(error.retry_after or wait)
                wait = min(wait * 2, 60.0)
            except (Invalid, Refused) as error:
                await self._fail(error.code, error.detail, ended=True)
                raise ClipEnded from None

    async def _submit_once(self, given: dict[str, Any]) -> None:
        if self._work.draining.is_set():
            # Who would serve it the files that it needs?
            raise NotSent("the service is shutting down")
        nonce = secrets.token_urlsafe(16)
        base = self._work.webhook_base[self._job.provider]
        webhook_url = None if base is None else f"{base}?clip={nonce}"

        def begin(conn: Connection) -> str:
            row = jobs.get_clip(conn, self._id)
            job = jobs.get(conn, self._job.id)
            if job is None or job.cancel_requested:
                return "canceled"
            # A webhook may have told of the lost prediction since it was looked for in vain.
            if row.prediction_id is not None:
                return "told"
            lost = row.submitting_at is not None
            if lost and row.resends >= RESENDS:
                return "again"
            lifecycle.submit_clip(
                conn,
                row,
                now=self._work.clock.now(),
                nonce=nonce,
                sent=sent.short(given),
                again=lost,
            )
            return "begun"

        begun = await self._db.write(begin)
        if begun == "canceled":
            await self._check_canceled()
        if begun == "again":
            await self._unknown("it was asked once more already")
        if begun != "begun":
            return
        try:
            if self._work.draining.is_set():  # since the commit began
                raise NotSent("the service is shutting down")
            prediction = await self._provider.submit(
                Submission(model=self._job.model, input=given, webhook_url=webhook_url)
            )
        except NotSent:
            await self._surely(lifecycle.unsubmit_clip, self._id)
            raise
        except Refused as error:
            await self._fail(error.code, error.detail, ended=True)
            raise ClipEnded from None
        except Unknown as error:
            log.warning("submission unknown", clip=self._id, reason=error.detail)
            if not await self._find_lost(await self._clip()):
                await self._submit_once(given)
            return
        # Another clip with the very same input may have taken it for its own lost one: then
        # that one's is left for this clip.
        if not await self._own(prediction) and not await self._find_lost(await self._clip()):
            await self._unknown("its prediction is another clip's")

    async def _own(self, prediction: Prediction) -> bool:
        return await self._surely(
            lifecycle.adopt_prediction,
            self._id,
            prediction.id,
            prediction.handles,
            self._work.clock.now(),
        )

    async def _find_lost(self, clip: Clip) -> bool:
        """Look for the prediction of a submission that was never answered; whether it is found.

        False when the provider, which lists reliably, surely has none: then it may be asked
        again. When that cannot be told the clip fails with `submission_unknown`. A webhook may
        tell meanwhile, by the submission's nonce.
        """
        assert clip.submitting_at is not None
        since = clip.submitting_at - timedelta(seconds=SKEW)
        deadline = clip.submitting_at + timedelta(seconds=self._work.submission_grace)
        wait = 0.5
        while True:
            await self._check_canceled()
            if (await self._clip()).prediction_id is not None:
                return True
            late = self._work.clock.now() >= deadline
            try:
                recent = await self._provider.recent(since)
            except Passing as error:
                if self._work.clock.now() >= deadline + UNREACHABLE:
                    return await self._unknown("the provider cannot be asked about it")
                await self._rest(error.retry_after or wait)
                wait = min(wait * 2, 30.0)
                continue
            found, possible = await self._match(clip, recent)
            rivals = await self._db.read(predictions.claimants, clip)
            # As many as are waited for, all of one input: which is whose makes no difference.
            if found and len(found) == rivals and await self._own(found[0]):
                log.info("lost prediction found", clip=self._id, prediction=found[0].id)
                return True
            if late:
                if found or possible:
                    return await self._unknown("several predictions may be this clip's")
                if self._provider.lists_reliably:
                    return False
                return await self._unknown("this provider does not tell what it has")
            await self._pause(wait)
            wait = min(wait * 2, 5.0)

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
        mine = await self._db.read(tokens.of_clip, self._id)
        if mine:
            # Its input has a token that no other prediction was ever given.
            return [one for one in free if mine & self._tokens_in(one.input)], possible
        ours = clip.sent or {"prompt": clip.prompt}
        return [one for one in free if one.input and sent.has(one.input, ours)], possible

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
            message = (
                f"The provider was asked but its answer was lost, and {why}. Look at the account "
                "there: a retry asks for a new prediction, which may be paid twice."
            )
            lifecycle.fail_clip(conn, self._id, "submission_unknown", message, ended=True)
            return False

        if await self._db.write(fail):
            return True
        log.warning("clip failed", clip=self._id, code="submission_unknown")
        raise ClipEnded


def _same_model(theirs: str | None, ours: str) -> bool:
    return theirs is not None and theirs.partition(":")[0] == ours.partition(":")[0]
