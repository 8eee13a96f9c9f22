"""Assets: anything with bytes, stored or on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)

from server.blobs import rows as blob_rows
from server.blobs.store import Sealed
from server.catalog import access, aliases, events, names, pages
from server.catalog.ids import new_id
from server.catalog.records import (
    Asset,
    AssetChanges,
    Kind,
    ProcessingState,
    Role,
    StorageState,
    Visibility,
)
from server.catalog.tables import asset, clip, in_trash, job, output, prediction, project, scene

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
    visibility: Visibility
    token_epoch: int
    storage_state: StorageState
    blob_id: int | None
    size: int
    sha256: str
    content_type: str
    filename: str
    stored_at: datetime | None
    source_url: str | None
    source_expires_at: datetime | None
    expires_at: datetime | None
    # Its bytes were stored once, and missing from the backup that the library was restored from.
    lost: bool


def insert_asset(
    conn: Connection,
    *,
    user_id: str,
    project_id: str,
    role: Role,
    kind: Kind,
    filename: str,
    content_type: str,
    now: datetime,
    scene_id: str | None = None,
    storage_state: StorageState = "pending",
    processing_state: ProcessingState = "waiting",
    visibility: Visibility = "private",
    blob: tuple[int, Sealed] | None = None,
    **columns: Any,
) -> str:
    """A new asset under a free storage key; its id. `filename` must be safe already.

    With a `blob` it is `stored` from the commit on.
    """
    key, filename = names.storage_key(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=scene_id,
        kind=kind,
        filename=filename,
    )
    asset_id = new_id("as")
    # What was on its way when its place went to the trash goes there, too.
    place = scene if scene_id else project
    trash = select(place.c.deleted_at, place.c.purge_at).where(
        place.c.id == (scene_id or project_id)
    )
    deleted_at, purge_at = conn.execute(trash).one()
    values: dict[str, Any] = {"storage_state": storage_state, **columns}
    if blob is not None:
        values |= _published(conn, *blob, now)
        access.bump(conn, user_id)
    conn.execute(
        insert(asset).values(
            id=asset_id,
            deleted_at=deleted_at,
            purge_at=purge_at,
            user_id=user_id,
            project_id=project_id,
            scene_id=scene_id,
            role=role,
            kind=kind,
            filename=filename,
            storage_key=key,
            content_type=content_type,
            processing_state=processing_state,
            processing_attempts=0,
            save_attempts=0,
            visibility=visibility,
            token_epoch=0,
            created_at=now,
            **values,
        )
    )
    events.asset_changed(conn, asset_id)
    return asset_id


def outputs_of(conn: Connection, prediction_row: int) -> list[Asset]:
    """The assets of a prediction in the provider's order, also those in the trash."""
    query = (
        _rows()
        .join(output, output.c.asset_id == asset.c.id)
        .where(output.c.prediction == prediction_row, _there(True))
    )
    return Asset.all(conn, query.order_by(output.c.position))


def attach_blob(
    conn: Connection,
    row: Asset,
    blob: tuple[int, Sealed],
    *,
    filename: str,
    kind: Kind,
    content_type: str,
    facts: AssetChanges,
    now: datetime,
) -> None:
    """Give an asset its bytes, and what they show it to be: from the commit on it is `stored`.

    `filename` must be safe already; the old key goes on meaning it. `facts` are what is known of
    the media, with the processing state.
    """
    values: dict[str, Any] = {
        "kind": kind,
        "content_type": content_type,
        **facts,
        **_refiled(conn, row, row.project_id, row.scene_id, kind, filename, now),
        **_published(conn, *blob, now),
    }
    conn.execute(update(asset).where(asset.c.id == row.id).values(**values))
    access.bump(conn, row.user_id)
    events.asset_changed(conn, row.id)


def _published(conn: Connection, blob_id: int, sealed: Sealed, now: datetime) -> dict[str, Any]:
    """Make a blob visible; the columns of the asset that has it."""
    return {
        "blob_id": blob_rows.publish(conn, blob_id, sealed),
        "size": sealed.size,
        "sha256": sealed.sha256,
        "storage_state": "stored",
        "storage_error": None,
        "next_save_at": None,
        "stored_at": now,
    }


def get(conn: Connection, asset_id: str, *, trashed: bool = False) -> Asset | None:
    """An asset; one in the trash only when that is asked for."""
    return Asset.first(conn, _rows().where(asset.c.id == asset_id, _there(trashed)))


@dataclass(frozen=True)
class Listed:
    """A page of a list, and how many match its filters of how many there are."""

    page: pages.Page[Asset]
    matching: int
    everything: int


def list_assets(
    conn: Connection,
    *,
    user_id: str,
    filters: Mapping[str, str],
    ids: Sequence[str] | None,
    q: str | None,
    trashed: bool,
    cursor: str | None,
    limit: int,
) -> Listed:
    """A user's assets, newest first; or those in the trash.

    Posters show only when their role is asked for.
    """
    mine = [
        asset.c.user_id == user_id,
        in_trash(asset) if trashed else asset.c.deleted_at.is_(None),
    ]
    if "role" not in filters:
        mine.append(asset.c.role != "poster")
    wanted = [asset.c[name] == value for name, value in filters.items()]
    if ids is not None:
        wanted.append(asset.c.id.in_(ids))
    if q:
        pattern = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        wanted.append(
            or_(
                asset.c.filename.ilike(pattern, escape="\\"),
                asset.c.prompt.ilike(pattern, escape="\\"),
            )
        )
    page = pages.fetch(
        conn, Asset, _rows().where(*mine, *wanted), asset, cursor=cursor, limit=limit
    )
    count = select(func.count()).select_from(asset).where(*mine)
    everything = int(conn.execute(count).scalar_one())
    matching = int(conn.execute(count.where(*wanted)).scalar_one()) if wanted else everything
    return Listed(page, matching, everything)


def of_job(conn: Connection, job_ids: list[str]) -> list[Asset]:
    """The assets that these jobs made: clip by clip in the provider's order, then the others.

    Each with `clip_id` and the provider's `prediction_id`, where it is a prediction's.
    """
    query = (
        _rows()
        .add_columns(prediction.c.clip_id, prediction.c.prediction_id)
        .outerjoin(output, output.c.asset_id == asset.c.id)
        .outerjoin(prediction, prediction.c.id == output.c.prediction)
        .outerjoin(clip, clip.c.id == prediction.c.clip_id)
        .where(asset.c.job_id.in_(job_ids), asset.c.role != "poster", asset.c.deleted_at.is_(None))
        .order_by(
            clip.c.position.is_(None),
            clip.c.position,
            output.c.prediction,
            output.c.position,
            asset.c.created_at,
            asset.c.id,
        )
    )
    return Asset.all(conn, query)


def served(conn: Connection, asset_id: str, *, trashed: bool = False) -> Served | None:
    """What serving needs; of what is in the trash only if asked for."""
    row = get(conn, asset_id, trashed=trashed)
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
        expires_at=row.expires_at,
        lost=(row.storage_error or {}).get("type") == "lost",
    )


def named(conn: Connection, asset_id: str, asker: aliases.Asker, *, trashed: bool = False) -> str:
    """The id of an asset by its id, or by its id in a former installation.

    By the latter one in the trash is found only if asked for.
    """
    if get(conn, asset_id, trashed=True) is not None:
        return asset_id
    return aliases.find(conn, aliases.ASSET, asset_id, asker, trashed=trashed) or asset_id


def id_of_key(
    conn: Connection, key: str, asker: aliases.Asker, *, trashed: bool = False
) -> str | None:
    """The asset that is, or was, filed under a storage key; one in the trash only if asked for."""
    query = select(asset.c.id).where(asset.c.storage_key == key, _there(trashed))
    found = conn.execute(query).scalar()
    return found or aliases.find(conn, aliases.KEY, key, asker, trashed=trashed)


def change(conn: Connection, asset_id: str, /, **values: Unpack[AssetChanges]) -> None:
    """Set columns of an asset; caches forget it."""
    _set(conn, asset_id, **values)


def set_storage(
    conn: Connection, asset_id: str, state: StorageState, /, **values: Unpack[AssetChanges]
) -> None:
    """Move an asset's bytes to a state: for `lifecycle`."""
    _set(conn, asset_id, storage_state=state, **values)


def _set(conn: Connection, asset_id: str, **values: Any) -> None:
    row = update(asset).where(asset.c.id == asset_id).values(**values)
    owner = conn.execute(row.returning(asset.c.user_id)).scalar()
    if owner is not None:
        access.bump(conn, owner)
        events.asset_changed(conn, asset_id)


def move(
    conn: Connection,
    row: Asset,
    *,
    project_id: str,
    scene_id: str | None,
    filename: str,
    now: datetime,
    changes: AssetChanges | None = None,
) -> None:
    """File an asset elsewhere, or under another name; its old key goes on meaning it.

    `filename` must be safe already, project and scene its owner's. `changes` are made at once.
    """
    columns = _refiled(conn, row, project_id, scene_id, row.kind, filename, now)
    if columns or changes:
        change(conn, row.id, **(columns | (changes or {})))
    if not columns:
        return
    for poster in Asset.all(conn, select(asset).where(asset.c.poster_of == row.id)):
        if with_it := _refiled(
            conn, poster, project_id, scene_id, poster.kind, poster.filename, now
        ):
            change(conn, poster.id, **with_it)


def _refiled(
    conn: Connection,
    row: Asset,
    project_id: str,
    scene_id: str | None,
    kind: Kind,
    filename: str,
    now: datetime,
) -> AssetChanges:
    """The columns of an asset that is filed elsewhere; none for where it is.

    Its old key goes on meaning it.
    """
    if (project_id, scene_id, filename) == (row.project_id, row.scene_id, row.filename) and (
        kind == row.kind or scene_id is None  # only within a scene the kind is a part of the key
    ):
        return {}
    key, filename = names.storage_key(
        conn,
        user_id=row.user_id,
        project_id=project_id,
        scene_id=scene_id,
        kind=kind,
        filename=filename,
        asset_id=row.id,
    )
    if key == row.storage_key:
        return {}  # it would be called that, but another one is: it has its number already
    aliases.drop(conn, aliases.KEY, key, row.id)
    aliases.add(
        conn,
        user_id=row.user_id,
        kind=aliases.KEY,
        source=aliases.MOVED,
        name=row.storage_key,
        asset_id=row.id,
        now=now,
    )
    return {
        "project_id": project_id,
        "scene_id": scene_id,
        "filename": filename,
        "storage_key": key,
    }


def delete(conn: Connection, asset_id: str) -> tuple[int, int]:
    """Remove an asset and its poster; how many assets and bytes went.

    The bytes are given back by the collector when no other asset has them.
    """
    mine = or_(asset.c.id == asset_id, asset.c.poster_of == asset_id)
    gone = conn.execute(select(asset.c.user_id, asset.c.id).where(mine)).all()
    events.assets_deleted(conn, [(row.user_id, row.id) for row in gone])
    size = conn.execute(
        select(func.count(), func.coalesce(func.sum(asset.c.size), 0)).where(mine)
    ).one()
    conn.execute(asset.delete().where(mine))
    access.bump(conn, *{row.user_id for row in gone})
    return int(size[0]), int(size[1])


def to_process(conn: Connection, at: datetime, limit: int) -> list[tuple[str, str]]:
    """Stored assets whose probe and poster are to be made now, as (id, user), oldest first."""
    later = asset.c.next_processing_at.is_not(None) & (asset.c.next_processing_at > at)
    query = (
        select(asset.c.id, asset.c.user_id)
        .where(asset.c.processing_state == "waiting", asset.c.storage_state == "stored", ~later)
        .where(asset.c.deleted_at.is_(None))
        .order_by(asset.c.created_at)
        .limit(limit)
    )
    return [(row.id, row.user_id) for row in conn.execute(query)]


def to_save(conn: Connection, at: datetime, limit: int) -> list[tuple[str, str]]:
    """Outputs that are to be saved again now, as (id, user), the most urgent first."""
    query = (
        select(asset.c.id, asset.c.user_id)
        .where(asset.c.storage_state.in_(("url_only", "unsaved")), asset.c.next_save_at <= at)
        .where(or_(asset.c.deleted_at.is_(None), in_trash(asset)))
        .order_by(asset.c.source_expires_at.is_(None), asset.c.source_expires_at)
        .limit(limit)
    )
    return [(row.id, row.user_id) for row in conn.execute(query)]


def orphaned_blobs(conn: Connection) -> list[int]:
    """Sealed blobs that no asset has."""
    blob = blob_rows.blob
    return list(conn.execute(select(blob.c.id).where(_orphaned())).scalars())


def bury_blobs(conn: Connection, numbers: Sequence[int]) -> None:
    """Mark those of these blobs as dead that no asset has: not one that was taken up again."""
    blob = blob_rows.blob
    conn.execute(update(blob).where(blob.c.id.in_(numbers), _orphaned()).values(state="dead"))


def _orphaned() -> ColumnElement[bool]:
    blob = blob_rows.blob
    used = select(asset.c.id).where(asset.c.blob_id == blob.c.id).exists()
    return and_(blob.c.state == "sealed", ~used)


def _there(trashed: bool) -> ColumnElement[bool]:
    there = asset.c.deleted_at.is_(None)
    return or_(there, in_trash(asset)) if trashed else there


def _rows() -> Select[Any]:
    return select(asset, _POSTER_ID, _POSTER_EPOCH, _REFERENCE)
