"""What has changed, for those who follow it. Recorded in the transaction that changes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from server.catalog.records import Asset, Event
from server.catalog.tables import asset, change_event, clip, job, project, scene
from server.db import now

# How long a client may have been away and still go on from where it was.
KEPT = timedelta(days=1)

_ASSET = (
    "id",
    "role",
    "kind",
    "filename",
    "size",
    "storage_state",
    "processing_state",
    "source_expires_at",
    "visibility",
    "project_id",
    "scene_id",
    "job_id",
)
_JOB = (
    "id",
    "kind",
    "status",
    "progress",
    "speed",
    "eta",
    "reference",
    "error_code",
    "error_message",
)
_CLIP = (
    "status",
    "progress",
    "queue_position",
    "bytes_stored",
    "bytes_total",
    "asset_id",
    "attempts",
    "error_code",
    "error_message",
)


def job_changed(conn: Connection, job_id: str) -> None:
    """A job is other than it was."""
    row = conn.execute(select(job).where(job.c.id == job_id)).first()
    if row is not None:
        _record(conn, row.user_id, "job", {name: getattr(row, name) for name in _JOB})


def clip_changed(conn: Connection, clip_id: str) -> None:
    """A clip of a job is other than it was."""
    query = select(clip, job.c.user_id).join(job, job.c.id == clip.c.job_id)
    row = conn.execute(query.where(clip.c.id == clip_id)).first()
    if row is not None:
        data = {"job_id": row.job_id, "index": row.position}
        data |= {name: getattr(row, name) for name in _CLIP}
        _record(conn, row.user_id, "clip", data)


def asset_changed(conn: Connection, asset_id: str) -> None:
    """An asset is new, or other than it was; one in the trash is gone, to who follows."""
    row = Asset.first(conn, select(asset).where(asset.c.id == asset_id))
    if row is not None:
        gone = {"id": asset_id, "deleted": True}
        _record(conn, row.user_id, "asset", _asset(row) if row.deleted_at is None else gone)


def assets_changed(conn: Connection, rows: Sequence[Asset]) -> None:
    """Record that assets were restored."""
    if not rows:
        return
    at = now(conn)
    conn.execute(
        insert(change_event),
        [{"user_id": row.user_id, "noun": "asset", "data": _asset(row), "at": at} for row in rows],
    )


def assets_deleted(conn: Connection, gone: Sequence[tuple[str, str]]) -> None:
    """Assets, each as (user, id), are gone or in the trash."""
    if not gone:
        return
    at = now(conn)
    conn.execute(
        insert(change_event),
        [
            {"user_id": user, "noun": "asset", "data": {"id": one, "deleted": True}, "at": at}
            for user, one in gone
        ],
    )


def project_changed(conn: Connection, project_id: str) -> None:
    """A project is new, other than it was, or in the trash."""
    row = conn.execute(select(project).where(project.c.id == project_id)).first()
    if row is not None:
        _record(conn, row.user_id, "project", _named(row))


def scene_changed(conn: Connection, scene_id: str) -> None:
    """A scene is new, other than it was, or in the trash."""
    query = select(scene, project.c.user_id).join(project, project.c.id == scene.c.project_id)
    row = conn.execute(query.where(scene.c.id == scene_id)).first()
    if row is not None:
        _record(conn, row.user_id, "scene", {**_named(row), "project_id": row.project_id})


def after(conn: Connection, user_id: str, last: int, limit: int) -> list[Event]:
    """A user's events after number `last`, in their order."""
    query = (
        select(change_event)
        .where(change_event.c.user_id == user_id, change_event.c.id > last)
        .order_by(change_event.c.id)
        .limit(limit)
    )
    return Event.all(conn, query)


def bounds(conn: Connection) -> tuple[int, int]:
    """The numbers of the oldest event that is kept and of the newest; (1, 0) without any."""
    low, high = conn.execute(select(func.min(change_event.c.id), func.max(change_event.c.id))).one()
    return (int(low), int(high)) if high is not None else (1, 0)


def job_ended(conn: Connection, job_id: str) -> bool:
    """Whether a job has ended, or is not there."""
    status = conn.execute(select(job.c.status).where(job.c.id == job_id)).scalar()
    return status in (None, "completed", "failed", "canceled")


def forget_old(conn: Connection, now: datetime) -> None:
    """Remove what nobody can be waiting for any more; the newest stays, to count on from."""
    _, newest = bounds(conn)
    conn.execute(
        delete(change_event).where(change_event.c.at < now - KEPT, change_event.c.id < newest)
    )


def _asset(row: Asset) -> dict[str, Any]:
    data = {name: getattr(row, name) for name in _ASSET}
    expires = data["source_expires_at"]
    data["source_expires_at"] = expires.isoformat().replace("+00:00", "Z") if expires else None
    return data


def _named(row: Row[Any]) -> dict[str, Any]:
    data = {"id": row.id, "name": row.name}
    return data if row.deleted_at is None else {**data, "deleted": True}


def _record(conn: Connection, user_id: str, noun: str, data: Mapping[str, Any]) -> None:
    conn.execute(
        insert(change_event).values(user_id=user_id, noun=noun, data=dict(data), at=now(conn))
    )
