"""Deleting, and bringing back: one asset, many, what a key names; emptying the trash."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from litestar import Request, Router, delete, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct
from sqlalchemy import Connection

from server.catalog import assets, projects
from server.catalog.keys import Principal
from server.http.auth import needs
from server.http.context import Services
from server.http.present import Asset, Presenter
from server.http.problems import documented
from server.http.reach import own_row
from server.library import removal

Permanent = Annotated[bool, QueryParameter(description="For good: past the trash, and out of it.")]
# Finds what is to go or to come, each id with the user whose it is; raises NotFound for what is
# not the asker's.
Own = Callable[[Connection], Mapping[str, str]]
Ids = Annotated[list[str], Meta(min_length=1, max_length=200)]


class Moved(Struct):
    """What went, came back or moved: assets, their posters too, and bytes."""

    assets: int
    bytes: int


class Several(Struct, forbid_unknown_fields=True):
    """Assets by their ids: all of them, or none if one is not there."""

    ids: Ids


class ToDelete(Several, forbid_unknown_fields=True):
    """Assets to be deleted."""

    permanent: bool = False


class ToMove(Several, forbid_unknown_fields=True):
    """Assets to be filed elsewhere."""

    project_id: str
    scene_id: str | None = None


async def remove(services: Services, noun: removal.Noun, own: Own, *, permanent: bool) -> Moved:
    """Delete what `own(conn)` finds, in one transaction; the jobs in it are told to stop."""
    keep = removal.FOREVER if permanent else services.trash

    def apply(conn: Connection) -> removal.Sum:
        return removal.remove(conn, noun, list(own(conn)), now=services.clock.now(), keep=keep)

    owners = set((await services.database.read(own)).values())
    gone = await services.database.about(*owners).write(apply)
    services.wake(None)
    for job_id in gone.canceled:
        services.wake(job_id)
    return Moved(gone.assets, gone.bytes)


async def restore(services: Services, noun: removal.Noun, own: Own) -> Moved:
    """Bring back what `own(conn)` finds."""

    def apply(conn: Connection) -> removal.Sum:
        return removal.restore(conn, noun, list(own(conn)), now=services.clock.now())

    owners = set((await services.database.read(own)).values())
    came = await services.database.about(*owners).write(apply)
    services.wake(None)
    return Moved(came.assets, came.bytes)


@delete(
    "/{asset_id:str}",
    guards=[needs("write")],
    status_code=200,
    responses=documented(404),
    summary="Delete an asset",
)
async def delete_asset(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
    permanent: Permanent = False,
) -> Moved:
    """Into the trash, with its poster; links to it stop at once."""
    own = _own(principal, [asset_id], trashed=permanent)
    return await remove(services, "asset", own, permanent=permanent)


@post(
    "/{asset_id:str}/restore",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Bring an asset back from the trash",
)
async def restore_asset(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> Asset:
    """It is where it was: its scene and its project come back with it."""
    await restore(services, "asset", _own(principal, [asset_id], trashed=True))
    row = await services.database.read(own_row, principal, asset_id)
    return Presenter(request, services).asset(row)


@post(
    "/delete",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404),
    summary="Delete several assets",
)
async def delete_several(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[ToDelete],
) -> Moved:
    """All of them or, if one is not there, none."""
    own = _own(principal, data.ids, trashed=data.permanent)
    return await remove(services, "asset", own, permanent=data.permanent)


@post(
    "/restore",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Bring several assets back from the trash",
)
async def restore_several(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[Several],
) -> Moved:
    """All of them or, if one is not there, none."""
    return await restore(services, "asset", _own(principal, data.ids, trashed=True))


@post(
    "/move",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404),
    summary="File several assets elsewhere",
)
async def move_several(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[ToMove],
) -> Moved:
    """All of them or, if one is not there, none. Their old keys go on meaning them."""
    own = _own(principal, data.ids, trashed=False)

    def apply(conn: Connection) -> Moved:
        found = [own_row(conn, principal, one) for one in data.ids]
        rows = {row.id: row for row in found}.values()
        for row in rows:
            project, scene = projects.place(conn, row.user_id, data.project_id, data.scene_id)
            assets.move(
                conn,
                row,
                project_id=project,
                scene_id=scene,
                filename=row.filename,
                now=services.clock.now(),
            )
        return Moved(len(rows), sum(row.size or 0 for row in rows))

    owners = set((await services.database.read(own)).values())
    return await services.database.about(*owners).write(apply)


@delete(
    "/trash",
    status_code=200,
    guards=[needs("write")],
    summary="Empty the trash",
)
async def empty(
    services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> Moved:
    """What the caller has in the trash is deleted for good."""

    def apply(conn: Connection) -> removal.Sum:
        return removal.empty(conn, principal.user_id, now=services.clock.now())

    gone = await services.database.about(principal.user_id).write(apply)
    services.wake(None)
    return Moved(gone.assets, gone.bytes)


@delete(
    "/drafts",
    status_code=200,
    guards=[needs("write")],
    summary="Delete what was never finished",
)
async def sweep_drafts(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    permanent: Permanent = False,
) -> Moved:
    """The clips of jobs that ended before they were combined, and what never got its bytes."""

    def own(conn: Connection) -> dict[str, str]:
        return dict.fromkeys(removal.of_drafts(conn, principal.user_id), principal.user_id)

    return await remove(services, "asset", own, permanent=permanent)


def _own(principal: Principal, ids: list[str], *, trashed: bool) -> Own:
    def own(conn: Connection) -> dict[str, str]:
        found = [own_row(conn, principal, one, trashed=trashed) for one in ids]
        return {row.id: row.user_id for row in found}

    return own


router = Router("/api/v3", route_handlers=[empty, sweep_drafts], tags=["assets"])
