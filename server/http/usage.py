"""What fills the volume: one's own part of it, and for an admin the whole."""

from typing import Any

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import users
from server.catalog.keys import Principal
from server.db import layout
from server.http.auth import needs
from server.http.context import Services
from server.http.problems import documented
from server.http.reach import whose
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
    """The same of a project; `user_id` is whose it is."""

    project_id: str
    name: str
    user_id: str


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
    by_project: list[ProjectUsed]
    by_role: list[RoleUsed]
    database_bytes: int
    free_page_bytes: int
    stored_bytes: int
    dedup_saved_bytes: int
    reclaimable_bytes: int


class Usage(Struct):
    """The caller's part, or that of whom an admin asks for; `system` only for an admin."""

    user: UserUsed
    by_project: list[ProjectUsed]
    by_role: list[RoleUsed]
    volume: VolumeSpace
    system: SystemUsed | None


@get(
    "/usage",
    guards=[needs("read")],
    responses=documented(404),
    summary="What fills the volume",
)
async def show_usage(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    user_id: FromQuery[str | None] = None,
) -> Usage:
    """By project and role (an admin's choice by `user_id`), and what the volume has left.

    For an admin also the whole: by user, project and role, and of the file.
    """

    def find(conn: Connection) -> Usage:
        owner = whose(conn, principal, user_id)
        row = users.get(conn, owner)
        assert row is not None
        return Usage(
            _user(row, usage.of_user(conn, owner)),
            _projects(conn, owner),
            _roles(conn, owner),
            _volume(services),
            _system(conn) if principal.is_admin else None,
        )

    return await services.database.read(find)


def _system(conn: Connection) -> SystemUsed:
    store, file = usage.of_store(conn), layout(conn)
    return SystemUsed(
        users=[_user(row, row) for row in usage.by_user(conn)],
        by_project=_projects(conn),
        by_role=_roles(conn),
        database_bytes=file.file_bytes,
        free_page_bytes=file.free_bytes,
        stored_bytes=store.blob_bytes,
        dedup_saved_bytes=store.dedup_saved,
        reclaimable_bytes=store.reclaimable,
    )


def _projects(conn: Connection, user_id: str | None = None) -> list[ProjectUsed]:
    return [
        ProjectUsed(project_id=row.id, name=row.name, user_id=row.user_id, **_sums(row))
        for row in usage.by_project(conn, user_id)
    ]


def _roles(conn: Connection, user_id: str | None = None) -> list[RoleUsed]:
    return [RoleUsed(row.role, row.assets, row.bytes) for row in usage.by_role(conn, user_id)]


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
