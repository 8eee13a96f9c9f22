"""Resumable uploads: files that come in pieces, and for a while those that have arrived."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from server.blobs import rows as blob_rows
from server.blobs.rows import blob
from server.catalog import pages
from server.catalog.ids import new_id
from server.catalog.records import Upload
from server.catalog.tables import asset, upload
from server.db import check_named


def create(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    scene_id: str | None,
    filename: str,
    metadata: str,
    length: int,
    blob_id: int,
    now: datetime,
    expires_at: datetime,
) -> str:
    """A new upload of `length` bytes into an open blob; its id.

    `metadata` is what the client has said about it, as it said it.
    """
    upload_id = new_id("up")
    conn.execute(
        insert(upload).values(
            id=upload_id,
            user_id=user_id,
            project_id=project_id,
            scene_id=scene_id,
            filename=filename,
            metadata=metadata,
            length=length,
            blob_id=blob_id,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return upload_id


def get(conn: Connection, upload_id: str) -> Upload | None:
    """An upload's row, with `offset`: how many of its bytes are here."""
    return Upload.first(conn, _rows().where(upload.c.id == upload_id))


def list_unfinished(
    conn: Connection, *, user_id: str, now: datetime, cursor: str | None, limit: int
) -> pages.Page[Upload]:
    """A user's uploads that can be gone on with, newest first."""
    query = _rows().where(
        upload.c.user_id == user_id, upload.c.asset_id.is_(None), upload.c.expires_at > now
    )
    return pages.fetch(conn, Upload, query, upload, cursor=cursor, limit=limit)


def coming(conn: Connection, user_id: str, *, but: str | None = None) -> tuple[int, int]:
    """A user's unfinished uploads, how many and of how many bytes in the end; `but` for one."""
    query = select(func.count(), func.coalesce(func.sum(upload.c.length), 0)).where(
        upload.c.user_id == user_id, upload.c.asset_id.is_(None)
    )
    if but is not None:
        query = query.where(upload.c.id != but)
    count, size = conn.execute(query).one()
    return int(count), int(size)


def full(conn: Connection) -> list[str]:
    """Uploads whose last byte has come and that are no assets yet: a crash came in between."""
    query = (
        select(upload.c.id)
        .join(blob, blob.c.id == upload.c.blob_id)
        .where(upload.c.asset_id.is_(None), blob.c.size == upload.c.length)
    )
    return [str(upload_id) for upload_id in conn.execute(query).scalars()]


def keep(conn: Connection, row: Upload, expires_at: datetime) -> None:
    """Keep an unfinished upload and its bytes until then."""
    assert row.blob_id is not None
    conn.execute(update(upload).where(upload.c.id == row.id).values(expires_at=expires_at))
    blob_rows.set_expiry(conn, row.blob_id, expires_at)


def complete(conn: Connection, upload_id: str, asset_id: str, expires_at: datetime) -> None:
    """An upload has become an asset; that it has is told until then."""
    conn.execute(
        update(upload)
        .where(upload.c.id == upload_id)
        .values(asset_id=asset_id, blob_id=None, expires_at=expires_at)
    )


def remove(conn: Connection, upload_id: str, blob_id: int | None) -> None:
    """Delete an upload, and its bytes unless an asset has them."""
    conn.execute(upload.delete().where(upload.c.id == upload_id))
    if blob_id is not None:
        blob_rows.discard(conn, blob_id)


def remove_of(conn: Connection, user_ids: Sequence[str]) -> None:
    """Forget all that these users are sending; who sends on is refused at the next piece."""
    for row in conn.execute(select(upload).where(upload.c.user_id.in_(user_ids))).all():
        remove(conn, row.id, row.blob_id)


def users_expired(conn: Connection, now: datetime) -> list[str]:
    """The users who have something for `remove_expired` to do."""
    query = select(upload.c.user_id).where(upload.c.expires_at <= now).distinct()
    return [str(user_id) for user_id in conn.execute(query).scalars()]


def remove_expired(conn: Connection, user_id: str, now: datetime) -> None:
    """Forget what a user did not go on with in time, and its bytes."""
    check_named(conn, [user_id])
    late = select(upload).where(upload.c.user_id == user_id, upload.c.expires_at <= now)
    for row in conn.execute(late).all():
        remove(conn, row.id, row.blob_id)


def any_abandoned(conn: Connection, now: datetime) -> bool:
    """Whether there is something for `bury_abandoned` to do."""
    return conn.execute(select(blob.c.id).where(_abandoned(now)).limit(1)).first() is not None


def bury_abandoned(conn: Connection, now: datetime) -> None:
    """Mark bytes as dead that are no upload's any more."""
    conn.execute(update(blob).where(_abandoned(now)).values(state="dead"))


def _abandoned(now: datetime) -> ColumnElement[bool]:
    """Blobs that were kept for an upload that is not there any more, until the time was over."""
    wanted = select(upload.c.id).where(upload.c.blob_id == blob.c.id).exists()
    return and_(blob.c.state == "open", blob.c.expires_at <= now, ~wanted)


def _rows() -> Select[Any]:
    """Uploads that are there: not those whose bytes, or whose asset, somebody has thrown away."""
    offset = case((upload.c.asset_id.is_not(None), upload.c.length), else_=blob.c.size)
    return (
        select(upload, offset.label("offset"))
        .join(blob, blob.c.id == upload.c.blob_id, isouter=True)
        .join(asset, asset.c.id == upload.c.asset_id, isouter=True)
        .where(
            or_(
                and_(asset.c.id.is_not(None), asset.c.deleted_at.is_(None)),
                blob.c.state == "open",
            )
        )
    )
