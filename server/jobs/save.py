"""Saving: from a provider's output to a stored asset, or to a state that says why not.

Generated and stored are separate facts. A save that fails never makes an asset disappear: from
the first failed attempt on it is `url_only` (it plays from the provider) or `unsaved`, is tried
again with backoff while it can be had, and at the end is `expired`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from server.catalog import assets, names
from server.errors import ReelbaseError, StorageFull
from server.ingest.direct import stream_url
from server.ingest.errors import IngestError
from server.jobs.context import Work
from server.library import intake
from server.media import MediaError, sniff
from server.media.boxes import BoxScanner

log = structlog.get_logger(__name__)

# A download that breaks off is tried again quietly for this long, in seconds.
QUIET = 10.0
# Waits between later attempts, in seconds; the last one repeats.
BACKOFF = (15, 30, 60, 120, 300, 600)

Report = Callable[[int, int | None], None]


class SaveError(Exception):
    """Bytes could not be stored: what `storage_error` says of it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


async def save(work: Work, asset_id: str, *, quiet: float = 0.0, report: Report) -> bool:
    """Store the bytes of an output; whether they are stored now.

    For `quiet` seconds a failed download is tried again without a word. `report` is called with
    the bytes stored and the bytes of all, if known.
    """
    asyncio_time = asyncio.get_running_loop().time
    give_up = asyncio_time() + quiet
    wait = 0.5
    while True:
        row = await work.database.read(assets.get, asset_id)
        if row is None:
            return False
        if row.storage_state == "stored":
            return True
        try:
            await _fetch(work, row, report)
        except SaveError as error:
            if error.kind == "download" and asyncio_time() + wait < give_up:
                await asyncio.sleep(wait)
                wait *= 2
                continue
            await work.database.write(_failed, work.clock(), asset_id, error)
            log.warning("output not saved", asset=asset_id, reason=error.kind)
            return False
        work.wake(None)
        return True


async def _fetch(work: Work, row: Row[Any], report: Report) -> None:
    """Download, remux if the index comes last, and attach. Raises SaveError."""
    try:
        work.volume.check()
        async with _open(work, row) as (pieces, total):
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
                    raise SaveError("download", "The file that the provider served is cut off.")
                if not incoming.sealed.size:
                    raise SaveError("download", "The provider served an empty file.")
                if scanner.moov_last:
                    async with _faststart(work, incoming) as better:
                        await work.database.write(_attach, work.clock(), row.id, better)
                else:
                    await work.database.write(_attach, work.clock(), row.id, incoming)
    except IngestError as error:
        kind = "too_large" if error.code == "too_large" else "download"
        raise SaveError(kind, error.detail) from None
    except StorageFull as error:
        raise SaveError("disk_full", error.detail) from None
    except SQLAlchemyError as error:
        log.warning("database refused an output", error=str(error.__cause__ or error))
        raise SaveError("database", "The database did not take the bytes.") from None
    except ReelbaseError as error:
        raise SaveError("download", error.detail) from None


@asynccontextmanager
async def _open(
    work: Work, row: Row[Any]
) -> AsyncIterator[tuple[AsyncIterator[bytes], int | None]]:
    """The bytes of an output, from wherever it is: (pieces, total size if known)."""
    if not row.source_url:
        raise SaveError("download", "The provider names no URL for this output.")
    for provider in work.providers.values():
        local = provider.open_output(row.source_url)
        if local is not None:
            yield local, None
            return
    limit = work.max_output_bytes
    async with stream_url(work.client, row.source_url, max_bytes=limit) as answer:
        yield answer.pieces, answer.length


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
        async with intake.receive(work.blobs, read_file(path)) as better:
            yield better
    finally:
        path.unlink(missing_ok=True)


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """A file in pieces of a MiB."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, 1024 * 1024):
            yield piece


def _attach(conn: Connection, now: datetime, asset_id: str, incoming: intake.Incoming) -> None:
    row = assets.get(conn, asset_id)
    if row is None or row.storage_state == "stored":
        return  # deleted, or saved by somebody else meanwhile: the bytes are discarded
    content_type = incoming.content_type
    kind = sniff.kind(content_type)
    if content_type != row.content_type:
        # The name was a guess; an image model's output is no MP4.
        stem = row.filename.rpartition(".")[0] or row.filename
        wanted = intake.extension(content_type)
        assets.rename(conn, row, names.safe_filename(f"{stem}.{wanted or 'bin'}", extension=wanted))
    assets.change(
        conn,
        asset_id,
        content_type=content_type,
        kind=kind,
        processing_state="done" if kind == "other" else "waiting",
    )
    assets.attach_blob(conn, asset_id, incoming.blob_id, incoming.sealed, now=now)


def _failed(conn: Connection, now: datetime, asset_id: str, error: SaveError) -> None:
    """Write down that saving failed, and when it is tried again."""
    row = assets.get(conn, asset_id)
    if row is None or row.storage_state == "stored":
        return
    attempts = row.save_attempts + 1
    wait = BACKOFF[min(attempts, len(BACKOFF)) - 1]
    alive = row.source_expires_at is None or row.source_expires_at > now
    assets.change(
        conn,
        asset_id,
        storage_state="url_only" if alive and row.source_url else "unsaved",
        storage_error={"type": error.kind, "message": error.message, "at": now.isoformat()},
        save_attempts=attempts,
        next_save_at=now + timedelta(seconds=wait),
    )
