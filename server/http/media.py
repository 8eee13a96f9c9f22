"""Ingest: have the video, sound or image behind a URL fetched and kept."""

from typing import Annotated, Any

from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct
from sqlalchemy import Connection

from server.catalog import jobs, projects, records
from server.catalog.keys import Principal
from server.egress import BlockedAddress, HostNotFound, UnsupportedURL
from server.errors import Invalid
from server.http.auth import needs
from server.http.context import Services
from server.http.problems import documented
from server.library import downloads, usage

# Not `str | None` within: the framework refuses limits on a union.
Reference = Annotated[
    str, Meta(max_length=200, description="Your own id for it: jobs and assets show it.")
]
OldReference = Annotated[str, Meta(max_length=200, description="An older name of `reference`.")]


class StoreRequest(Struct, forbid_unknown_fields=True):
    """What to fetch, and where to keep it."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="A page with a video, or a file; http or https, at a public address.",
            examples=["https://example.org/watch?v=1"],
        ),
    ]
    project_id: str | None = None
    scene_id: str | None = None
    filename: Annotated[str, Meta(min_length=1, max_length=400)] | None = None
    reference: Reference | None = None
    mongo_db_id: OldReference | None = None


class StoreLinks(Struct):
    """Where to go on."""

    job: str
    asset: str
    cancel: str
    retry: str


class Store(Struct):
    """A download that is under way. `task_id` is the id of its job."""

    task_id: str
    asset_id: str
    status: str
    source_url: str
    reference: str | None
    links: StoreLinks


@post(
    ["/store"],
    status_code=202,
    guards=[needs("write")],
    responses=documented(507),
    summary="Store what a URL shows",
    description=(
        "Answers at once; the job tells how it goes on. The same URL for the same place, while "
        "it is under way, answers with the same task. Errors of the job are codes: see "
        "docs/ingest.md."
    ),
)
async def store(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[StoreRequest],
) -> Response[Store]:
    """Queue a download."""
    services.volume.check()
    reference = _reference(data)
    try:
        url = (await services.guard.check(data.url)).url
    except (BlockedAddress, HostNotFound, UnsupportedURL) as error:
        error.fields = [{"field": "url", "message": error.detail}]
        raise

    def apply(conn: Connection) -> tuple[downloads.Ordered, records.Job | None]:
        usage.check_quota(conn, principal.user_id)
        project, scene = projects.place(conn, principal.user_id, data.project_id, data.scene_id)
        ordered = downloads.order(
            conn,
            user_id=principal.user_id,
            project_id=project,
            scene_id=scene,
            url=url,
            filename=data.filename,
            reference=reference,
            now=services.clock.now(),
        )
        return ordered, jobs.get(conn, ordered.job_id)

    ordered, job = await services.database.about(principal.user_id).write(apply)
    assert job is not None
    services.wake(None)
    base = f"{services.base_url(request)}/api/v3"
    links = StoreLinks(
        job=f"{base}/jobs/{ordered.job_id}",
        asset=f"{base}/assets/{ordered.asset_id}",
        cancel=f"{base}/jobs/{ordered.job_id}/cancel",
        retry=f"{base}/jobs/{ordered.job_id}/retry",
    )
    shown = Store(ordered.job_id, ordered.asset_id, job.status, url, job.reference, links)
    return Response(shown, status_code=202, headers={"Location": f"/api/v3/jobs/{ordered.job_id}"})


def _reference(data: StoreRequest) -> str | None:
    """The caller's own id, by either of its names."""
    if data.reference and data.mongo_db_id and data.reference != data.mongo_db_id:
        words = "is another name of reference: they cannot differ"
        raise Invalid(f"mongo_db_id {words}.", fields=[{"field": "mongo_db_id", "message": words}])
    return data.reference or data.mongo_db_id


routers = [
    Router(f"/api/{version}/media", route_handlers=[store], tags=["ingest"])
    for version in ("v3", "v1")
]
