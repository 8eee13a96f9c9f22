"""Metadata and posters: made after the bytes are stored, by the media child process."""

import structlog
from sqlalchemy import Connection

from server.blobs.store import BlobStore
from server.catalog import assets
from server.catalog.records import AssetChanges
from server.jobs.context import Work
from server.library import intake
from server.media import Inspection, MediaError

log = structlog.get_logger(__name__)

# A file that kills the process that looks at it, restart after restart, is left alone.
MAX_ATTEMPTS = 3


async def process(work: Work, asset_id: str) -> None:
    """Probe a stored asset and make its poster; afterwards it is `done` or `failed`."""

    def begin(conn: Connection) -> tuple[int, int, str] | None:
        row = assets.get(conn, asset_id)
        if (
            row is None
            or row.processing_state != "waiting"
            or row.blob_id is None
            or row.size is None
        ):
            return None
        if row.processing_attempts >= MAX_ATTEMPTS:
            assets.change(conn, asset_id, processing_state="failed")
            return None
        # Counted before, not after: a crash in between counts too.
        assets.change(conn, asset_id, processing_attempts=row.processing_attempts + 1)
        return *row.stored_blob, row.filename

    begun = await work.database.write(begin)
    if begun is None:
        return
    blob_id, size, filename = begun
    try:
        found = await work.media.inspect(work.source(blob_id, size))
    except MediaError as error:
        log.info("media not readable", asset=asset_id, code=error.code)
        await work.database.write(assets.change, asset_id, processing_state="failed")
        return
    await _keep(work, asset_id, filename, found, work.blobs)


async def _keep(
    work: Work, asset_id: str, filename: str, found: Inspection, blobs: BlobStore
) -> None:
    facts: AssetChanges = {
        "width": found.width,
        "height": found.height,
        "duration": found.duration,
        "codecs": found.codecs,
        "fps": found.fps,
        "processing_state": "done",
    }
    if found.poster is None:
        await work.database.write(assets.change, asset_id, **facts)
        return

    def apply(conn: Connection, incoming: intake.Incoming) -> None:
        row = assets.get(conn, asset_id)
        if row is None:
            return  # deleted meanwhile: the poster's bytes are discarded with it
        assets.change(conn, asset_id, **facts)
        intake.take_in(
            conn,
            incoming,
            user_id=row.user_id,
            project_id=row.project_id,
            scene_id=row.scene_id,
            role="poster",
            filename=f"{filename.rpartition('.')[0]}-poster",
            now=work.clock.now(),
            poster_of=asset_id,
            processing_state="done",
        )

    async with intake.receive(blobs, intake.whole(found.poster)) as incoming:
        await work.database.write(apply, incoming)
