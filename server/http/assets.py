"""Assets: upload, list, show, change, and their bytes. Deleting them: `trash.py`."""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Request, Response, Router, get, patch, post, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection

from server.catalog import assets, names, outputs, projects, records
from server.catalog.keys import Principal
from server.errors import Conflict
from server.http.admission import who_asks
from server.http.auth import needs
from server.http.bytes import serve, serve_trashed
from server.http.context import Services
from server.http.documentation import TakesFile
from server.http.present import Asset, List, Presenter
from server.http.problems import documented
from server.http.reach import Limit, about_owner, check_expiry, own_row, whose
from server.http.trash import (
    delete_asset,
    delete_several,
    move_several,
    restore_asset,
    restore_several,
)
from server.http.uploads import Upload
from server.library import intake, lifecycle, usage

Role = Literal["upload", "clip", "combined", "download", "poster"]
Kind = Literal["video", "audio", "image", "other"]
StorageState = Literal["pending", "stored", "url_only", "unsaved", "expired", "failed"]
Visibility = Literal["private", "public"]
# Ids that a list may be asked for at once.
LONGEST = 200
# SQLite looks for no more than 50,000 bytes.
LONGEST_SEARCH = 200


class AssetChange(Struct, forbid_unknown_fields=True):
    """What may be changed of an asset; what is left out stays."""

    filename: Annotated[str, Meta(min_length=1, max_length=400)] | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    project_id: str | UnsetType = UNSET
    scene_id: Annotated[str | None, Meta(description="null: out of its scene.")] | UnsetType = UNSET
    expires_at: (
        Annotated[datetime | None, Meta(description="When it is to be deleted; null: never.")]
        | UnsetType
    ) = UNSET


class Assets(List[Asset]):
    """A page of assets; how many match the filters (`matching`), of how many there are (`all`)."""

    matching: int = 0
    all: int = 0


@post(
    "/",
    guards=[needs("write")],
    request_max_body_size=None,
    operation_class=TakesFile,
    responses=documented(400, 413, 422, 507),
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
    expires_at: FromQuery[datetime | None] = None,
) -> Response[Asset]:
    """Take a file in. With `expires_at` it is deleted then."""
    services.volume.check(request.content_length or 0)
    check_expiry(expires_at, services.clock.now())
    sent = Upload(request, limit=services.max_upload_bytes)
    # Of a form only the file counts: what comes is counted as it comes.
    length = 1 if sent.is_form else request.content_length or 1
    await services.database.read(usage.check_quota, principal.user_id, size=length)
    room = await services.database.read(usage.room, principal.user_id)

    def keep(conn: Connection, incoming: intake.Incoming) -> records.Asset:
        check_expiry(sent.expires_at, services.clock.now())
        usage.check_quota(conn, principal.user_id, size=incoming.sealed.size)
        project, scene = projects.place(
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
            now=services.clock.now(),
            expires_at=sent.expires_at,
        )
        return own_row(conn, principal, asset_id)

    async with intake.receive(services.blobs, usage.within(room, sent.pieces())) as incoming:
        row = await services.database.about(principal.user_id).write(keep, incoming)
    services.wake(None)
    shown = Presenter(request, services).asset(row)
    return Response(shown, headers={"Location": f"/api/v3/assets/{row.id}"})


@get("/", guards=[needs("read")], responses=documented(404), summary="List assets")
async def list_assets(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    project_id: FromQuery[str | None] = None,
    scene_id: FromQuery[str | None] = None,
    role: FromQuery[Role | None] = None,
    kind: FromQuery[Kind | None] = None,
    storage_state: FromQuery[StorageState | None] = None,
    visibility: FromQuery[Visibility | None] = None,
    job_id: FromQuery[str | None] = None,
    ids: Annotated[
        str | None, QueryParameter(description="Only these, with commas between them.")
    ] = None,
    q: Annotated[
        str | None,
        QueryParameter(max_length=LONGEST_SEARCH, description="In the name or the prompt."),
    ] = None,
    trashed: FromQuery[bool] = False,
    user_id: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> Assets:
    """The caller's assets (an admin's choice by `user_id`), newest first; or those in the trash.

    Posters are listed only with `role=poster`.
    """
    filters = {
        "project_id": project_id,
        "scene_id": scene_id,
        "role": role,
        "kind": kind,
        "storage_state": storage_state,
        "visibility": visibility,
        "job_id": job_id,
    }

    def find(conn: Connection) -> assets.Listed:
        return assets.list_assets(
            conn,
            user_id=whose(conn, principal, user_id, trashed=trashed),
            filters={name: value for name, value in filters.items() if value is not None},
            ids=None if ids is None else ids.split(",")[:LONGEST],
            q=q,
            trashed=trashed,
            cursor=cursor,
            limit=limit,
        )

    listed = await (services.searches if q else services.database).read(find)
    presenter = Presenter(request, services)
    shown = [presenter.asset(row) for row in listed.page.rows]
    return Assets(shown, listed.page.next_cursor, listed.matching, listed.everything)


@get("/{asset_id:str}", guards=[needs("read")], responses=documented(404), summary="An asset")
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
    responses=documented(404),
    summary="Rename or move an asset, or change who may see it",
)
async def change(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
    data: JSONBody[AssetChange],
) -> Asset:
    """Change an asset. The extension that goes with the bytes is kept; so is the old key's use."""
    now = services.clock.now()
    if isinstance(data.expires_at, datetime):
        check_expiry(data.expires_at, now)

    def apply(conn: Connection) -> records.Asset:
        row = own_row(conn, principal, asset_id)
        filename = row.filename
        if isinstance(data.filename, str):
            extension = intake.extension(row.content_type)
            filename = names.safe_filename(data.filename, extension=extension)
        project_id, scene_id = row.project_id, row.scene_id
        if isinstance(data.project_id, str) and data.project_id != project_id:
            project_id, scene_id = data.project_id, None
        if not isinstance(data.scene_id, UnsetType):
            scene_id = data.scene_id
        projects.place(conn, row.user_id, project_id, scene_id)
        changes: records.AssetChanges = {}
        if isinstance(data.visibility, str):
            changes["visibility"] = data.visibility
        if not isinstance(data.expires_at, UnsetType):
            changes["expires_at"] = data.expires_at
        assets.move(
            conn,
            row,
            project_id=project_id,
            scene_id=scene_id,
            filename=filename,
            now=now,
            changes=changes,
        )
        return own_row(conn, principal, row.id)

    database = await about_owner(services.database, own_row, principal, asset_id)
    row = await database.write(apply)
    return Presenter(request, services).asset(row)


@post(
    "/{asset_id:str}/save",
    status_code=202,
    guards=[needs("write")],
    responses=documented(404, 409, 507),
    summary="Try again to store a generated asset",
)
async def save(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    asset_id: FromPath[str],
) -> Asset:
    """For one that is `url_only`, `unsaved` or `expired`; nothing is generated again.

    Without a source that could be asked for the bytes it is 409 `not_savable`.
    """
    services.volume.check()

    def apply(conn: Connection) -> records.Asset:
        row = own_row(conn, principal, asset_id)
        if row.storage_state in ("pending", "failed"):
            raise Conflict(
                f"The asset is {row.storage_state}: there is nothing to be saved again.",
                code="not_savable",
            )
        if row.storage_state != "stored":
            _check_source(conn, row)
            lifecycle.request_save(conn, row, services.clock.now())
        return own_row(conn, principal, row.id)

    database = await about_owner(services.database, own_row, principal, asset_id)
    row = await database.write(apply)
    services.wake(None)
    return Presenter(request, services).asset(row)


def _check_source(conn: Connection, row: records.Asset) -> None:
    """Raise Conflict (`not_savable`) when there is nowhere to have an asset's bytes from."""
    if row.role == "download":
        # What is at its URL may be a page: only a download finds the file behind that.
        raise Conflict(
            "A download is not saved again. Have its URL fetched anew: POST /api/v3/media/store.",
            code="not_savable",
        )
    # The provider may name a new URL for a prediction.
    if not row.source_url and outputs.origin(conn, row.id) is None:
        raise Conflict(
            "The bytes of this asset are gone, and there is nowhere to fetch them from.",
            code="not_savable",
        )


@route(
    "/{asset_id:str}/data",
    http_method=["GET", "HEAD"],
    opt={"token_auth": True},
    summary="The bytes of an asset",
)
async def data(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    asset_id: FromPath[str],
    token: FromQuery[str | None] = None,
    download: FromQuery[str | None] = None,
    trashed: FromQuery[bool] = False,
) -> Response[None]:
    """The bytes, by range if asked. A `token` decides alone; else a key or session is needed.

    With `trashed`, its owner sees what is in the trash, too.
    """
    if trashed and token is None:
        who = who_asks(request, services)
        found = await services.database.read(assets.named, asset_id, who, trashed=True)
        return await serve_trashed(request, services, found)
    if await services.gate.served(asset_id) is not None:
        return await serve(request, services, asset_id, fixed=True)
    # An id of a former installation, perhaps: those can come to mean something else.
    who = who_asks(request, services)
    asset_id = await services.database.read(assets.named, asset_id, who)
    return await serve(request, services, asset_id, fixed=False)


router = Router(
    "/api/v3/assets",
    route_handlers=[
        upload,
        list_assets,
        show,
        change,
        save,
        data,
        delete_asset,
        delete_several,
        restore_asset,
        restore_several,
        move_several,
    ],
    tags=["assets"],
)
