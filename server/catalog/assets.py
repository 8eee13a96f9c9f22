"""Assets: anything with bytes, stored or on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from server.blobs import rows as blob_rows
from server.blobs.store import Sealed
from server.catalog import access, events, names, pages
from server.catalog.ids import new_id
from server.catalog.tables import asset, job

# What the poster of an asset is called in a query.
_poster = asset.alias("poster")
_POSTER_ID = (
    select(_poster.c.id)
    .where(_poster.c.poster_of == asset.c.id, _poster.c.storage_state == "stored")
    .limit(1)
    .scalar_subquery()
    .label("poster_id")
)
_POSTER_EPOCH = (
    select(_poster.c.token_epoch)
    .where(_poster.c.poster_of == asset.c.id, _poster.c.storage_state == "stored")
    .limit(1)
    .scalar_subquery()
    .label("poster_epoch")
)
# The caller's own id for a download.
_REFERENCE = (
    select(job.c.reference).where(job.c.id == asset.c.job_id).scalar_subquery().label("reference")
)


@dataclass(frozen=True, slots=True)
class Served:
    """What serving an asset's bytes takes to know."""

    id: str
    user_id: str
    visibility: str
    token_epoch: int
    storage_state: str
    blob_id: int | None
    size: int
    sha256: str
    content_type: str
    filename: str
    stored_at: datetime | None
    source_url: str | None
    source_expires_at: datetime | None


def insert_asset(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    role: str,
    kind: str,
    filename: str,
    content_type: str,
    now: datetime,
    scene_id: str | None = None,
    storage_state: str = "pending",
    processing_state: str = "waiting",
    **columns: Any,
) -> str:
    """A new asset under a free storage key; its id. `filename` must be safe already."""
    key, filename = names.storage_key(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=scene_id,
        kind=kind,
        filename=filename,
    )
    asset_id = new_id("as")
    conn.execute(
        insert(asset).values(
            id=asset_id,
            user_id=user_id,
            project_id=project_id,
            scene_id=scene_id,
            role=role,
            kind=kind,
            filename=filename,
            storage_key=key,
            content_type=content_type,
            storage_state=storage_state,
            processing_state=processing_state,
            processing_attempts=0,
            save_attempts=0,
            visibility="private",
            token_epoch=0,
            created_at=now,
            **columns,
        )
    )
    events.asset_changed(conn, asset_id)
    return asset_id


def attach_blob(
    conn: Connection, asset_id: str, blob_id: int, sealed: Sealed, *, now: datetime
) -> None:
    """Give an asset its bytes: from the commit on it is `stored`."""
    number = blob_rows.publish(conn, blob_id, sealed)
    conn.execute(
        update(asset)
        .where(asset.c.id == asset_id)
        .values(
            blob_id=number,
            size=sealed.size,
            sha256=sealed.sha256,
            storage_state="stored",
            storage_error=None,
            next_save_at=None,
            stored_at=now,
        )
    )
    access.bump(conn)
    events.asset_changed(conn, asset_id)


def get(conn: Connection, asset_id: str) -> Row[Any] | None:
    """An asset's row, with `poster_id`."""
    return conn.execute(_rows().where(asset.c.id == asset_id)).first()


def list_assets(
    conn: Connection,
    *,
    user_id: str,
    filters: Mapping[str, str],
    q: str | None,
    cursor: str | None,
    limit: int,
) -> pages.Page:
    """A user's assets, newest first. Posters show only when their role is asked for."""
    query = _rows().where(asset.c.user_id == user_id)
    for name, value in filters.items():
        query = query.where(asset.c[name] == value)
    if "role" not in filters:
        query = query.where(asset.c.role != "poster")
    if q:
        pattern = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = query.where(
            or_(
                asset.c.filename.ilike(pattern, escape="\\"),
                asset.c.prompt.ilike(pattern, escape="\\"),
            )
        )
    return pages.fetch(conn, query, asset, cursor=cursor, limit=limit)


def of_job(conn: Connection, job_ids: list[str]) -> list[Row[Any]]:
    """The assets that these jobs made, oldest first."""
    query = _rows().where(asset.c.job_id.in_(job_ids), asset.c.role != "poster")
    return list(conn.execute(query.order_by(asset.c.created_at, asset.c.id)))


def served(conn: Connection, asset_id: str) -> Served | None:
    """What serving needs."""
    row = get(conn, asset_id)
    if row is None:
        return None
    return Served(
        id=row.id,
        user_id=row.user_id,
        visibility=row.visibility,
        token_epoch=row.token_epoch,
        storage_state=row.storage_state,
        blob_id=row.blob_id,
        size=row.size or 0,
        sha256=row.sha256 or "",
        content_type=row.content_type,
        filename=row.filename,
        stored_at=row.stored_at,
        source_url=row.source_url,
        source_expires_at=row.source_expires_at,
    )


def id_of_key(conn: Connection, key: str) -> str | None:
    """The asset that is filed under a storage key."""
    return conn.execute(select(asset.c.id).where(asset.c.storage_key == key)).scalar()


def change(conn: Connection, asset_id: str, /, **values: Any) -> None:
    """Set columns of an asset; caches forget it."""
    conn.execute(update(asset).where(asset.c.id == asset_id).values(**values))
    access.bump(conn)
    events.asset_changed(conn, asset_id)


def rename(conn: Connection, row: Row[Any], filename: str, *, kind: str | None = None) -> None:
    """File an asset under another name, or kind. `filename` must be safe already."""
    kind = kind or row.kind
    # Only within a scene the kind is a part of the key.
    moves = row.scene_id is not None and kind != row.kind
    if filename == row.filename and not moves:
        return
    key, filename = names.storage_key(
        conn,
        user_id=row.user_id,
        project_id=row.project_id,
        scene_id=row.scene_id,
        kind=kind,
        filename=filename,
    )
    change(conn, row.id, filename=filename, storage_key=key)


def delete(conn: Connection, asset_id: str) -> tuple[int, int]:
    """Remove an asset and its poster; how many assets and bytes went.

    The bytes are given back by the collector when no other asset has them.
    """
    mine = or_(asset.c.id == asset_id, asset.c.poster_of == asset_id)
    for row in conn.execute(select(asset.c.id, asset.c.user_id).where(mine)).all():
        events.asset_deleted(conn, row.user_id, row.id)
    size = conn.execute(
        select(func.count(), func.coalesce(func.sum(asset.c.size), 0)).where(mine)
    ).one()
    conn.execute(asset.delete().where(mine))
    access.bump(conn)
    return int(size[0]), int(size[1])


def to_process(conn: Connection, limit: int) -> list[Row[Any]]:
    """Stored assets whose probe and poster wait to be made, oldest first."""
    query = (
        select(asset)
        .where(asset.c.processing_state == "waiting", asset.c.storage_state == "stored")
        .order_by(asset.c.created_at)
        .limit(limit)
    )
    return list(conn.execute(query))


def to_save(conn: Connection, now: datetime, limit: int) -> list[str]:
    """Outputs that are to be saved again now, the most urgent first."""
    query = (
        select(asset.c.id)
        .where(asset.c.storage_state.in_(("url_only", "unsaved")), asset.c.next_save_at <= now)
        .order_by(asset.c.source_expires_at.is_(None), asset.c.source_expires_at)
        .limit(limit)
    )
    return [str(asset_id) for asset_id in conn.execute(query).scalars()]


def has_orphaned_blobs(conn: Connection) -> bool:
    """Whether there are sealed blobs that no asset has."""
    return conn.execute(_orphans().limit(1)).first() is not None


def bury_orphaned_blobs(conn: Connection) -> None:
    """Mark sealed blobs that no asset has as dead."""
    for number in conn.execute(_orphans()).scalars().all():
        blob_rows.mark(conn, number, "dead")


def _orphans() -> Select[Any]:
    blob = blob_rows.blob
    used = select(asset.c.id).where(asset.c.blob_id == blob.c.id).exists()
    return select(blob.c.id).where(blob.c.state == "sealed", ~used)


def _rows() -> Select[Any]:
    return select(asset, _POSTER_ID, _POSTER_EPOCH, _REFERENCE)
