"""What jobs work with, put together once in `server/app.py`."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from server.ingest.ytdlp import YtDlp
from server.library.claims import Claims
from server.media import Media, Source
from server.parts import Parts


@dataclass(frozen=True)
class Downloads:
    """How URLs that users name are fetched, and within which limits.

    `client` and `ytdlp` go through the guard; times are in seconds: `max_seconds` of a video,
    `timeout` of a whole download, `stall` without a byte, `retry` before the second attempt.
    """

    client: httpx.AsyncClient
    ytdlp: YtDlp
    max_bytes: int
    max_seconds: float
    timeout: float
    stall: float
    retry: float
    at_once: int


@dataclass
class Work(Parts):
    """The parts that jobs use."""

    media: Media
    # A guarded client: outputs come from hosts that a provider names.
    client: httpx.AsyncClient
    # Where a provider may post webhooks, by its name; None where it cannot.
    webhook_base: Mapping[str, str | None]
    downloads: Downloads
    # A folder on the volume for files that live as long as one step; emptied at start.
    folder: Path
    claims: Claims
    # When this process began: before it nobody could fetch anything from us.
    started_at: datetime
    # Set when a shutdown begins: nothing new is begun, what runs is followed.
    draining: asyncio.Event
    # Writes down uses of tokens that are only in memory yet.
    flush_access_log: Callable[[], Awaitable[None]]
    submission_grace: float
    max_attempts: int
    save_retry: float
    keep_unsaved: bool
    max_output_bytes: int
    # Predictions at a time, by provider.
    slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    concurrency: int = 8
    # Submissions whose answer is still to be written down, whoever has their job now.
    unfinished: set[asyncio.Future[None]] = field(default_factory=set)
    # What makes waits differ: a number from 0 to 1.
    spread: Callable[[], float] = random.random

    def source(self, blob_id: int, size: int) -> Source:
        """A blob as the media process reads it."""

        async def read(start: int, stop: int) -> bytes:
            pieces = [piece async for piece in self.blobs.read(blob_id, start, stop)]
            return b"".join(pieces)

        return Source(size=size, read=read)

    def slot(self, provider: str) -> asyncio.Semaphore:
        """What limits how many predictions of a provider run at a time."""
        return self.slots.setdefault(provider, asyncio.Semaphore(self.concurrency))
