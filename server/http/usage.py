"""What fills the volume: one's own part of it, and for an admin the whole."""

from typing import Any

from litestar import Router, get
from litestar.di import NamedDependency
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import users
from server.catalog.keys import Principal
from server.db import Layout, layout
from server.http.auth import needs
from server.http.context import Services
from server.library import usage


class Used(Struct, kw_only=True):
    """Assets (posters not counted) and bytes (theirs too), in sight and in the trash."""

    assets: int
    bytes: int
    trash_assets: int
    trash_bytes: int


class UserUsed(Used, kw_only=True):
    """The same of a user; a quota that is null is none. The trash counts towards it.

    So do `uploads` that are not finished, by the bytes that they will have.
    """

    user_id: str
    name: str
    uploads: int
    upload_bytes: int
    max_assets: int | None
    max_bytes: int | None


class ProjectUsed(Used, kw_only=True):
    """The same of a project."""

    project_id: str
    name: str


class RoleUsed(Struct):
    """Assets and bytes of a role, the trash not counted."""

    role: str
    assets: int
    bytes: int


class VolumeSpace(Struct):
    """Below `min_free_bytes` nothing more is taken in: then `accepting` is false."""

    total_bytes: int
    free_bytes: int
    min_free_bytes: int
    accepting: bool


class SystemUsed(Struct, kw_only=True):
    """The whole installation.

    `free_page_bytes` are in the file and hold nothing: they are used again, or cut off.
    `reclaimable_bytes` is what emptying every trash gives back.
    """

    users: list[UserUsed]
    database_bytes: int
    free_page_bytes: int
    stored_bytes: int
    dedup_saved_bytes: int
    reclaimable_bytes: int


class Usage(Struct):
    """The caller's part; `system` only for an admin."""

    user: UserUsed
    by_project: list[ProjectUsed]
    by_role: list[RoleUsed]
    volume: VolumeSpace
    system: SystemUsed | None


@get("/usage", guards=[needs("read")], summary="What fills the volume")
async def show_usage(
    services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> Usage:
    """By project and role; what the volume has left; for an admin by user, and of the file."""

    def find(conn: Connection) -> Usage:
        row = users.get(conn, principal.user_id)
        assert row is not None
        me = usage.of_user(conn, principal.user_id)
        return Usage(
            _user(row, me),
            [
                ProjectUsed(project_id=one.id, name=one.name, **_sums(one))
                for one in usage.by_project(conn, principal.user_id)
            ],
            [
                RoleUsed(one.role, one.assets, one.bytes)
                for one in usage.by_role(conn, principal.user_id)
            ],
            _volume(services),
            None,
        )

    shown = await services.database.read(find)
    if principal.is_admin:
        shown.system = await _system(services)
    return shown


async def _system(services: Services) -> SystemUsed:
    def find(conn: Connection) -> tuple[list[UserUsed], usage.Store, Layout]:
        everybody = [_user(row, row) for row in usage.by_user(conn)]
        return everybody, usage.of_store(conn), layout(conn)

    everybody, store, file = await services.database.read(find)
    return SystemUsed(
        users=everybody,
        database_bytes=file.file_bytes,
        free_page_bytes=file.free_bytes,
        stored_bytes=store.blob_bytes,
        dedup_saved_bytes=store.dedup_saved,
        reclaimable_bytes=store.reclaimable,
    )


def _volume(services: Services) -> VolumeSpace:
    space = services.volume.space()
    return VolumeSpace(
        space.total, space.free, services.volume.min_free, services.volume.has_room()
    )


def _user(row: Any, held: Any) -> UserUsed:
    return UserUsed(
        user_id=row.id,
        name=row.name,
        uploads=int(held.uploads),
        upload_bytes=int(held.upload_bytes),
        max_assets=row.max_assets,
        max_bytes=row.max_bytes,
        **_sums(held),
    )


def _sums(row: Any) -> dict[str, int]:
    return {name: int(getattr(row, name)) for name in Used.__struct_fields__}


router = Router("/api/v3", route_handlers=[show_usage], tags=["library"])
