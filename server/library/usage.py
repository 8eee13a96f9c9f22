"""What fills the volume, and who may fill it how far."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from server.blobs.rows import blob
from server.catalog import jobs, uploads
from server.catalog.records import Record, Role
from server.catalog.tables import asset, in_trash, project, upload, user
from server.errors import QuotaExceeded
from server.library.words import size_of

_ADVICE = "Delete something for good, or ask an admin for more."
# What counts: all that is in sight or in the trash. What was deleted for good is on its way out.
_LIVE = asset.c.deleted_at.is_(None)
_TRASH = in_trash(asset)
_SIZE = func.coalesce(asset.c.size, 0)


def _count(which: Any) -> Any:
    """Assets as people count them: a poster is a part of what it shows."""
    return func.count().filter(and_(which, asset.c.role != "poster"))


def _bytes(which: Any) -> Any:
    return func.coalesce(func.sum(_SIZE).filter(which), 0)


_SUMS: tuple[Any, ...] = (
    _count(_LIVE).label("assets"),
    _bytes(_LIVE).label("bytes"),
    _count(_TRASH).label("trash_assets"),
    _bytes(_TRASH).label("trash_bytes"),
)


def _uploads(whose: ColumnElement[bool]) -> tuple[Any, ...]:
    """What is being sent: uploads, and the bytes that they will have."""
    unfinished = (whose, upload.c.asset_id.is_(None))
    size = func.coalesce(func.sum(upload.c.length), 0)
    return (
        select(func.count())
        .select_from(upload)
        .where(*unfinished)
        .scalar_subquery()
        .label("uploads"),
        select(size).where(*unfinished).scalar_subquery().label("upload_bytes"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums(Record):
    """Assets and bytes, in sight and in the trash; posters count as bytes alone."""

    assets: int
    bytes: int
    trash_assets: int
    trash_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSums(Sums):
    """What a user has, and unfinished uploads with the bytes that they will have."""

    uploads: int
    upload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedUserSums(UserSums):
    """The same with the user's name and quotas."""

    id: str
    name: str
    max_assets: int | None
    max_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSums(Sums):
    """What a project has."""

    id: str
    name: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSums(Record):
    """What there is of one role."""

    role: Role
    assets: int
    bytes: int
    trash_bytes: int


@dataclass(frozen=True)
class Store:
    """The bytes behind the assets. Dedup: assets that have equal bytes share one blob."""

    blob_bytes: int
    asset_bytes: int
    # In blobs that only the trash still needs: what emptying every trash gives back.
    reclaimable: int

    @property
    def dedup_saved(self) -> int:
        """What would be there besides, if each asset had bytes of its own."""
        return max(0, self.asset_bytes - self.blob_bytes)


def of_user(conn: Connection, user_id: str) -> UserSums:
    """What a user has."""
    sums = (*_SUMS, *_uploads(upload.c.user_id == user_id))
    return UserSums.of(conn.execute(select(*sums).where(asset.c.user_id == user_id)).one())


def by_user(conn: Connection) -> Sequence[NamedUserSums]:
    """The same for every user; who has most comes first."""
    sums = (*_SUMS, *_uploads(upload.c.user_id == user.c.id))
    query = (
        select(user.c.id, user.c.name, user.c.max_assets, user.c.max_bytes, *sums)
        .select_from(user.outerjoin(asset, asset.c.user_id == user.c.id))
        .where(user.c.deleted_at.is_(None))
        .group_by(user.c.id)
    )
    sums_by_user = NamedUserSums.all(conn, query)
    return sorted(sums_by_user, key=lambda one: -(one.bytes + one.trash_bytes))


def by_project(
    conn: Connection, user_id: str | None = None, *, trashed: bool = False
) -> Sequence[ProjectSums]:
    """What a user's projects (or all) have; the largest comes first.

    Projects in the trash count only if asked for.
    """
    query = (
        select(project.c.id, project.c.name, project.c.user_id, *_SUMS)
        .select_from(project.outerjoin(asset, asset.c.project_id == project.c.id))
        .group_by(project.c.id)
    )
    if not trashed:
        query = query.where(project.c.deleted_at.is_(None))
    if user_id is not None:
        query = query.where(project.c.user_id == user_id)
    return sorted(ProjectSums.all(conn, query), key=lambda one: (-one.bytes, one.name))


def by_role(conn: Connection, user_id: str | None = None) -> Sequence[RoleSums]:
    """What a user (or everybody) has by role; here `poster` is one of them."""
    query = (
        select(
            asset.c.role,
            func.count().filter(_LIVE).label("assets"),
            _bytes(_LIVE).label("bytes"),
            _bytes(_TRASH).label("trash_bytes"),
        )
        .group_by(asset.c.role)
        .order_by(asset.c.role)
    )
    if user_id is not None:
        query = query.where(asset.c.user_id == user_id)
    return RoleSums.all(conn, query)


def of_store(conn: Connection) -> Store:
    """How many bytes there are, and how many would be without sharing."""
    sealed = blob.c.state == "sealed"
    blobs = conn.execute(select(func.coalesce(func.sum(blob.c.size), 0)).where(sealed)).scalar_one()
    stored = select(_bytes(asset.c.blob_id.is_not(None)))
    needed = select(asset.c.id).where(asset.c.blob_id == blob.c.id, _LIVE).exists()
    trash = select(func.coalesce(func.sum(blob.c.size), 0)).where(sealed, ~needed)
    return Store(
        int(blobs), int(conn.execute(stored).scalar_one()), int(conn.execute(trash).scalar_one())
    )


def room(conn: Connection, user_id: str) -> int | None:
    """How many bytes more a user may have, what is being sent counted; None without a quota."""
    row = conn.execute(select(user.c.max_bytes).where(user.c.id == user_id)).first()
    if row is None or row.max_bytes is None:
        return None
    used = of_user(conn, user_id)
    held = int(used.bytes) + int(used.trash_bytes) + int(used.upload_bytes)
    return max(0, int(row.max_bytes) - held)


async def within(room: int | None, pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Bytes on their way in, as long as there is `room` for them. Raises QuotaExceeded."""
    total = 0
    async for piece in pieces:
        total += len(piece)
        if room is not None and total > room:
            raise QuotaExceeded(
                f"The file is larger than what the quota leaves ({size_of(room)}). {_ADVICE}"
            )
        yield piece


def check_quota(
    conn: Connection,
    user_id: str,
    *,
    assets: int = 1,
    size: int = 1,
    upload_id: str | None = None,
) -> None:
    """Raise QuotaExceeded when a user may not have so many assets and bytes more.

    To be asked before bytes are taken and before money is spent; clips that are under way count
    as assets already, and uploads by the length that they will have. `upload_id` is one that
    does not count: what it brings is what is asked for.
    """
    row = conn.execute(
        select(user.c.max_assets, user.c.max_bytes).where(user.c.id == user_id)
    ).first()
    if row is None or (row.max_assets is None and row.max_bytes is None):
        return
    used = of_user(conn, user_id)
    sent, sent_bytes = uploads.coming(conn, user_id, but=upload_id)
    in_use = used.bytes + used.trash_bytes + sent_bytes
    if row.max_bytes is not None and in_use + size > row.max_bytes:
        raise QuotaExceeded(
            f"The quota of {size_of(row.max_bytes)} does not allow {size_of(size)} more: "
            f"{size_of(used.bytes)} are in use{_in_trash(used.trash_bytes, size_of)}"
            f"{_in_uploads(sent_bytes)}. {_ADVICE}"
        )
    coming = jobs.active_clips(conn, user_id) + sent
    held = used.assets + used.trash_assets
    if row.max_assets is not None and held + coming + assets > row.max_assets:
        raise QuotaExceeded(
            f"The quota of {row.max_assets} assets does not allow this: there are {used.assets}"
            f"{_in_trash(used.trash_assets)}, and {coming} on their way. {_ADVICE}"
        )


def _in_uploads(size: int) -> str:
    return f", and {size_of(size)} are kept for unfinished uploads" if size else ""


def _in_trash(count: int, words: Callable[[int], str] = str) -> str:
    return f", and {words(count)} more in the trash" if count else ""
