"""A download job: from a URL to a stored asset, or to a reason in words.

A plain file streams straight into a blob; all else is yt-dlp's, by way of a folder that is gone
afterwards. What is temporary is tried again by itself; what the process's own end cut off begins
again at the next start. Both within a bound: the row counts, before each beginning.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy import Connection

from server.catalog import assets, jobs
from server.catalog.leases import LeaseLost
from server.catalog.records import Asset, DownloadJob
from server.clock import wait as wait_for
from server.errors import ReelbaseError
from server.ingest.direct import open_direct
from server.ingest.errors import IngestError
from server.ingest.ytdlp import Fetched
from server.jobs import retry
from server.jobs.context import Work
from server.jobs.landing import land, read_file
from server.jobs.meter import Meter
from server.jobs.nudge import Nudge
from server.jobs.retry import Policy
from server.library import downloads, intake, lifecycle, usage
from server.library.claims import Claim
from server.media import Inspection, MediaError, sniff

log = structlog.get_logger(__name__)

# Between looks at the row, in seconds: how long progress, a cancel or a full disk may wait.
LOOK = 0.5

CANCELED = "The download was canceled."
INTERRUPTED = "The server was stopped in the middle of this download again and again. Retry it."


async def run(work: Work, claim: Claim, nudge: Nudge) -> None:
    """Take a download as far as it goes now. May be started again at any point."""
    begun = await claim.write(_begin, work.clock.now(), claim.key, policy(work))
    if begun is None:
        return
    job, asset = begun
    meter = Meter(work.clock.monotonic)
    fetching = asyncio.create_task(_fetch(work, claim, job, asset, meter))
    error: ReelbaseError | None = None
    try:
        if not await _follow(work, claim, job, meter, fetching, nudge):
            await _stop(fetching)
            await claim.write(_cancel, job.id, work.clock.now())
            return
        await fetching
    except asyncio.CancelledError:
        # The service is going down, by itself: no failure of the download's.
        await _stop(fetching)
        await claim.write(lifecycle.put_download_back, job.id)
        raise
    except LeaseLost:
        raise
    except ReelbaseError as caught:
        error = caught
    except Exception:
        log.exception("download failed in an unforeseen way", job=job.id)
        words = "Something went wrong on our side; the log says what."
        error = IngestError("download_failed", words, passing=True)
    finally:
        await _stop(fetching)
    if error is not None:
        await _fail(work, claim, job, error)


async def _follow(
    work: Work,
    claim: Claim,
    job: DownloadJob,
    meter: Meter,
    fetching: asyncio.Task[None],
    nudge: Nudge,
) -> bool:
    """Write down how far it is until it has ended; False when it is not wanted any more.

    Raises StorageFull when the volume fills up meanwhile.
    """
    heard = nudge.count
    while not fetching.done():
        nudged = asyncio.create_task(nudge.beyond(heard))
        try:
            either = asyncio.wait((fetching, nudged), return_when=asyncio.FIRST_COMPLETED)
            await wait_for(work.clock, either, LOOK)
        finally:
            nudged.cancel()
        heard = nudge.count
        if fetching.done():
            break
        work.volume.check()
        if not await work.database.read(_wanted, job.id):
            return False
        if news := meter.news():
            await claim.write_pending(lifecycle.show_download, job.id, **news)
    return True


async def _stop(fetching: asyncio.Task[None]) -> None:
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)


async def _fetch(work: Work, claim: Claim, job: DownloadJob, asset: Asset, meter: Meter) -> None:
    """Fetch, judge and attach. Raises IngestError, StorageFull and QuotaExceeded."""
    limits = work.downloads
    # Real time: it is the network that is timed, and a part of it is handed to another process.
    clock = asyncio.timeout(limits.timeout)
    try:
        async with clock:
            work.volume.check()
            room = await work.database.read(usage.room, job.user_id)
            direct = open_direct(
                limits.client, job.url, max_bytes=limits.max_bytes, stall=limits.stall
            )
            async with direct as answer:
                if answer is not None:
                    work.volume.check(answer.length or 0)
                    pieces = usage.within(room, answer.pieces)
                    await _keep(work, claim, job, asset, meter, pieces, answer.length)
                    return
            # From here yt-dlp's supervisor keeps the time.
            clock.reschedule(None)
            async with limits.ytdlp.fetch(job.url, on_progress=meter.heard) as fetched:
                size = fetched.path.stat().st_size
                work.volume.check(size)
                meter.arrived()
                title = _title(fetched)
                async with aclosing(read_file(fetched.path)) as file:
                    pieces = usage.within(room, file)
                    await _keep(work, claim, job, asset, meter, pieces, size, title=title)
    except TimeoutError:
        if clock.expired():
            raise IngestError("timeout") from None
        raise


async def _keep(
    work: Work,
    claim: Claim,
    job: DownloadJob,
    asset: Asset,
    meter: Meter,
    pieces: AsyncIterator[bytes],
    total: int | None,
    *,
    title: str | None = None,
) -> None:
    """Bytes into a blob, a look at what they are, and the blob to its asset."""
    async with land(work, pieces, total, meter.took) as incoming:
        meter.storing()
        found = await _judge(work, incoming)
        async with intake.poster(work.blobs, found) as poster:
            now = work.clock.now()
            await claim.write(_attach, now, job, asset, incoming, found, poster, title)
    work.wake(None)


def _title(fetched: Fetched) -> str | None:
    """What the site calls it, as a name for a file: a slash in it is no folder."""
    title = fetched.title
    if title is not None and fetched.extractor in ("Generic", "HTML5MediaEmbed"):
        title = title.removesuffix(" (1)")  # yt-dlp counts the videos of a page, we take one
    return None if title is None else title.replace("/", "_").replace("\\", "_")


async def _judge(work: Work, incoming: intake.Incoming) -> Inspection:
    """What the bytes are. Raises IngestError for what is no media, or longer than is taken."""
    if sniff.kind(incoming.content_type) == "other":
        raise IngestError("no_media")
    try:
        found = await work.media.inspect(work.source(incoming.blob_id, incoming.sealed.size))
    except MediaError as error:
        if not error.is_verdict:
            raise IngestError("timeout", error.detail, passing=True) from None
        words = "What is at this URL is no video, audio or image that can be read."
        raise IngestError("no_media", words) from None
    if (found.duration or 0) > work.downloads.max_seconds:
        raise IngestError("too_long")
    return found


def policy(work: Work) -> Policy:
    """How a download that failed in a temporary way is tried again."""
    return replace(retry.DOWNLOAD, first=work.downloads.retry)


async def _fail(work: Work, claim: Claim, job: DownloadJob, error: ReelbaseError) -> None:
    """Try again later, or say how it ended."""
    passing = isinstance(error, IngestError) and error.passing
    log.info("download failed", job=job.id, code=error.code, attempt=job.attempts, passing=passing)
    now = work.clock.now()
    if passing and not policy(work).is_spent(job.attempts):
        until = now + policy(work).delay(job.attempts, work.spread)
        note = f"Attempt {job.attempts}: {error.detail}"
        await claim.write(lifecycle.postpone_download, job.id, until, note)
    else:
        await claim.write(
            lifecycle.end_job, job.id, "failed", now, code=error.code, message=error.detail
        )


def _begin(
    conn: Connection, now: datetime, job_id: str, allowed: Policy
) -> tuple[DownloadJob, Asset] | None:
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return None
    asset = downloads.of_job(conn, job_id)
    if job.cancel_requested or asset is None:
        _cancel(conn, job_id, now)
        return None
    # Those that our own end cut off count, too: a file that takes the server down with it must
    # not do so for ever.
    if allowed.is_spent(job.attempts):
        lifecycle.end_job(conn, job_id, "failed", now, code="interrupted", message=INTERRUPTED)
        return None
    assert isinstance(job, DownloadJob)
    lifecycle.start_download(conn, job, now)
    begun = jobs.get(conn, job_id)
    assert isinstance(begun, DownloadJob)
    return begun, asset


def _wanted(conn: Connection, job_id: str) -> bool:
    """Whether nobody has canceled it, or deleted what it is for."""
    job = jobs.get(conn, job_id)
    return (
        job is not None and not job.cancel_requested and downloads.of_job(conn, job_id) is not None
    )


def _attach(
    conn: Connection,
    now: datetime,
    job: DownloadJob,
    asset: Asset,
    incoming: intake.Incoming,
    found: Inspection,
    poster: intake.Incoming | None,
    title: str | None,
) -> None:
    """Asset and job end in one transaction; unless it was canceled or deleted a moment before."""
    if not _wanted(conn, job.id):
        _cancel(conn, job.id, now)
        return
    row = assets.get(conn, asset.id)
    assert row is not None
    usage.check_quota(conn, row.user_id, assets=0, size=incoming.sealed.size)
    # A name that somebody has given counts for more than the site's.
    named = job.filename is not None or row.filename != asset.filename
    intake.fill(conn, row, incoming, now=now, filename=None if named else title, found=found)
    filled = assets.get(conn, asset.id)
    if poster is not None and filled is not None:
        intake.add_poster(conn, filled, poster, now=now)
    lifecycle.end_job(conn, job.id, "completed", now)


def _cancel(conn: Connection, job_id: str, now: datetime) -> None:
    lifecycle.end_job(conn, job_id, "canceled", now, code="canceled", message=CANCELED)
