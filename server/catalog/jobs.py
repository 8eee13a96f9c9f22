"""Jobs and their clips: what is to happen after a 202."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import Connection, Select, and_, func, insert, select, update

from server.catalog import deliveries, events, pages
from server.catalog.ids import new_id
from server.catalog.records import ACTIVE as ACTIVE
from server.catalog.records import ENDED as ENDED
from server.catalog.records import Clip, ClipChanges, ClipStatus, Job, JobChanges, JobStatus
from server.catalog.tables import clip, job, prediction, project

NO_WAIT: ClipChanges = {
    "wait_code": None,
    "wait_message": None,
    "wait_since": None,
    "next_try_at": None,
}


@dataclass(frozen=True)
class NewClip:
    """What a caller asks for one clip."""

    prompt: str
    duration: float | None = None
    image_asset_id: str | None = None
    last_frame_asset_id: str | None = None
    from_previous: bool = False
    input: Mapping[str, Any] = field(default_factory=dict)


def create_generate(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    scene_id: str | None,
    provider: str,
    model: str,
    combine: bool,
    clips: Sequence[NewClip],
    now: datetime,
    idempotency_key: str | None = None,
    request_hash: str | None = None,
    webhook_url: str | None = None,
    webhook_changes: bool = False,
) -> str:
    """A queued job and its clips; the job's id."""
    job_id = _insert(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=scene_id,
        kind="generate",
        provider=provider,
        model=model,
        combine=combine,
        idempotency_key=idempotency_key,
        request_hash=request_hash,
        webhook_url=webhook_url,
        webhook_changes=webhook_changes,
        created_at=now,
    )
    conn.execute(
        insert(clip),
        [
            {
                "id": new_id("clip"),
                "job_id": job_id,
                "position": index,
                "status": "queued",
                "filename": f"clip-{index + 1}.mp4",
                "prompt": one.prompt,
                "duration": one.duration,
                "input": dict(one.input),
                "image_asset_id": one.image_asset_id,
                "last_frame_asset_id": one.last_frame_asset_id,
                "input_deleted": False,
                "from_previous": one.from_previous,
                "progress": 0.0,
                "attempts": 0,
                "resends": 0,
                "prediction_ended": False,
            }
            for index, one in enumerate(clips)
        ],
    )
    events.job_changed(conn, job_id)
    return job_id


def create_download(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    scene_id: str | None,
    url: str,
    filename: str | None,
    reference: str | None,
    now: datetime,
) -> str:
    """A queued job that fetches a URL; its id."""
    job_id = _insert(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=scene_id,
        kind="download",
        url=url,
        filename=filename,
        reference=reference,
        progress=0.0,
        created_at=now,
    )
    events.job_changed(conn, job_id)
    return job_id


def _insert(conn: Connection, **values: Any) -> str:
    defaults = {
        "id": new_id("job"),
        "status": "queued",
        "combine": False,
        "cancel_requested": False,
        "attempts": 0,
        "webhook_changes": False,
    }
    row = defaults | values
    conn.execute(insert(job).values(**row))
    return str(row["id"])


def active_downloads(
    conn: Connection, *, user_id: str, project_id: str, scene_id: str | None, url: str
) -> list[Job]:
    """A user's downloads of a URL to a place that are under way, oldest first."""
    query = select(job).where(
        job.c.user_id == user_id,
        job.c.kind == "download",
        job.c.status.in_(ACTIVE),
        job.c.cancel_requested.is_(False),
        job.c.project_id == project_id,
        job.c.scene_id.is_not_distinct_from(scene_id),
        job.c.url == url,
    )
    return Job.all(conn, query.order_by(job.c.created_at, job.c.id))


def get(conn: Connection, job_id: str) -> Job | None:
    """A job's row."""
    return Job.first(conn, select(job).where(job.c.id == job_id))


def add_note(conn: Connection, job_id: str, note: str) -> None:
    """Have a job say something that its owner may want to know."""
    row = get(conn, job_id)
    if row is not None and note not in (row.notes or []):
        change(conn, job_id, notes=[*(row.notes or []), note])


def set_wait(
    conn: Connection, clip_id: str, code: str, message: str, since: datetime, until: datetime
) -> datetime:
    """Report what a clip waits for, since when, and until when; since when it really does.

    That is earlier when it has waited for the same before a restart.
    """
    row = get_clip(conn, clip_id)
    if row.wait_code == code and row.wait_since is not None:
        since = min(since, row.wait_since)
    change_clip(
        conn, clip_id, wait_code=code, wait_message=message, wait_since=since, next_try_at=until
    )
    events.job_changed(conn, row.job_id)
    return since


def end_wait(conn: Connection, clip_id: str) -> None:
    """Take back what `set_wait` has reported."""
    row = get_clip(conn, clip_id)
    if row.wait_code is not None:
        change_clip(conn, clip_id, **NO_WAIT)
        events.job_changed(conn, row.job_id)


def active_clips(conn: Connection, user_id: str) -> int:
    """How many predictions of a user wait or run."""
    query = (
        select(func.count())
        .select_from(clip.join(job, job.c.id == clip.c.job_id))
        .where(job.c.user_id == user_id, job.c.status.in_(ACTIVE))
        .where(clip.c.status.in_(("queued", "submitting", "processing")))
    )
    return int(conn.execute(query).scalar_one())


def waiting_clips(conn: Connection, user_id: str) -> int:
    """How many clips of a user will ask for a prediction."""
    query = (
        select(func.count())
        .select_from(clip.join(job, job.c.id == clip.c.job_id))
        .where(job.c.user_id == user_id, job.c.status.in_(ACTIVE), job.c.provider != "sample")
        .where(clip.c.status.in_(("queued", "submitting")), clip.c.prediction_id.is_(None))
    )
    return int(conn.execute(query).scalar_one())


def by_idempotency_key(conn: Connection, user_id: str, key: str) -> Job | None:
    """The job that a user's key has made already."""
    query = select(job).where(job.c.user_id == user_id, job.c.idempotency_key == key)
    return Job.first(conn, query)


def in_sight(conn: Connection, job_id: str) -> Job | None:
    """A job's row, unless its project is in the trash."""
    return Job.first(conn, _in_sight().where(job.c.id == job_id))


def list_jobs(
    conn: Connection,
    *,
    user_id: str,
    filters: Mapping[str, str],
    active: bool | None,
    dismissed: bool | None,
    cursor: str | None,
    limit: int,
) -> pages.Page[Job]:
    """A user's jobs, newest first."""
    query = _in_sight().where(job.c.user_id == user_id)
    for name, value in filters.items():
        query = query.where(job.c[name] == value)
    if active is not None:
        query = query.where(job.c.status.in_(ACTIVE if active else ENDED))
    if dismissed is not None:
        query = query.where(job.c.dismissed_at.is_not(None) == dismissed)
    return pages.fetch(conn, Job, query, job, cursor=cursor, limit=limit)


def clips_of(conn: Connection, job_ids: Iterable[str]) -> list[Clip]:
    """The clips of jobs, in their order, with what the provider measured of their predictions."""
    its = and_(
        prediction.c.clip_id == clip.c.id, prediction.c.prediction_id == clip.c.prediction_id
    )
    query = (
        select(clip, prediction.c.metrics, prediction.c.billable_units)
        .outerjoin(prediction, its)
        .where(clip.c.job_id.in_(list(job_ids)))
    )
    return Clip.all(conn, query.order_by(clip.c.job_id, clip.c.position))


def get_clip(conn: Connection, clip_id: str) -> Clip:
    """A clip's row; it must be there."""
    return Clip.of(conn.execute(select(clip).where(clip.c.id == clip_id)).one())


def due(conn: Connection, kind: str, at: datetime, limit: int) -> list[tuple[str, str]]:
    """Jobs of a kind that have not ended and wait for nothing, as (id, user), oldest first."""
    waits = job.c.next_try_at.is_not(None) & (job.c.next_try_at > at)
    query = _unended().where(job.c.kind == kind, job.c.cancel_requested.is_(False), ~waits)
    return [(row.id, row.user_id) for row in conn.execute(query.limit(limit))]


def to_cancel(conn: Connection, limit: int) -> list[tuple[str, str]]:
    """Jobs that are only to be ended, as (id, user), oldest first."""
    query = _unended().where(job.c.cancel_requested)
    return [(row.id, row.user_id) for row in conn.execute(query.limit(limit))]


def _unended() -> Select[Any]:
    query = select(job.c.id, job.c.user_id).where(job.c.status.in_(ACTIVE))
    return query.order_by(job.c.created_at, job.c.id)


def any_active(conn: Connection, project_id: str) -> bool:
    """Whether jobs of a project have not ended."""
    query = select(job.c.id).where(job.c.project_id == project_id, job.c.status.in_(ACTIVE))
    return conn.execute(query.limit(1)).first() is not None


def count_by_state(conn: Connection) -> dict[tuple[str, str], int]:
    """How many jobs there are by (kind, status)."""
    query = select(job.c.kind, job.c.status, func.count()).group_by(job.c.kind, job.c.status)
    return {(kind, status): int(count) for kind, status, count in conn.execute(query)}


def change(conn: Connection, job_id: str, /, **values: Unpack[JobChanges]) -> None:
    """Set columns of a job."""
    conn.execute(update(job).where(job.c.id == job_id).values(**values))
    events.job_changed(conn, job_id)


def set_status(
    conn: Connection, job_id: str, status: JobStatus, /, **values: Unpack[JobChanges]
) -> None:
    """Move a job to a status, and report that to its webhook: for `lifecycle` and imports."""
    conn.execute(update(job).where(job.c.id == job_id).values(status=status, **values))
    events.job_changed(conn, job_id)
    row = get(conn, job_id)
    if row is None or row.webhook_url is None:
        return
    if row.status in ENDED or row.webhook_changes:
        deliveries.record(conn, row)


def change_clip(conn: Connection, clip_id: str, /, **values: Unpack[ClipChanges]) -> None:
    """Set columns of a clip."""
    conn.execute(update(clip).where(clip.c.id == clip_id).values(**values))
    events.clip_changed(conn, clip_id)


def set_clip_status(
    conn: Connection, clip_id: str, status: ClipStatus, /, **values: Unpack[ClipChanges]
) -> None:
    """Move a clip to a status: for `lifecycle` and imports."""
    conn.execute(update(clip).where(clip.c.id == clip_id).values(status=status, **values))
    events.clip_changed(conn, clip_id)


def clip_of_prediction(conn: Connection, provider: str, prediction_id: str) -> Clip | None:
    """The clip that has this prediction of a provider."""
    query = (
        select(clip)
        .join(job, job.c.id == clip.c.job_id)
        .where(job.c.provider == provider, clip.c.prediction_id == prediction_id)
    )
    return Clip.first(conn, query)


def clip_of_nonce(conn: Connection, nonce: str) -> Clip | None:
    """The clip whose current submission has this nonce."""
    return Clip.first(conn, select(clip).where(clip.c.nonce == nonce))


def user_of_prediction(
    conn: Connection, provider: str, prediction_id: str, nonce: str | None
) -> str | None:
    """Whose clip has this prediction, or had this nonce for its current submission."""
    one = clip_of_prediction(conn, provider, prediction_id)
    if one is None and nonce:
        one = clip_of_nonce(conn, nonce)
    row = None if one is None else get(conn, one.job_id)
    return None if row is None else row.user_id


def _in_sight() -> Select[Any]:
    return (
        select(job)
        .join(project, project.c.id == job.c.project_id)
        .where(project.c.deleted_at.is_(None))
    )
