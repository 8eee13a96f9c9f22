"""What the service can do with a media file, each thing done by a child process with limits."""

import asyncio
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.media import sniff
from server.media.process import MediaError, Result, Source, run

_MIB = 1024 * 1024
_SLOW = 4 * _MIB  # bytes a second at the least, where a whole file is read and written twice
_ROOM = 1024 * _MIB  # bytes that a result may have beyond four times what went in
_LARGEST_SIDE = 4096  # pixels, of a sample clip

_MOVIES = frozenset({"video/mp4", "video/quicktime", "audio/mp4"})  # files made of boxes


@dataclass(frozen=True)
class Inspection:
    """What a file says about itself; None for what it does not say, or does not have."""

    width: int | None = None
    """Pixels, as shown: rotation applied, pixels square."""
    height: int | None = None
    duration: float | None = None
    """Seconds; None for still images."""
    codecs: str | None = None
    """Such as "h264, aac"."""
    fps: float | None = None
    poster: bytes | None = None
    """A JPEG at most 640 pixels wide; None where there is no picture."""


class Media:
    """Inspects, remuxes, joins and draws, by child processes: one call, one process."""

    def __init__(
        self, *, timeout: float = 60.0, memory: int = 1536 * _MIB, concurrency: int = 1
    ) -> None:
        """`timeout`: seconds for a call, beginning when its process does (calls that read
        whole files get more, by their size); `memory`: bytes of address space for a process;
        `concurrency`: processes at a time, further calls wait.
        """
        self._timeout = timeout
        self._memory = memory
        self._slots = asyncio.Semaphore(concurrency)

    async def inspect(self, source: Source) -> Inspection:
        """Size, duration, codecs and a poster of a video, a sound or an image.

        Raises `MediaError`. A file that was cut off after its index is not told from a whole
        one here: that is what `boxes.BoxScanner` is for.
        """
        facts, poster = await self._run("inspect", [source], _is_media)
        return Inspection(
            width=_whole(facts.get("width")),
            height=_whole(facts.get("height")),
            duration=_number(facts.get("duration")),
            codecs=str(facts["codecs"])[:100] if facts.get("codecs") else None,
            fps=_number(facts.get("fps")),
            poster=_starting(poster, b"\xff\xd8\xff") if poster else None,
        )

    async def faststart(self, source: Source, out: Path) -> None:
        """Write an MP4, MOV or M4A anew to `out`, its index first, every picture, sound and
        subtitle as it is. Raises `MediaError`; then there is no `out`.
        """
        await self._run("faststart", [source], _is_movie, out=out)

    async def concat(self, sources: Sequence[Source], out: Path) -> None:
        """Join videos in order into an MP4 at `out`, its index first.

        Without loss where all are coded alike; else encoded anew in H.264 and AAC, at the
        first one's size (others letterboxed) and rate, with silence for clips without sound.
        Raises `MediaError`; then there is no `out`.
        """
        if not sources:
            raise MediaError("There are no clips to join.")
        await self._run("concat", sources, _is_video, out=out)

    async def last_frame(self, source: Source) -> bytes:
        """A PNG of the last frame that can be decoded, as shown. Raises `MediaError`."""
        _, png = await self._run("last_frame", [source], _is_video)
        return _starting(png, b"\x89PNG")

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
        """Draw a sample clip of `duration` seconds to `out`: an MP4 that any browser plays,
        with the prompt on it, over the image where there is one. Raises `MediaError`.
        """
        if not (0 < duration <= 600 and 0 < fps <= 120 and min(width, height) >= 2):
            raise MediaError("A sample clip needs a size, a duration and a frame rate.")
        arguments = {
            "prompt": prompt,
            "duration": duration,
            "width": min(width, _LARGEST_SIDE),
            "height": min(height, _LARGEST_SIDE),
            "fps": fps,
        }
        sources = [] if image is None else [_in_memory(image)]
        await self._run("render", sources, _is_image, out=out, arguments=arguments)

    async def _run(
        self,
        operation: str,
        sources: Sequence[Source],
        accepts: Callable[[str], bool],
        *,
        out: Path | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Result:
        """One call: `out` says that a file is written, and is removed when the call fails."""
        total = sum(source.size for source in sources)
        seconds = self._timeout
        if out is not None:
            seconds += total / _SLOW + self._timeout * max(0, len(sources) - 1)
        job = {
            "operation": operation,
            "arguments": {**(arguments or {}), "out": _absolute(out)},
            "limits": {
                "memory": self._memory,
                # Above what all processors can do in time: for a child that has lost us.
                "cpu": math.ceil(seconds) * (os.cpu_count() or 1),
                # Only of regular files: a call that only reads may not write a byte.
                "file_size": 0 if out is None else 4 * total + _ROOM,
            },
        }
        async with self._slots:
            clock = asyncio.timeout(seconds)
            try:
                async with clock:
                    types = [await _type(source, accepts) for source in sources]
                    return await run({**job, "types": types}, sources)
            except BaseException as error:
                if out is not None:
                    await asyncio.to_thread(out.unlink, missing_ok=True)
                if isinstance(error, TimeoutError) and clock.expired():
                    words = "Working on the file took too long."
                    raise MediaError(words, code="media_timeout") from error
                raise


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


async def _type(source: Source, accepts: Callable[[str], bool]) -> str:
    found = sniff.content_type(await source.read(0, min(sniff.HEAD, source.size)))
    if not accepts(found):
        raise MediaError(f"This cannot be done with a file of type {found}.")
    return found


def _is_media(content_type: str) -> bool:
    return sniff.kind(content_type) != "other"


def _is_movie(content_type: str) -> bool:
    return content_type in _MOVIES


def _is_video(content_type: str) -> bool:
    return sniff.kind(content_type) == "video"


def _is_image(content_type: str) -> bool:
    return sniff.kind(content_type) == "image"


def _in_memory(data: bytes) -> Source:
    async def read(start: int, stop: int) -> bytes:
        return data[start:stop]

    return Source(len(data), read)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value <= _LARGEST_SIDE * 16 else None


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    return None


def _starting(data: bytes, magic: bytes) -> bytes:
    """The picture that the child made, which a taken-over child may not have made."""
    if not data.startswith(magic):
        raise MediaError("The media process failed on this file.", code="media_limits")
    return data
