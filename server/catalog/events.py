"""What has changed, for those who follow it. Recorded in the transaction that changes it.

Each user's events are numbered by themselves, without a gap, in the order of their commits.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from server.catalog.records import ENDED, Asset, Clip, Event, Job
from server.catalog.tables import asset, change_event, clip, job, project, scene, user
from server.db import check_named, now

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
    row = Job.first(conn, select(job).where(job.c.id == job_id))
    if row is not None:
        data = {name: getattr(row, name) for name in _JOB}
        notes, next_try_at = row.waits(Clip.all(conn, select(clip).where(clip.c.job_id == job_id)))
        data |= {"notes": notes, "next_try_at": _rfc3339(next_try_at)}
        _record(conn, row.user_id, "job", data)


def clip_changed(conn: Connection, clip_id: str) -> None:
    """A clip of a job is other than it was."""
    query = select(clip, job.c.user_id).join(job, job.c.id == clip.c.job_id)
    row = conn.execute(query.where(clip.c.id == clip_id)).first()
    if row is not None:
        data = {"job_id": row.job_id, "index": row.position}
        data |= {name: getattr(row, name) for name in _CLIP}
        data["next_try_at"] = _rfc3339(row.next_try_at)
        _record(conn, row.user_id, "clip", data)


def asset_changed(conn: Connection, asset_id: str) -> None:
    """An asset is new, or other than it was; one in the trash is gone, to who follows."""
    row = Asset.first(conn, select(asset).where(asset.c.id == asset_id))
    if row is not None:
        gone = {"id": asset_id, "deleted": True}
        _record(conn, row.user_id, "asset", _asset(row) if row.deleted_at is None else gone)


def assets_changed(conn: Connection, rows: Sequence[Asset]) -> None:
    """Record that assets were restored."""
    _record_assets(conn, [(row.user_id, _asset(row)) for row in rows])


def assets_deleted(conn: Connection, gone: Sequence[tuple[str, str]]) -> None:
    """Assets, each as (user, id), are gone or in the trash."""
    _record_assets(conn, [(owner, {"id": one, "deleted": True}) for owner, one in gone])


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


def newest(conn: Connection, user_id: str) -> int:
    """The number of a user's newest event, kept or not; 0 without any."""
    return conn.execute(select(user.c.last_event).where(user.c.id == user_id)).scalar() or 0


def after(conn: Connection, user_id: str, last: int, limit: int) -> list[Event] | None:
    """A user's events after number `last`, in their order.

    None when they cannot all be told: the next one is not kept any more, or `last` is none that
    was ever given.
    """
    given = newest(conn, user_id)
    if last >= given:
        return [] if last == given else None
    query = (
        select(change_event)
        .where(change_event.c.user_id == user_id, change_event.c.number > last)
        .order_by(change_event.c.number)
        .limit(limit)
    )
    found = Event.all(conn, query)
    return found if found and found[0].number == last + 1 else None


def job_ended(conn: Connection, job_id: str) -> bool:
    """Whether a job has ended, or is not there."""
    status = conn.execute(select(job.c.status).where(job.c.id == job_id)).scalar()
    return status is None or status in ENDED


def forget_old(conn: Connection, now: datetime) -> None:
    """Remove what nobody can be waiting for any more."""
    conn.execute(delete(change_event).where(change_event.c.at < now - KEPT))


def _asset(row: Asset) -> dict[str, Any]:
    data = {name: getattr(row, name) for name in _ASSET}
    data["source_expires_at"] = _rfc3339(data["source_expires_at"])
    return data


def _rfc3339(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _named(row: Row[Any]) -> dict[str, Any]:
    data = {"id": row.id, "name": row.name}
    return data if row.deleted_at is None else {**data, "deleted": True}


def _record_assets(conn: Connection, states: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    by_user = defaultdict(list)
    for user_id, data in states:
        by_user[user_id].append(data)
    for user_id in sorted(by_user):
        _record(conn, user_id, "asset", *by_user[user_id])


def _record(conn: Connection, user_id: str, noun: str, *states: Mapping[str, Any]) -> None:
    """Give states the next numbers of a user, all by one statement. Raises UserNotNamed."""
    check_named(conn, [user_id])
    mine = update(user).where(user.c.id == user_id)
    counted = mine.values(last_event=user.c.last_event + len(states)).returning(user.c.last_event)
    first = conn.execute(counted).scalar_one() - len(states) + 1
    at = now(conn)
    conn.execute(
        insert(change_event),
        [
            {"user_id": user_id, "number": number, "noun": noun, "data": dict(data), "at": at}
            for number, data in enumerate(states, first)
        ],
    )
