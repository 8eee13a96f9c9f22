"""Metadata and posters: made after the bytes are stored, by the media child process."""

import structlog
from sqlalchemy import Connection

from server.catalog import assets
from server.jobs.context import Work
from server.library import intake
from server.media import MediaError

log = structlog.get_logger(__name__)

# A file that kills the process that looks at it, restart after restart, is left alone.
MAX_ATTEMPTS = 3


async def process(work: Work, asset_id: str) -> None:
    """Probe a stored asset and make its poster; afterwards it is `done` or `failed`."""

    def begin(conn: Connection) -> tuple[int, int] | None:
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
        return row.stored_blob

    asset = await work.database.read(assets.get, asset_id)
    if asset is None:
        return
    database = work.database.about(asset.user_id)
    begun = await database.write(begin)
    if begun is None:
        return
    blob_id, size = begun
    try:
        found = await work.media.inspect(work.source(blob_id, size))
    except MediaError as error:
        log.info("media not readable", asset=asset_id, code=error.code)
        await database.write(assets.change, asset_id, processing_state="failed")
        return

    def keep(conn: Connection, poster: intake.Incoming | None) -> None:
        row = assets.get(conn, asset_id)
        if row is None:
            return  # deleted meanwhile: the poster's bytes are discarded with it
        assets.change(conn, asset_id, **intake.facts(found))
        if poster is not None:
            intake.add_poster(conn, row, poster, now=work.clock.now())

    async with intake.poster(work.blobs, found) as poster:
        await database.write(keep, poster)
