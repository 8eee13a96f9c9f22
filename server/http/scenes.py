"""Scenes: the storyboards of projects."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection

from server.catalog import assets, projects, records
from server.catalog.keys import Principal
from server.errors import Invalid, NotFound
from server.http.auth import needs
from server.http.context import Services
from server.http.names import Name
from server.http.present import Asset, List, Presenter
from server.http.problems import documented
from server.http.projects import own_project
from server.http.reach import about_owner
from server.http.trash import Moved, Permanent, remove, restore

Status = Annotated[
    str, Meta(min_length=1, max_length=40, description="Any word of yours: draft, ready, …")
]
Position = Annotated[
    int, Meta(ge=0, le=1_000_000, description="From 0; the other scenes make room.")
]


class Scene(Struct, kw_only=True):
    """A scene: its place in the storyboard, what it shows and what it sounds like."""

    id: str
    project_id: str
    name: str
    position: int
    status: str
    media_asset_id: str | None
    audio_asset_id: str | None
    media: Asset | None
    audio: Asset | None
    assets: int
    bytes: int
    created_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None


class SceneChange(Struct, forbid_unknown_fields=True):
    """What may be changed of a scene; what is left out stays."""

    name: Name | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    media_asset_id: str | UnsetType | None = UNSET
    audio_asset_id: str | UnsetType | None = UNSET


class NewScene(Struct, forbid_unknown_fields=True):
    """A scene to be made; without a position at the end."""

    name: Name
    position: Position | UnsetType = UNSET
    status: Status = "draft"
    media_asset_id: str | None = None
    audio_asset_id: str | None = None


def own_scene(
    conn: Connection,
    principal: Principal,
    project_id: str,
    scene_id: str,
    *,
    trashed: bool = False,
) -> records.Scene:
    """A scene's row if the principal may manage its project; else NotFound."""
    own_project(conn, principal, project_id, trashed=trashed)
    row = projects.get_scene(conn, project_id, scene_id, trashed=trashed)
    if row is None:
        raise NotFound("There is no such scene.")
    return row


@post(
    "/",
    guards=[needs("write")],
    responses=documented(404),
    summary="Make a scene",
)
async def make_scene(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    data: JSONBody[NewScene],
) -> Response[Scene]:
    """A new scene, at the storyboard's end if no position is given."""

    def apply(conn: Connection) -> list[_Scene]:
        project = own_project(conn, principal, project_id)
        scene_id = projects.create_scene(
            conn, project_id, data.name, status=data.status, now=services.clock.now()
        )
        if isinstance(data.position, int):
            projects.place_scene(conn, project_id, scene_id, data.position)
        _set_assets(conn, project.user_id, scene_id, data)
        return _load(conn, [own_scene(conn, principal, project_id, scene_id)])

    database = await about_owner(services.database, own_project, principal, project_id)
    scene = _scenes(request, services, await database.write(apply))[0]
    place = f"/api/v3/projects/{project_id}/scenes/{scene.id}"
    return Response(scene, headers={"Location": place})


@get(
    "/",
    guards=[needs("read")],
    responses=documented(404),
    summary="The storyboard of a project",
)
async def list_scenes(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    trashed: FromQuery[bool] = False,
) -> List[Scene]:
    """Its scenes in their order; or those in the trash."""

    def find(conn: Connection) -> list[_Scene]:
        own_project(conn, principal, project_id, trashed=trashed)
        return _load(conn, projects.list_scenes(conn, project_id, trashed=trashed))

    return List(_scenes(request, services, await services.database.read(find)))


@get(
    "/{scene_id:str}",
    guards=[needs("read")],
    responses=documented(404),
    summary="A scene",
)
async def show_scene(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    scene_id: FromPath[str],
) -> Scene:
    """One scene, with the two assets that it is made of."""
    return await _shown(request, services, principal, project_id, scene_id)


@patch(
    "/{scene_id:str}",
    guards=[needs("write")],
    responses=documented(404),
    summary="Change or move a scene",
)
async def change_scene(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    scene_id: FromPath[str],
    data: JSONBody[SceneChange],
) -> Scene:
    """Its name, its place, its status, what it shows and sounds like."""

    def apply(conn: Connection) -> None:
        scene = own_scene(conn, principal, project_id, scene_id)
        if isinstance(data.position, int):
            projects.place_scene(conn, project_id, scene_id, data.position)
        _set_assets(conn, scene.user_id, scene_id, data)
        values = {name: getattr(data, name) for name in ("name", "status")}
        projects.change_scene(
            conn,
            scene_id,
            **{name: value for name, value in values.items() if value is not UNSET},
        )

    database = await about_owner(services.database, own_project, principal, project_id)
    await database.write(apply)
    return await _shown(request, services, principal, project_id, scene_id)


@delete(
    "/{scene_id:str}",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404),
    summary="Delete a scene",
)
async def delete_scene(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    scene_id: FromPath[str],
    permanent: Permanent = False,
) -> Moved:
    """With the assets that are filed in it; its running jobs are canceled."""

    def own(conn: Connection) -> dict[str, str]:
        row = own_scene(conn, principal, project_id, scene_id, trashed=permanent)
        return {row.id: row.user_id}

    return await remove(services, "scene", own, permanent=permanent)


@post(
    "/{scene_id:str}/restore",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404, 409),
    summary="Bring a scene back from the trash",
)
async def restore_scene(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromPath[str],
    scene_id: FromPath[str],
) -> Scene:
    """With the assets that went there with it."""

    def own(conn: Connection) -> dict[str, str]:
        row = own_scene(conn, principal, project_id, scene_id, trashed=True)
        return {row.id: row.user_id}

    await restore(services, "scene", own)
    return await _shown(request, services, principal, project_id, scene_id)


# A scene's row, its media's and its audio's.
_Scene = tuple[records.Scene, records.Asset | None, records.Asset | None]


def _load(conn: Connection, rows: list[records.Scene]) -> list[_Scene]:
    def find(asset_id: str | None) -> records.Asset | None:
        return None if asset_id is None else assets.get(conn, asset_id)

    return [(row, find(row.media_asset_id), find(row.audio_asset_id)) for row in rows]


def _set_assets(conn: Connection, owner: str, scene_id: str, data: NewScene | SceneChange) -> None:
    """What the scene shows and sounds like: assets of its owner's, also when an admin says which.

    Raises Invalid, by field.
    """
    for slot, kinds in ((projects.MEDIA, ("video", "image")), (projects.AUDIO, ("audio", "video"))):
        field = f"{slot}_asset_id"
        asset_id = getattr(data, field)
        if asset_id is UNSET:
            continue
        row = None if asset_id is None else assets.get(conn, asset_id)
        if asset_id is not None and (row is None or row.user_id != owner):
            message = "names no asset of the project's owner"
            raise Invalid(f"{field} {message}.", fields=[{"field": field, "message": message}])
        if row is not None and row.kind not in kinds:
            message = f"must be {' or '.join(kinds)}, not {row.kind}"
            raise Invalid(f"{field} {message}.", fields=[{"field": field, "message": message}])
        projects.set_scene_asset(conn, scene_id, slot, asset_id)


async def _shown(
    request: Request[Any, Any, State],
    services: Services,
    principal: Principal,
    project_id: str,
    scene_id: str,
) -> Scene:
    def find(conn: Connection) -> list[_Scene]:
        return _load(conn, [own_scene(conn, principal, project_id, scene_id)])

    return _scenes(request, services, await services.database.read(find))[0]


def _scenes(
    request: Request[Any, Any, State], services: Services, found: list[_Scene]
) -> list[Scene]:
    presenter = Presenter(request, services)
    names = [name for name in Scene.__struct_fields__ if name not in ("media", "audio")]
    return [
        Scene(
            media=None if media is None else presenter.asset(media),
            audio=None if audio is None else presenter.asset(audio),
            **{name: getattr(row, name) for name in names},
        )
        for row, media, audio in found
    ]


router = Router(
    "/api/v3/projects/{project_id:str}/scenes",
    route_handlers=[
        make_scene,
        list_scenes,
        show_scene,
        change_scene,
        delete_scene,
        restore_scene,
    ],
    tags=["library"],
)
