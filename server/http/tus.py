"""Resumable uploads: the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload).

Section names in docstrings are the protocol's. Extensions: creation, creation-with-upload,
termination, expiration, checksum. What the bytes are is seen from the bytes, never believed.
"""

from datetime import datetime
from email.utils import format_datetime
from typing import Any

from litestar import Request, Response, Router, delete, get, head, patch, post, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import projects, records, uploads
from server.catalog.keys import Principal
from server.errors import BadRequest, NotFound, ReelbaseError, TooLarge
from server.http.auth import needs, owns
from server.http.context import Services
from server.http.documentation import TakesPiece
from server.http.present import List
from server.http.problems import documented
from server.http.reach import Limit
from server.http.tus_protocol import (
    ASSET,
    PATH,
    VERSION,
    Length,
    Metadata,
    Offset,
    Sum,
    Version,
    parse_checksum,
    parse_metadata,
    parse_number,
    speaks_tus,
)
from server.http.uploads import body
from server.library.uploads import ALGORITHMS

EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
BYTES = "application/offset+octet-stream"


class UnsupportedMediaType(ReelbaseError):
    """Bytes of an upload come as nothing but bytes."""

    status = 415
    code = "unsupported_media_type"


class Upload(Struct, kw_only=True):
    """A file that comes in pieces: `offset` bytes of `length` are here. `url` takes the rest.

    `asset_id` is what it has become once all of it is here.
    """

    id: str
    url: str
    filename: str
    offset: int
    length: int
    project_id: str | None
    scene_id: str | None
    asset_id: str | None
    created_at: datetime
    expires_at: datetime


def own_upload(conn: Connection, principal: Principal, upload_id: str) -> records.Upload:
    """An upload's row if the principal may manage it; else NotFound."""
    row = uploads.get(conn, upload_id)
    if row is None or not owns(principal, row.user_id):
        raise NotFound("There is no such upload.")
    return row


@route(
    ["/", "/{upload_id:str}"],
    http_method="OPTIONS",
    status_code=204,
    sync_to_thread=False,
    summary="What the server can do",
)
def options(services: NamedDependency[Services]) -> Response[None]:
    """Section "OPTIONS". Needs no key."""
    return Response(
        None,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(services.max_upload_bytes),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


@post(
    "/",
    status_code=201,
    guards=[needs("write"), speaks_tus],
    request_max_body_size=None,
    operation_class=TakesPiece,
    responses=documented(400, 412, 413, 415, 422, 460, 507),
    summary="Begin a resumable upload",
)
async def create(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    tus_resumable: Version = None,
    upload_length: Length = None,
    upload_metadata: Metadata = None,
    upload_checksum: Sum = None,
) -> Response[None]:
    """Sections "Creation" and "Creation With Upload". `Location` takes the bytes."""
    for name in ("Upload-Defer-Length", "Upload-Concat"):
        if name.lower() in request.headers:
            raise BadRequest(
                f"{name} is not supported here: say how long the file is (Upload-Length), and "
                "send it as one upload.",
                code="tus_unsupported",
            )
    length = parse_number("Upload-Length", upload_length)
    if length > services.max_upload_bytes:
        raise TooLarge(f"A file may have at most {services.max_upload_bytes} bytes here.")
    told = parse_metadata(upload_metadata)
    checksum = parse_checksum(upload_checksum)
    brings = (
        request.content_type[0] == BYTES
        or bool(request.content_length)
        or "transfer-encoding" in request.headers
    )
    if brings:
        _check_body(request, length)
    project, scene = await services.database.read(
        projects.place,
        principal.user_id,
        told.get("project_id") or None,
        told.get("scene_id") or None,
    )
    row = await services.uploads.begin(
        user_id=principal.user_id,
        project_id=project,
        scene_id=scene,
        filename=told.get("filename") or told.get("name") or "upload",
        metadata=upload_metadata or "",
        length=length,
        stream=body(request) if brings else None,
        checksum=checksum,
    )
    headers = {"Location": f"{PATH}/{row.id}", **_headers(row)}
    return _answer(services, row, headers)


@get(
    "/",
    guards=[needs("read", "write")],
    summary="List unfinished uploads",
)
async def list_uploads(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> List[Upload]:
    """The caller's uploads that can be gone on with, newest first."""
    page = await services.database.read(
        uploads.list_unfinished,
        user_id=principal.user_id,
        now=services.clock.now(),
        cursor=cursor,
        limit=limit,
    )
    return List([_shown(row) for row in page.rows], page.next_cursor)


@get(
    "/{upload_id:str}",
    guards=[needs("read", "write")],
    responses=documented(404),
    summary="An upload",
)
async def show(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    upload_id: FromPath[str],
) -> Response[Upload]:
    """How far it is and what it has become, for a day. Unlike HEAD it disturbs nobody's PATCH."""
    row = await services.database.read(own_upload, principal, upload_id)
    return Response(_shown(row), headers={"Cache-Control": "no-store"})


@head(
    "/{upload_id:str}",
    guards=[needs("write"), speaks_tus],
    responses=documented(404, 410, 412, 423),
    summary="How far an upload is",
)
async def resume(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    upload_id: FromPath[str],
    tus_resumable: Version = None,
) -> Response[None]:
    """Section "HEAD". A former connection from which nothing comes any more is ended first."""
    await services.database.read(own_upload, principal, upload_id)
    row = await services.uploads.claim(upload_id)
    headers = {"Upload-Length": str(row.length), **_headers(row)}
    if row.metadata:
        headers["Upload-Metadata"] = row.metadata
    return _answer(services, row, headers)


@patch(
    "/{upload_id:str}",
    status_code=204,
    guards=[needs("write"), speaks_tus],
    request_max_body_size=None,
    operation_class=TakesPiece,
    responses=documented(400, 404, 408, 409, 410, 412, 413, 415, 423, 460, 507),
    summary="Send bytes of an upload",
)
async def append(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    upload_id: FromPath[str],
    tus_resumable: Version = None,
    upload_offset: Offset = None,
    upload_checksum: Sum = None,
) -> Response[None]:
    """Sections "PATCH" and "Checksum". With the last byte it is an asset: `Reelbase-Asset-Id`."""
    row = await services.database.read(own_upload, principal, upload_id)
    offset = parse_number("Upload-Offset", upload_offset)
    checksum = parse_checksum(upload_checksum)
    _check_body(request, row.length - offset)
    row = await services.uploads.append(upload_id, offset, body(request), checksum)
    return _answer(services, row, _headers(row))


@delete(
    "/{upload_id:str}",
    status_code=204,
    guards=[needs("write"), speaks_tus],
    responses=documented(404, 412),
    summary="End an upload",
)
async def terminate(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    upload_id: FromPath[str],
    tus_resumable: Version = None,
) -> None:
    """Section "Termination". Its bytes are given back; an asset that it has become stays."""
    await services.database.read(own_upload, principal, upload_id)
    await services.uploads.end(upload_id)
    services.wake(None)


def _check_body(request: Request[Any, Any, State], left: int) -> None:
    """Refuse at once what cannot be the rest of an upload, of which `left` bytes are wanted."""
    if request.content_type[0] != BYTES:
        raise UnsupportedMediaType(f"The bytes of an upload come with Content-Type: {BYTES}.")
    if (request.content_length or 0) > max(left, 0):
        raise TooLarge(f"No more than {max(left, 0)} bytes of this upload are left to be sent.")


def _headers(row: records.Upload) -> dict[str, str]:
    """What every answer tells of an upload (sections "Upload-Offset" and "Expiration")."""
    headers = {"Upload-Offset": str(row.offset), "Cache-Control": "no-store"}
    if row.asset_id is None:
        headers["Upload-Expires"] = format_datetime(row.expires_at, usegmt=True)
    else:
        headers[ASSET] = row.asset_id
    return headers


def _answer(services: Services, row: records.Upload, headers: dict[str, str]) -> Response[None]:
    if row.asset_id is not None:
        services.wake(None)  # there may be a poster to be made
    return Response(None, headers=headers)


def _shown(row: records.Upload) -> Upload:
    return Upload(
        id=row.id,
        url=f"{PATH}/{row.id}",
        filename=row.filename,
        offset=row.offset,
        length=row.length,
        project_id=row.project_id,
        scene_id=row.scene_id,
        asset_id=row.asset_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


router = Router(
    PATH,
    route_handlers=[options, create, list_uploads, show, resume, append, terminate],
    tags=["uploads"],
)
