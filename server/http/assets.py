"""Assets: upload, list, show, change, delete, and their bytes."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, Router, delete, get, patch, post, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection, Row

from server.catalog import assets, names, users
from server.catalog.keys import Principal
from server.errors import Conflict, Invalid, NotFound
from server.http.auth import needs, owns
from server.http.bytes import serve
from server.http.context import Services
from server.http.present import Asset, List, Presenter
from server.http.problems import documented
from server.http.uploads import Upload
from server.library import intake

Role = Literal["upload", "clip", "combined", "download", "poster"]
Kind = Literal["video", "audio", "image", "other"]
StorageState = Literal["pending", "stored", "url_only", "unsaved", "expired", "failed"]
Visibility = Literal["private", "public"]
Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many at most.")]


class AssetChange(Struct, forbid_unknown_fields=True):
    """What may be changed of an asset; what is left out stays."""

    filename: Annotated[str, Meta(min_length=1, max_length=400)] | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET


class Deleted(Struct):
    """What went: an asset's poster counts too."""

    assets: int
    bytes: int


def own_row(conn: Connection, principal: Principal, asset_id: str) -> Row[Any]:
    """An asset's row if the principal may manage it; else NotFound."""
    row = assets.get(conn, asset_id)
    if row is None or not owns(principal, row.user_id):
        raise NotFound("There is no such asset.")
    return row


def place(
    conn: Connection, user_id: str, project_id: str | None, scene_id: str | None
) -> tuple[str, str | None]:
    """Where something new of a user's goes: (project, scene). Raises Invalid, by field."""
    if project_id is None:
        project_id = users.default_project(conn, user_id)
    elif users.own_project(conn, user_id, project_id) is None:
        raise Invalid(
            "There is no such project of yours.",
            fields=[{"field": "project_id", "message": "names no project of yours"}],
        )
    if scene_id is not None and not users.has_scene(conn, project_id, scene_id):
        raise Invalid(
            "There is no such scene in this project.",
            fields=[{"field": "scene_id", "message": "names no scene of this project"}],
        )
    return project_id, scene_id


@post(
    "/",
    guards=[needs("write")],
    request_max_body_size=None,
    responses=documented(401, 413, 422, 507),
    summary="Upload a file",
    description=(
        "The file as the raw body (`?filename=`), or as the field `file` of a multipart form. "
        "Answers 201 when every byte is committed. The content type is what the bytes are."
    ),
)
async def upload(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    filename: FromQuery[str | None] = None,
    project_id: FromQuery[str | None] = None,
    scene_id: FromQuery[str | None] = None,
) -> Response[Asset]:
    """Take a file in."""
    services.volume.check(request.content_length or 0)
    sent = Upload(request, limit=services.max_upload_bytes)

    def keep(conn: Connection, incoming: intake.Incoming) -> Row[Any]:
        project, scene = place(
            conn, principal.user_id, sent.fields.get("project_id"), sent.fields.get("scene_id")
        )
        asset_id = intake.take_in(
            conn,
            incoming,
            user_id=principal.user_id,
            project_id=project,
            scene_id=scene,
            role="upload",
            filename=sent.filename,
            now=services.clock(),
        )
        return own_row(conn, principal, asset_id)

    async with intake.receive(services.blobs, sent.pieces()) as incoming:
        row = await services.database.write(keep, incoming)
    services.wake(None)
    shown = Presenter(request, services).asset(row)
    return Response(shown, headers={"Location": f"/api/v3/assets/{row.id}"})


@get("/", guards=[needs("read")], responses=documented(401, 422), summary="List assets")
async def list_assets(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromQuery[str | None] = None,
    scene_id: FromQuery[str | None] = None,
    role: FromQuery[Role | None] = None,
    kind: FromQuery[Kind | None] = None,
    storage_state: FromQuery[StorageState | None] = None,
    q: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> List[Asset]:
    """The caller's assets, newest first. Posters are listed only with `role=poster`."""
    filters = {
        "project_id": project_id,
        "scene_id": scene_id,
        "role": role,
        "kind": kind,
        "storage_state": storage_state,
    }
    page = await services.database.read(
        assets.list_assets,
        user_id=principal.user_id,
        filters={name: value for name, value in filters.items() if value is not None},
        q=q,
        cursor=cursor,
        limit=limit,
    )
    presenter = Presenter(request, services)
    return List([presenter.asset(row) for row in page.rows], page.next_cursor)


@get("/{asset_id:str}", guards=[needs("read")], responses=documented(401, 404), summary="An asset")
async def show(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> Asset:
    """One asset."""
    row = await services.database.read(own_row, principal, asset_id)
    return Presenter(request, services).asset(row)


@patch(
    "/{asset_id:str}",
    guards=[needs("write")],
    responses=documented(401, 404, 422),
    summary="Rename an asset, or change who may see it",
)
async def change(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
    data: JSONBody[AssetChange],
) -> Asset:
    """Change an asset. The extension that goes with the bytes is kept."""

    def apply(conn: Connection) -> Row[Any]:
        row = own_row(conn, principal, asset_id)
        if isinstance(data.filename, str):
            extension = intake.extension(row.content_type)
            assets.rename(conn, row, names.safe_filename(data.filename, extension=extension))
        if isinstance(data.visibility, str):
            assets.change(conn, asset_id, visibility=data.visibility)
        return own_row(conn, principal, asset_id)

    return Presenter(request, services).asset(await services.database.write(apply))


@delete(
    "/{asset_id:str}",
    guards=[needs("write")],
    status_code=200,
    responses=documented(401, 404),
    summary="Delete an asset",
)
async def remove(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> Deleted:
    """Delete an asset and its poster; links to it stop at once."""

    def apply(conn: Connection) -> tuple[int, int]:
        own_row(conn, principal, asset_id)
        return assets.delete(conn, asset_id)

    count, size = await services.database.write(apply)
    services.wake(None)
    return Deleted(count, size)


@post(
    "/{asset_id:str}/save",
    status_code=202,
    guards=[needs("write")],
    responses=documented(401, 404, 409, 507),
    summary="Try again to store a generated asset",
)
async def save(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> Asset:
    """For one that is `url_only`, `unsaved` or `expired`; nothing is generated again."""
    services.volume.check()

    def apply(conn: Connection) -> Row[Any]:
        row = own_row(conn, principal, asset_id)
        if row.storage_state in ("pending", "failed"):
            raise Conflict(
                f"The asset is {row.storage_state}: there is nothing to be saved again.",
                code="not_savable",
            )
        if row.storage_state != "stored":
            state = "unsaved" if row.storage_state == "expired" else row.storage_state
            assets.change(
                conn,
                asset_id,
                storage_state=state,
                next_save_at=services.clock(),
                save_attempts=0,
            )
        return own_row(conn, principal, asset_id)

    row = await services.database.write(apply)
    services.wake(None)
    return Presenter(request, services).asset(row)


@route(
    "/{asset_id:str}/data",
    http_method=["GET", "HEAD"],
    opt={"token_auth": True},
    responses=documented(401, 404, 409, 410, 412, 416),
    summary="The bytes of an asset",
)
async def data(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    asset_id: FromPath[str],
    token: FromQuery[str | None] = None,
    download: FromQuery[str | None] = None,
) -> Response[None]:
    """The bytes, by range if asked. A `token` decides alone; else a key or session is needed."""
    return await serve(request, services, asset_id, fixed=True)


router = Router(
    "/api/v3/assets",
    route_handlers=[upload, list_assets, show, change, remove, save, data],
    tags=["assets"],
)
