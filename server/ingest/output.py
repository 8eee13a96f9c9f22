"""What yt-dlp says while it runs: lines with a word of ours in front and JSON behind."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server import json_bounds

PROGRESS, META, DONE = "REELBASE-PROGRESS", "REELBASE-META", "REELBASE-DONE"


@dataclass(frozen=True)
class Progress:
    """How far a download is: bytes, bytes a second, seconds; None for what is not known."""

    downloaded: int | None = None
    total: int | None = None
    speed: float | None = None
    eta: float | None = None


class Output:
    """Gathers the output of one run.

    `judge` sees what is known about the video before it is fetched, and may raise.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None],
        judge: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.meta: dict[str, Any] = {}
        self.done: dict[str, Any] | None = None
        self.too_large = False
        self.stalled = False  # set from outside
        self._on_progress = on_progress
        self._judge = judge
        self._before = 0  # bytes of the files that are finished: a video comes before its sound
        self._errors: deque[bytes] = deque(maxlen=200)

    def errors(self) -> str:
        """The last lines of standard error."""
        return b"".join(self._errors).decode(errors="replace")

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        """Read standard output to its end."""
        async for line in _lines(stream):
            self._take(line.decode(errors="replace"))

    async def keep_errors(self, stream: asyncio.StreamReader | None) -> None:
        """Read standard error to its end."""
        async for line in _lines(stream):
            self._errors.append(line)

    def _take(self, line: str) -> None:
        word, _, text = line.strip().partition(" ")
        # To its screen, and with exit status 0.
        self.too_large = self.too_large or "larger than max-filesize" in line
        if word not in (PROGRESS, META, DONE):
            return
        try:
            values = json_bounds.loads(text)
        except ValueError:
            return
        if not isinstance(values, dict):
            return
        if word == META:
            self.meta.update(values)
            self._judge(self.meta)
        elif word == DONE:
            self.done = values
        else:
            self._progress(values)

    def _progress(self, values: Mapping[str, Any]) -> None:
        downloaded = _whole(values.get("downloaded_bytes"))
        announced = _whole(values.get("total_bytes") or values.get("total_bytes_estimate"))
        expected = _whole(self.meta.get("filesize") or self.meta.get("filesize_approx"))
        total = None if announced is None else self._before + announced
        if expected is not None:
            total = max(total or 0, expected)
        if downloaded is not None:
            downloaded += self._before
        if values.get("status") == "finished" and downloaded is not None:
            self._before = downloaded
        self._on_progress(
            Progress(downloaded, total, _number(values.get("speed")), _number(values.get("eta")))
        )


async def _lines(stream: asyncio.StreamReader | None) -> AsyncIterator[bytes]:
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:
            continue  # longer than the stream's limit: it is dropped, and none of ours
        if not line:
            return
        yield line


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
