"""A generate job: its clips side by side, then the video that they make together."""

import asyncio
from uuid import uuid4

import structlog
from sqlalchemy import Connection

from server.catalog import assets, jobs
from server.catalog.records import Asset, Clip, GenerateJob
from server.db import Database
from server.jobs.clip_row import ClipEnded
from server.jobs.clips import ClipRun
from server.jobs.context import Work
from server.jobs.landing import read_file
from server.jobs.nudge import Nudge
from server.library import intake, lifecycle
from server.library.lifecycle import Ended
from server.media import MediaError

log = structlog.get_logger(__name__)

UNSTORED = (
    "Not all clips could be stored, so they could not be joined. The others are kept; save the "
    "missing ones again, or retry the job."
)


async def run(work: Work, job_id: str, nudge: Nudge) -> None:
    """Take a job as far as it goes now. May be started again at any point."""

    def begin(conn: Connection) -> tuple[GenerateJob, list[Clip]] | None:
        job = lifecycle.start_job(conn, job_id, work.clock.now())
        return None if job is None else (job, jobs.clips_of(conn, [job_id]))

    row = await work.database.read(jobs.get, job_id)
    if row is None:
        return
    begun = await work.database.about(row.user_id).write(begin)
    if begun is None:
        return
    job, clips = begun
    async with asyncio.TaskGroup() as group:
        before: asyncio.Task[None] | None = None
        for clip in clips:
            run_ = ClipRun(work, job, clip.id, nudge)
            if clip.status in jobs.ENDED:
                before = None
            elif clip.from_previous and clip.image_asset_id is None:
                before = group.create_task(_after(work, job, before, run_, clip, clips))
            else:
                before = group.create_task(run_.run())
    await _conclude(work, job)


async def _after(
    work: Work,
    job: GenerateJob,
    before: asyncio.Task[None] | None,
    run: ClipRun,
    clip: Clip,
    clips: list[Clip],
) -> None:
    """Run a clip that begins with the last frame of the one before it, once that is stored."""
    if before is not None:
        await asyncio.wait([before])
    previous = next(one for one in clips if one.position == clip.position - 1)
    try:
        await run.hold()
        image_id = await _last_frame(work, previous.id)
        about = work.database.about(job.user_id)
        await about.write(jobs.change_clip, clip.id, image_asset_id=image_id)
    except ClipEnded:
        return
    except LookupError as error:
        await run.give_up("previous_missing", str(error))
    except MediaError as error:
        await run.give_up("previous_unreadable", f"{previous.filename} has no frame: {error}")
    else:
        await run.run()


async def _last_frame(work: Work, clip_id: str) -> str:
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
        return await work.database.about(video.user_id).write(keep, incoming)


async def _conclude(work: Work, begun: GenerateJob) -> None:
    """Say how the job ended, once all clips have; combine them first if that is asked for."""
    job_id, database = begun.id, work.database.about(begun.user_id)

    def judge(conn: Connection) -> list[Asset] | None:
        job = jobs.get(conn, job_id)
        if job is None or job.status in jobs.ENDED:
            return None

        def end(status: Ended, code: str | None = None, message: str | None = None) -> None:
            now = work.clock.now()
            lifecycle.end_job(conn, job_id, status, now, code=code, message=message)

        clips = jobs.clips_of(conn, [job_id])
        failed = [clip for clip in clips if clip.status == "failed"]
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
                return None
            lifecycle.await_bytes(conn, job)
            if states == {"stored"}:
                return rows
            # Not yet: the job goes on when the last of its clips is stored.
        else:
            end("completed")
        return None

    parts = await database.write(judge)
    # A combine that a shutdown would cut off begins after the start.
    if parts is not None and not work.draining.is_set():
        await _combine(work, database, job_id, parts)


async def _combine(work: Work, database: Database, job_id: str, parts: list[Asset]) -> None:
    """Join stored clips into one video."""
    path = work.folder / f"{uuid4().hex}.mp4"
    sources = [work.source(*part.stored_blob) for part in parts]

    def apply(conn: Connection, incoming: intake.Incoming) -> None:
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
            now=work.clock.now(),
            job_id=job_id,
            prompt="\n".join(part.prompt or "" for part in parts),
        )
        lifecycle.end_job(conn, job_id, "completed", work.clock.now())

    try:
        await work.media.concat(sources, path)
        async with intake.receive(work.blobs, read_file(path)) as incoming:
            await database.write(apply, incoming)
    except MediaError as error:
        message = f"The clips are stored, but could not be joined: {error.detail}"
        await database.write(
            lifecycle.end_job,
            job_id,
            "failed",
            work.clock.now(),
            code="combine_failed",
            message=message,
        )
    finally:
        path.unlink(missing_ok=True)


def _reason(clips: list[Clip], failed: list[Clip]) -> tuple[str | None, str | None]:
    if len(clips) == 1:
        return failed[0].error_code, failed[0].error_message
    told = "; ".join(f"{clip.filename}: {clip.error_message}" for clip in failed)
    return "clips_failed", f"{len(failed)} of {len(clips)} clips failed. {told}"
