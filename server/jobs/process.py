"""Metadata and posters: made after the bytes are stored, by the media child process."""

import structlog
from sqlalchemy import Connection

from server.catalog import assets
from server.catalog.records import Asset
from server.jobs import retry
from server.jobs.context import Work
from server.jobs.nudge import Nudge
from server.library import intake
from server.library.claims import Claim
from server.media import MediaError

log = structlog.get_logger(__name__)


async def process(work: Work, claim: Claim, nudge: Nudge) -> None:
    """Probe a stored asset and make its poster; afterwards it is `done` or `failed`.

    `failed` is a verdict on the file, or too many attempts that were cut off: the media process
    or this one was killed, or had no time, memory or file descriptors.
    """
    row = await claim.write(_begin, claim.key, work)
    if row is None:
        return
    try:
        found = await work.media.inspect(work.source(*row.stored_blob))
    except MediaError as error:
        log.info("media not read", asset=row.id, code=error.code, verdict=error.is_verdict)
        if error.is_verdict:
            await claim.write(assets.change, row.id, processing_state="failed")
        return

    def keep(conn: Connection, poster: intake.Incoming | None) -> None:
        row = assets.get(conn, claim.key)
        if row is None:
            return  # deleted meanwhile: the poster's bytes are discarded with it
        assets.change(conn, row.id, **intake.facts(found))
        if poster is not None:
            intake.add_poster(conn, row, poster, now=work.clock.now())

    async with intake.poster(work.blobs, found) as poster:
        await claim.write(keep, poster)
    work.wake(None)


def _begin(conn: Connection, asset_id: str, work: Work) -> Asset | None:
    """Count an attempt, and say when the next one is: also for a crash in between."""
    row = assets.get(conn, asset_id)
    if row is None or row.processing_state != "waiting" or row.blob_id is None:
        return None
    if retry.MEDIA.is_spent(row.processing_attempts):
        assets.change(conn, asset_id, processing_state="failed")
        return None
    failures = row.processing_attempts + 1
    until = work.clock.now() + retry.MEDIA.delay(failures, work.spread)
    assets.change(conn, asset_id, processing_attempts=failures, next_processing_at=until)
    return row
