"""Trying a job again: only with what failed, and never paying for what is there already."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, or_, select

from server.catalog import jobs
from server.catalog.records import Clip, DownloadJob, Job
from server.catalog.tables import asset, in_trash, scene
from server.errors import Conflict
from server.library import downloads, lifecycle, usage
from server.library.orders import Limits, check_limits


def order(conn: Connection, row: Job, limits: Limits, now: datetime) -> None:
    """Set a job that has ended going again, with what failed.

    Raises Conflict for one that has not ended, of which nothing has failed, or whose place or
    clips are in the trash; TooMany and QuotaExceeded as for a new one.
    """
    if row.status not in jobs.ENDED:
        raise Conflict("The job has not ended yet.", code="job_active")
    _check_place(conn, row)
    if isinstance(row, DownloadJob):
        fresh = downloads.of_job(conn, row.id) is None
        usage.check_quota(conn, row.user_id, assets=int(fresh))
        begun = downloads.again(conn, row, now)
    else:
        count = len(to_retry(conn, row))
        check_limits(conn, limits, row.user_id, count, now)
        usage.check_quota(conn, row.user_id, assets=count)
        begun = retry(conn, row)
    if not begun:
        raise Conflict("Nothing of this job has failed.", code="nothing_to_retry")


def _check_place(conn: Connection, row: Job) -> None:
    """Raise Conflict when what a job makes would go straight to the trash."""
    query = select(scene.c.id).where(scene.c.id == row.scene_id, scene.c.deleted_at.is_not(None))
    if conn.execute(query).first() is not None:
        raise Conflict(
            "The scene that this job is for is in the trash: restore it first.", code="in_trash"
        )


def to_retry(conn: Connection, row: Job) -> list[Clip]:
    """The clips of a job that a retry makes again: what failed, and what a combine lacks.

    Raises Conflict when what a combine lacks is in the trash: it need not be paid again.
    """
    again = []
    for one in jobs.clips_of(conn, [row.id]):
        if one.status in ("failed", "canceled"):
            again.append(one)
        elif row.combine and one.status == "completed":
            made = _asset_of(conn, one)
            if made is None:
                again.append(one)
            elif made.deleted_at is not None:
                raise Conflict(
                    f"{one.filename} was made, and is in the trash: restore asset {made.id} first.",
                    code="in_trash",
                )
    return again


def _asset_of(conn: Connection, row: Clip) -> Row[Any] | None:
    """What a clip has made, in the trash or not."""
    there = or_(asset.c.deleted_at.is_(None), in_trash(asset))
    query: Select[Any] = select(asset.c.id, asset.c.deleted_at)
    query = query.where(asset.c.id == row.asset_id, there)
    return conn.execute(query).first()


def retry(conn: Connection, row: Job) -> bool:
    """Set an ended generate job going again, only with what failed; whether there was anything.

    A clip whose prediction has not ended badly goes on with it: nothing is paid twice. Raises
    Conflict, see `to_retry`.
    """
    again = to_retry(conn, row)
    for one in again:
        asked = one.prediction_id is not None or one.submitting_at is not None
        if one.status == "completed" or one.prediction_ended or not asked:
            lifecycle.restart_clip(conn, one.id)
        else:
            lifecycle.resume_clip(conn, one)
    if again or row.status == "failed":
        lifecycle.requeue_job(conn, row)
        return True
    return False
