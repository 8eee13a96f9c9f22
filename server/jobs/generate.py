"""A generate job: its clips side by side, then the video that they make together."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection

from server.catalog import assets, jobs
from server.catalog.records import Asset, Clip, GenerateJob
from server.errors import StorageFull
from server.jobs import retry
from server.jobs.clip_row import CancelRequested, ClipEnded, Trouble
from server.jobs.clips import FULL, ClipRun
from server.jobs.context import Work
from server.jobs.landing import read_file
from server.jobs.nudge import Nudge
from server.library import intake, lifecycle
from server.library.claims import Claim
from server.library.lifecycle import Ended
from server.media import MediaError

# A combine is woken when the bytes of a clip come; without that it looks for them so often.
LOOK_AGAIN = timedelta(minutes=1)

UNSTORED = (
    "Not all clips could be stored, so they could not be joined. The others are kept; save the "
    "missing ones again, or retry the job."
)


async def run(work: Work, claim: Claim, nudge: Nudge) -> None:
    """Take a job as far as it goes now. May be started again at any point."""
    begun = await claim.write(_begin, claim.key, work.clock.now())
    if begun is None:
        return
    job, clips = begun
    async with asyncio.TaskGroup() as group:
        before: asyncio.Task[None] | None = None
        for clip in clips:
            run_ = ClipRun(work, claim, job, clip.id, nudge)
            if clip.status in jobs.ENDED:
                before = None
            elif clip.from_previous and clip.image_asset_id is None:
                before = group.create_task(_after(work, claim, before, run_, clip, clips))
            else:
                before = group.create_task(run_.run())
    await _conclude(work, claim)


def _begin(conn: Connection, job_id: str, now: datetime) -> tuple[GenerateJob, list[Clip]] | None:
    job = lifecycle.start_job(conn, job_id, now)
    return None if job is None else (job, jobs.clips_of(conn, [job_id]))


async def _after(
    work: Work,
    claim: Claim,
    before: asyncio.Task[None] | None,
    run: ClipRun,
    clip: Clip,
    clips: list[Clip],
) -> None:
    """Run a clip that begins with the last frame of the one before it, once that is stored."""
    if before is not None:
        await asyncio.wait([before])
    previous = next(one for one in clips if one.position == clip.position - 1)
    words = f"the last frame of {previous.filename} could not be read yet."
    trouble = Trouble(work, run.row, "frame", retry.MEDIA, words)
    while True:
        try:
            await run.row.wait_while_draining()
            image = await _last_frame(work, claim, previous.id)
            await claim.write(jobs.change_clip, clip.id, image_asset_id=image)
            await trouble.over(clip)
        except CancelRequested:
            pass  # the run ends it
        except ClipEnded:
            return
        except StorageFull:
            await run.row.pause(FULL)
            continue
        except LookupError as error:
            await run.fail_unsubmitted("previous_missing", str(error))
            return
        except MediaError as error:
            if not error.is_verdict and await trouble.wait(error.detail):
                continue
            words = f"{previous.filename} has no frame: {error.detail}"
            await run.fail_unsubmitted("previous_unreadable", words)
            return
        await run.run()
        return


async def _last_frame(work: Work, claim: Claim, clip_id: str) -> str:
    """The last frame of a stored clip as an image asset; its id. Raises LookupError, MediaError."""

    def find(conn: Connection) -> Asset:
        clip = jobs.get_clip(conn, clip_id)
        row = assets.get(conn, clip.asset_id) if clip.asset_id else None
        if row is None or row.storage_state != "stored":
            raise LookupError(f"{clip.filename}, whose last frame it begins with, is not stored.")
        return row

    video = await work.database.read(find)
    png = await work.media.last_frame(work.source(*video.stored_blob))

    def keep(conn: Connection, incoming: intake.Incoming) -> str:
        return intake.take_in(
            conn,
            incoming,
            user_id=video.user_id,
            project_id=video.project_id,
            scene_id=video.scene_id,
            role="upload",
            filename=f"{video.filename.rpartition('.')[0]}-last-frame.png",
            now=work.clock.now(),
        )

    async with intake.receive(work.blobs, intake.whole(png)) as incoming:
        return await claim.write(keep, incoming)


async def _conclude(work: Work, claim: Claim) -> None:
    """Say how the job ended, once all clips have; combine them first if that is asked for."""
    parts = await claim.write(_judge, claim.key, work.clock.now())
    # A combine that a shutdown would cut off begins after the start.
    if parts is not None and not work.draining.is_set():
        await _combine(work, claim, parts)


def _judge(conn: Connection, job_id: str, now: datetime) -> list[Asset] | None:
    """End a job whose clips have ended; or the clips that are to be joined now."""
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return None

    def end(status: Ended, code: str | None = None, message: str | None = None) -> None:
        lifecycle.end_job(conn, job_id, status, now, code=code, message=message)

    clips = jobs.clips_of(conn, [job_id])
    failed = [clip for clip in clips if clip.status == "failed"]
    if any(clip.status not in jobs.ENDED for clip in clips) and not job.cancel_requested:
        # One was given up, and its prediction has turned up since: it is taken up again.
        return None
    if job.cancel_requested or any(clip.status == "canceled" for clip in clips):
        end("canceled", "canceled", lifecycle.CANCELED)
    elif failed:
        end("failed", *_reason(clips, failed))
    elif job.combine and len(clips) > 1:
        made = {row.id: row for row in assets.of_job(conn, [job_id])}
        if any(row.role == "combined" for row in made.values()):
            end("completed")
            return None
        rows = [made[clip.asset_id] for clip in clips if clip.asset_id in made]
        states = {row.storage_state for row in rows}
        if len(rows) < len(clips) or states & {"expired", "failed"}:
            end("failed", "combine_unstored", UNSTORED)
        elif states == {"stored"}:
            lifecycle.begin_combine(conn, job)
            return rows
        else:
            # The job goes on when the last of its clips is stored.
            lifecycle.await_bytes(conn, job, now + LOOK_AGAIN)
    else:
        end("completed")
    return None


async def _combine(work: Work, claim: Claim, parts: list[Asset]) -> None:
    """Join stored clips into one video."""
    path = work.folder / f"{uuid4().hex}.mp4"
    sources = [work.source(*part.stored_blob) for part in parts]
    try:
        await work.media.concat(sources, path)
        async with (
            aclosing(read_file(path)) as pieces,
            intake.receive(work.blobs, pieces) as incoming,
        ):
            await claim.write(_keep_combined, claim.key, work.clock.now(), incoming, parts)
    except MediaError as error:
        await claim.write(_not_combined, claim.key, work, error)
    finally:
        path.unlink(missing_ok=True)


def _keep_combined(
    conn: Connection,
    job_id: str,
    now: datetime,
    incoming: intake.Incoming,
    parts: Sequence[Asset],
) -> None:
    job = jobs.get(conn, job_id)
    if job is None or job.status in jobs.ENDED:
        return
    intake.take_in(
        conn,
        incoming,
        user_id=job.user_id,
        project_id=job.project_id,
        scene_id=job.scene_id,
        role="combined",
        filename=f"{parts[0].filename.rpartition('.')[0]}-combined",
        now=now,
        job_id=job_id,
        prompt="\n".join(part.prompt or "" for part in parts),
    )
    lifecycle.end_job(conn, job_id, "completed", now)


def _not_combined(conn: Connection, job_id: str, work: Work, error: MediaError) -> None:
    """Try again later, unless the clips themselves cannot be joined."""
    job = jobs.get(conn, job_id)
    if job is None:
        return
    now = work.clock.now()
    failures = job.attempts + 1
    message = f"The clips are stored, but could not be joined: {error.detail}"
    if error.is_verdict or retry.MEDIA.is_spent(failures):
        lifecycle.end_job(conn, job_id, "failed", now, code="combine_failed", message=message)
    else:
        until = now + retry.MEDIA.delay(failures, work.spread)
        lifecycle.postpone_job(conn, job_id, until, f"{message} It is tried again.")


def _reason(clips: list[Clip], failed: list[Clip]) -> tuple[str | None, str | None]:
    if len(clips) == 1:
        return failed[0].error_code, failed[0].error_message
    reasons = "; ".join(f"{clip.filename}: {clip.error_message}" for clip in failed)
    return "clips_failed", f"{len(failed)} of {len(clips)} clips failed. {reasons}"
