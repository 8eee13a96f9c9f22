"""Landing: from a stream of foreign bytes to a finished blob that is whole and starts fast."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import structlog

from server.ingest.errors import IngestError
from server.jobs.context import Work
from server.library import intake
from server.media import MediaError
from server.media.boxes import BoxScanner

log = structlog.get_logger(__name__)

# Called with the bytes that have come, and the bytes of all, if known.
Report = Callable[[int, int | None], None]


@asynccontextmanager
async def land(
    work: Work,
    pieces: AsyncIterator[bytes],
    total: int | None,
    report: Report,
    *,
    remux: bool = True,
) -> AsyncIterator[intake.Incoming]:
    """Take a stream in; what nobody publishes is discarded afterwards.

    With `remux` an MP4 whose index comes last gets it in front. Raises IngestError (`truncated`)
    for a file that is cut off or empty, what reading `pieces` raises, and StorageFull.
    """
    scanner = BoxScanner()
    done = 0

    async def watch() -> AsyncIterator[bytes]:
        nonlocal done
        async for piece in pieces:
            scanner.feed(piece)
            done += len(piece)
            report(done, total)
            yield piece

    async with intake.receive(work.blobs, watch()) as incoming:
        scanner.finish(incoming.sealed.size)
        if scanner.is_mp4 and scanner.truncated:
            words = "The file is cut off: it is shorter than it says itself."
            raise IngestError("truncated", words, passing=True)
        if not incoming.sealed.size:
            raise IngestError("truncated", "The file is empty.", passing=True)
        if remux and scanner.moov_last:
            async with _faststart(work, incoming) as better:
                yield better
        else:
            yield incoming


@asynccontextmanager
async def _faststart(work: Work, incoming: intake.Incoming) -> AsyncIterator[intake.Incoming]:
    """The same video with its index in front, so that it starts before all of it has come."""
    path = work.folder / f"{uuid4().hex}.mp4"
    source = work.source(incoming.blob_id, incoming.sealed.size)
    try:
        try:
            await work.media.faststart(source, path)
        except MediaError as error:
            # It plays all the same, only later.
            log.info("not remuxed", reason=error.code)
            yield incoming
            return
        async with (
            aclosing(read_file(path)) as pieces,
            intake.receive(work.blobs, pieces) as better,
        ):
            yield better
    finally:
        path.unlink(missing_ok=True)


async def read_file(path: Path) -> AsyncGenerator[bytes, None]:
    """A file in pieces of a MiB; to be closed (`aclosing`), as it has the file open."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, 1024 * 1024):
            yield piece
