"""Ordering a download: its job and its asset come into being together, and begin again together."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection

from server.catalog import assets, jobs, names
from server.catalog.records import Asset, DownloadJob
from server.library import lifecycle
from server.media import sniff

# What yt-dlp makes of nearly everything.
LIKELY = "video/mp4"


@dataclass(frozen=True)
class Ordered:
    """A download that is under way; `fresh` when it was not before."""

    job_id: str
    asset_id: str
    fresh: bool


def order(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    scene_id: str | None,
    url: str,
    filename: str | None,
    reference: str | None,
    now: datetime,
) -> Ordered:
    """Have a URL fetched to a place; the same one under way is not fetched twice.

    The URL is one that a guard has checked.
    """
    running = jobs.active_downloads(
        conn, user_id=user_id, project_id=project_id, scene_id=scene_id, url=url
    )
    for row in running:
        if (asset := of_job(conn, row.id)) is not None:
            return Ordered(row.id, asset.id, fresh=False)
    job_id = jobs.create_download(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=scene_id,
        url=url,
        filename=filename,
        reference=reference,
        now=now,
    )
    job = jobs.get(conn, job_id)
    assert isinstance(job, DownloadJob)
    return Ordered(job_id, _expect(conn, job, now), fresh=True)


def again(conn: Connection, job: DownloadJob, now: datetime) -> bool:
    """Set a download that has ended going again; False when it has nothing to go for."""
    if job.status not in ("failed", "canceled"):
        return False
    asset = of_job(conn, job.id)
    if asset is None:
        _expect(conn, job, now)
    else:
        lifecycle.expect_bytes(conn, asset)
    lifecycle.requeue_job(conn, job)
    return True


def of_job(conn: Connection, job_id: str) -> Asset | None:
    """The asset that a download is for; None when it was deleted."""
    return next(iter(assets.of_job(conn, [job_id])), None)


def _expect(conn: Connection, job: DownloadJob, now: datetime) -> str:
    """The asset before its bytes: its kind and its name are a guess."""
    path = PurePosixPath(unquote(urlsplit(job.url).path))
    wanted = job.filename or path.name or urlsplit(job.url).hostname or ""
    content_type = (
        sniff.by_extension(PurePosixPath(wanted).suffix.removeprefix("."))
        or sniff.by_extension(path.suffix.removeprefix("."))
        or LIKELY
    )
    return assets.insert_asset(
        conn,
        user_id=job.user_id,
        project_id=job.project_id,
        scene_id=job.scene_id,
        role="download",
        kind=sniff.kind(content_type),
        filename=names.safe_filename(wanted, extension=sniff.extension(content_type)),
        content_type=content_type,
        now=now,
        job_id=job.id,
        source_url=job.url,
    )
