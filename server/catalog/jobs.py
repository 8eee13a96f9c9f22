"""Jobs and their clips: what is to happen after a 202."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from server.catalog import events, pages
from server.catalog.ids import new_id
from server.catalog.tables import clip, job

ACTIVE = ("queued", "processing", "storing")
ENDED = ("completed", "failed", "canceled")


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
    notes: Sequence[str] = (),
    webhook_url: str | None = None,
    webhook_changes: bool = False,
) -> str:
    """A queued job and its clips; the job's id."""
    job_id = new_id("job")
    conn.execute(
        insert(job).values(
            id=job_id,
            user_id=user_id,
            project_id=project_id,
            scene_id=scene_id,
            kind="generate",
            status="queued",
            provider=provider,
            model=model,
            combine=combine,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            cancel_requested=False,
            notes=list(notes),
            attempts=0,
            webhook_url=webhook_url,
            webhook_changes=webhook_changes,
            created_at=now,
        )
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
                "from_previous": one.from_previous,
                "progress": 0.0,
                "attempts": 0,
                "prediction_ended": False,
            }
            for index, one in enumerate(clips)
        ],
    )
    events.job_changed(conn, job_id)
    return job_id


def get(conn: Connection, job_id: str) -> Row[Any] | None:
    """A job's row."""
    return conn.execute(select(job).where(job.c.id == job_id)).first()


def retry(conn: Connection, row: Row[Any]) -> bool:
    """Set an ended job going again, only with what failed; whether there was anything.

    A clip whose prediction has not ended badly goes on with it: nothing is paid twice.
    """
    again = [one for one in clips_of(conn, [row.id]) if one.status in ("failed", "canceled")]
    for one in again:
        values: dict[str, Any] = {"error_code": None, "error_message": None}
        if one.prediction_ended or one.prediction_id is None:
            past = list(one.past_predictions or [])
            values |= {
                "status": "queued",
                "progress": 0.0,
                "past_predictions": [*past, one.prediction_id] if one.prediction_id else past,
                "prediction_id": None,
                "prediction_ended": False,
                "handles": None,
                "submitting_at": None,
                "nonce": None,
            }
        else:
            values["status"] = "processing"
        change_clip(conn, one.id, **values)
    if again or row.status == "failed":
        change(
            conn,
            row.id,
            status="queued",
            cancel_requested=False,
            error_code=None,
            error_message=None,
            ended_at=None,
        )
        return True
    return False


def by_idempotency_key(conn: Connection, user_id: str, key: str) -> Row[Any] | None:
    """The job that a user's key has made already."""
    query = select(job).where(job.c.user_id == user_id, job.c.idempotency_key == key)
    return conn.execute(query).first()


def list_jobs(
    conn: Connection,
    *,
    user_id: str,
    filters: Mapping[str, str],
    cursor: str | None,
    limit: int,
) -> pages.Page:
    """A user's jobs, newest first."""
    query = select(job).where(job.c.user_id == user_id)
    for name, value in filters.items():
        query = query.where(job.c[name] == value)
    return pages.fetch(conn, query, job, cursor=cursor, limit=limit)


def clips_of(conn: Connection, job_ids: Iterable[str]) -> list[Row[Any]]:
    """The clips of jobs, in their order."""
    query = select(clip).where(clip.c.job_id.in_(list(job_ids)))
    return list(conn.execute(query.order_by(clip.c.job_id, clip.c.position)))


def get_clip(conn: Connection, clip_id: str) -> Row[Any]:
    """A clip's row; it must be there."""
    return conn.execute(select(clip).where(clip.c.id == clip_id)).one()


def active(conn: Connection) -> list[Row[Any]]:
    """Jobs that are not ended, oldest first."""
    query = select(job).where(job.c.status.in_(ACTIVE)).order_by(job.c.created_at, job.c.id)
    return list(conn.execute(query))


def count_by_state(conn: Connection) -> dict[tuple[str, str], int]:
    """How many jobs there are by (kind, status)."""
    query = select(job.c.kind, job.c.status, func.count()).group_by(job.c.kind, job.c.status)
    return {(kind, status): int(count) for kind, status, count in conn.execute(query)}


def change(conn: Connection, job_id: str, /, **values: Any) -> None:
    """Set columns of a job."""
    conn.execute(update(job).where(job.c.id == job_id).values(**values))
    events.job_changed(conn, job_id)


def change_clip(conn: Connection, clip_id: str, /, **values: Any) -> None:
    """Set columns of a clip."""
    conn.execute(update(clip).where(clip.c.id == clip_id).values(**values))
    events.clip_changed(conn, clip_id)


def owned_predictions(conn: Connection, provider: str) -> set[str]:
    """Predictions of a provider that a clip has: none of them is a lost one."""
    query = (
        select(clip.c.prediction_id, clip.c.past_predictions)
        .join(job, job.c.id == clip.c.job_id)
        .where(job.c.provider == provider)
    )
    owned: set[str] = set()
    for current, past in conn.execute(query):
        owned.update(past or [])
        if current is not None:
            owned.add(current)
    return owned
