"""The built-in provider for those without an account: draws the prompt, and says that it does.

It behaves like a distant one: it answers at once, works in the background, fetches the images
over HTTP, keeps outputs for an hour, and still knows its predictions after a restart. For that
each prediction is a file in its folder (`sample_folder`), and its output another.
"""

import asyncio
import base64
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx

from server.clock import Clock
from server.errors import ReelbaseError
from server.providers import models
from server.providers.base import (
    BadWebhook,
    ModelInfo,
    NotSent,
    Output,
    Prediction,
    Refused,
    Status,
    Submission,
    Vanished,
    check_input,
    clean,
)
from server.providers.sample_folder import KEPT, Folder, Record

logger = logging.getLogger(__name__)

_SIZES = {"16:9": (640, 360), "9:16": (360, 640), "1:1": (480, 480)}
_FPS = 24
_DURATION = 4.0
_LONGEST = 60.0
_LARGEST_IMAGE = 32 * 1024 * 1024
_SCHEME = "sample:"


class Renders(Protocol):
    """What of `server.media.Media` is needed here."""

    async def render(
        self,
        out: Path,
        *,
        prompt: str,
        image: bytes | None,
        duration: float,
        width: int,
        height: int,
        fps: int,
    ) -> None:
        """Draw a clip of `duration` seconds to `out`; raises ReelbaseError."""
        ...


@dataclass
class _Work:
    task: asyncio.Task[None]
    status: Status = "queued"
    progress: float = 0.0


class _UnreadableInput(Exception):
    """An input that cannot be fetched, with the words for it."""


class Sample:
    """The provider `sample`; see `base.Provider` for what each method does."""

    name = "sample"
    lists_reliably = True

    def __init__(
        self, media: Renders, folder: Path, client: httpx.AsyncClient, clock: Clock
    ) -> None:
        """`folder` is this provider's own; `client` fetches input images and stays the caller's."""
        self._media = media
        self._folder = Folder(folder)
        self._client, self._clock = client, clock
        self._work: dict[str, _Work] = {}

    def models(self) -> tuple[ModelInfo, ...]:
        """See `base.Provider`."""
        return models.SAMPLE

    async def submit(self, submission: Submission) -> Prediction:
        """See `base.Provider`. Any model name will do; the result is the same drawing."""
        check_input(submission)
        _settings(submission.input)
        record = Record(
            id=f"sample-{secrets.token_hex(12)}",
            model=submission.model,
            input=dict(submission.input),
            created_at=self._clock.now().timestamp(),
        )
        try:
            await asyncio.to_thread(self._folder.sweep, self._clock.now().timestamp())
            # On the disk before the id is told: what was promised is made, whatever happens.
            await asyncio.to_thread(self._folder.write, record)
        except OSError as error:
            raise NotSent(f"The sample could not be noted down: {error.strerror}") from error
        self._start(record)
        return self._seen(record)

    async def look_up(
        self, prediction_id: str, *, model: str = "", handles: Mapping[str, str] | None = None
    ) -> Prediction:
        """See `base.Provider`. What a restart interrupted is begun again."""
        record = await self._record(prediction_id)
        if record.status is None and prediction_id not in self._work:
            # It may have ended in between; then the file says so by now.
            record = await self._record(prediction_id)
            if record.status is None and prediction_id not in self._work:
                self._start(record)
        return self._seen(record)

    async def cancel(
        self, prediction_id: str, *, model: str = "", handles: Mapping[str, str] | None = None
    ) -> None:
        """See `base.Provider`."""
        work = self._work.get(prediction_id)
        if work:
            work.task.cancel()
            await asyncio.wait([work.task])
        record = await self._record(prediction_id)
        if record.status is None:
            words = "The sample was canceled."
            await self._end(record, "canceled", error_code="canceled", error_message=words)

    async def recent(self, since: datetime) -> list[Prediction]:
        """See `base.Provider`."""
        records = await asyncio.to_thread(self._folder.all)
        records.sort(key=lambda record: record.created_at, reverse=True)
        return [self._seen(record) for record in records if record.created_at >= since.timestamp()]

    async def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> Prediction:
        """Never genuine: the sample provider sends none."""
        raise BadWebhook("The sample provider sends no webhooks")

    def open_output(self, url: str) -> AsyncIterator[bytes] | None:
        """The bytes of an output, in pieces; Vanished on the first when its hour is over."""
        if not url.startswith(_SCHEME):
            return None
        return self._folder.read_output(url.removeprefix(_SCHEME))

    async def aclose(self) -> None:
        """Stop drawing; a later look-up of what was interrupted begins it again."""
        tasks = [work.task for work in self._work.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self, prediction_id: str) -> Record:
        record = await asyncio.to_thread(self._folder.read, prediction_id)
        if record is None:
            raise Vanished(f"The sample provider does not know {prediction_id}")
        return record

    def _start(self, record: Record) -> None:
        task = asyncio.create_task(self._draw(record))
        self._work[record.id] = _Work(task)
        task.add_done_callback(lambda _: self._work.pop(record.id, None))

    async def _draw(self, record: Record) -> None:
        work = self._work[record.id]
        begun = self._clock.monotonic()
        part = self._folder.part(record.id)
        try:
            work.status, work.progress = "processing", 0.1
            image = await self._fetch(record.input, models.SAMPLE[0].image)
            # Only the first is drawn, but a provider that makes videos would ask for both.
            await self._fetch(record.input, models.SAMPLE[0].last_frame)
            work.progress = 0.3
            duration, (width, height) = _settings(record.input)
            await self._media.render(
                part,
                prompt=f"Sample: {record.input['prompt']}",
                image=image,
                duration=duration,
                width=width,
                height=height,
                fps=_FPS,
            )
            await asyncio.to_thread(self._folder.finish, record.id)
            await self._end(record, "succeeded", seconds=self._clock.monotonic() - begun)
        except _UnreadableInput as error:
            words = f"The input was invalid: {clean(str(error))} (E006)"
            await self._end(record, "failed", error_code="E006", error_message=words)
        except ReelbaseError as error:
            words = f"The sample could not be drawn: {error.detail}"
            await self._end(record, "failed", error_code=error.code, error_message=words)
        except Exception:
            logger.exception("drawing a sample failed")
            words = "The sample could not be drawn."
            await self._end(record, "failed", error_code="provider_failed", error_message=words)

    async def _end(self, record: Record, status: Status, **more: Any) -> None:
        ended = replace(record, status=status, ended_at=self._clock.now().timestamp(), **more)
        await asyncio.to_thread(self._folder.write, ended)

    async def _fetch(self, given: Mapping[str, Any], name: str | None) -> bytes | None:
        """An input file: by its URL and nothing else, as a distant provider would."""
        url = given.get(name or "")
        if not url:
            return None
        if not isinstance(url, str):
            raise _UnreadableInput(f"{name} is not a URL")
        if url.startswith("data:"):
            try:
                return base64.b64decode(url.partition(",")[2], validate=True)
            except ValueError as error:
                raise _UnreadableInput(f"{name} is not a data URI in base 64") from error
        data = bytearray()
        try:
            async with self._client.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise _UnreadableInput(f"{url} was answered with {answer.status_code}")
                async for piece in answer.aiter_bytes():
                    data += piece
                    if len(data) > _LARGEST_IMAGE:
                        raise _UnreadableInput(f"{name} has more than {_LARGEST_IMAGE} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, ReelbaseError) as error:
            raise _UnreadableInput(f"{url} could not be fetched: {error}") from error
        return bytes(data)

    def _seen(self, record: Record) -> Prediction:
        work = self._work.get(record.id)
        outputs: tuple[Output, ...] = ()
        if record.status == "succeeded" and record.ended_at:
            expires = datetime.fromtimestamp(record.ended_at + KEPT, UTC)
            outputs = (Output(f"{_SCHEME}{record.id}", "video/mp4", expires),)
        return Prediction(
            id=record.id,
            status=record.status or (work.status if work else "queued"),
            progress=1.0 if outputs else work.progress if work else None,
            outputs=outputs,
            error_code=record.error_code,
            error_message=record.error_message,
            model=record.model,
            input=record.input,
            created_at=datetime.fromtimestamp(record.created_at, UTC),
            seconds=record.seconds,
            cost=0.0,
        )


def _settings(given: Mapping[str, Any]) -> tuple[float, tuple[int, int]]:
    """Seconds, and width and height in pixels; Refused for what cannot be drawn."""
    if not isinstance(given.get("prompt"), str):
        raise Refused("A sample needs a prompt.")
    duration = given.get("duration", _DURATION)
    if not isinstance(duration, int | float) or not 0 < duration <= _LONGEST:
        raise Refused(f"A sample lasts up to {_LONGEST:g} seconds, not {duration!r}.")
    size = _SIZES.get(str(given.get("aspect_ratio", "16:9")))
    if size is None:
        raise Refused(f"A sample has one of the aspect ratios {', '.join(_SIZES)}.")
    return float(duration), size
