"""The two other ways to an asset's bytes: what a job made, and what a storage key names.

Both can come to mean other bytes, so caches ask each time (`private, no-cache`, with the ETag).
"""

from typing import Any
from urllib.parse import unquote

from litestar import Request, Response, Router, delete, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from sqlalchemy import Connection

from server.catalog import aliases, assets, jobs
from server.catalog.aliases import Asker
from server.catalog.keys import Principal
from server.errors import NotFound
from server.http.admission import who_asks
from server.http.auth import asker, needs
from server.http.bytes import serve
from server.http.context import Services
from server.http.present import main_output
from server.http.problems import documented
from server.http.reach import own_row
from server.http.trash import Moved, Permanent, remove


def _combined(conn: Connection, job_id: str, who: Asker) -> str | None:
    job = jobs.in_sight(conn, job_id)
    if job is None:
        return aliases.find(conn, aliases.VIDEO, job_id, who)
    output = main_output(jobs.clips_of(conn, [job_id]), assets.of_job(conn, [job_id]))
    return None if output is None else str(output.id)


def _clip(conn: Connection, job_id: str, filename: str, who: Asker) -> str | None:
    if jobs.in_sight(conn, job_id) is None:
        # The old id of a video that came from a former installation, perhaps.
        asset_id = aliases.find(conn, aliases.VIDEO, job_id, who)
        made = assets.get(conn, asset_id) if asset_id else None
        job_id = made.job_id if made is not None and made.job_id else job_id
    for clip in jobs.clips_of(conn, [job_id]):
        if clip.filename == filename:
            return str(clip.asset_id) if clip.asset_id else None
    return None


@route(
    "/{job_id:str}/combined",
    http_method=["GET", "HEAD"],
    opt={"token_auth": True},
    summary="The video that a job made",
)
async def combined(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    job_id: FromPath[str],
    token: FromQuery[str | None] = None,
    download: FromQuery[str | None] = None,
) -> Response[None]:
    """The combined video; for a job of one clip, that clip."""
    asset_id = await services.database.read(_combined, job_id, who_asks(request, services))
    return await serve(request, services, asset_id, fixed=False)


@route(
    "/{job_id:str}/clips/{clip_filename:str}",
    http_method=["GET", "HEAD"],
    opt={"token_auth": True},
    summary="One clip of a job",
)
async def clip(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    job_id: FromPath[str],
    clip_filename: FromPath[str],
    token: FromQuery[str | None] = None,
    download: FromQuery[str | None] = None,
) -> Response[None]:
    """A clip by its name in the job, as the job lists it."""
    who = who_asks(request, services)
    asset_id = await services.database.read(_clip, job_id, clip_filename, who)
    return await serve(request, services, asset_id, fixed=False)


def _storage_key(request: Request[Any, Any, State]) -> str:
    """The key as it was sent: plain, or percent-encoded as one segment.

    From the raw path: the framework's path parameter collapses `//` and keeps no difference
    between `%2F` and `/`.
    """
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return unquote(raw.decode("latin-1").partition("/storage/")[2])


@route(
    "/{key:path}",
    http_method=["GET", "HEAD"],
    opt={"token_auth": True},
    summary="The bytes under a storage key",
)
async def by_key(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    key: FromPath[str],
    token: FromQuery[str | None] = None,
    download: FromQuery[str | None] = None,
) -> Response[None]:
    """An asset by its storage key."""
    asset_id = await services.database.read(
        assets.id_of_key, _storage_key(request), who_asks(request, services)
    )
    return await serve(request, services, asset_id, fixed=False)


@delete(
    "/{key:path}",
    status_code=200,
    guards=[needs("write")],
    responses=documented(404),
    summary="Delete what is under a storage key",
)
async def remove_by_key(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    key: FromPath[str],
    permanent: Permanent = False,
) -> Moved:
    """Into the trash, with its poster; links to it stop at once."""

    def own(conn: Connection) -> dict[str, str]:
        asset_id = assets.id_of_key(
            conn, _storage_key(request), asker(principal), trashed=permanent
        )
        if asset_id is None:
            raise NotFound("There is no such asset.")
        row = own_row(conn, principal, asset_id, trashed=permanent)
        return {row.id: row.user_id}

    return await remove(services, "asset", own, permanent=permanent)


videos = Router("/api/v3/videos", route_handlers=[combined, clip], tags=["videos"])
storage = [
    Router(f"/api/{version}/storage", route_handlers=[by_key, remove_by_key], tags=["storage"])
    for version in ("v3", "v1")
]
