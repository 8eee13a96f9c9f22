"""Jobs: ask for videos, follow them, cancel, try again."""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from msgspec import Struct
from sqlalchemy import Connection

from server.catalog import aliases, assets, deliveries, jobs, records
from server.catalog.keys import Principal
from server.errors import Conflict, NotFound
from server.http.auth import asker, check_scope, needs, owns
from server.http.body import STORYBOARD
from server.http.context import Services
from server.http.events import wait_for_end
from server.http.job_requests import JobRequest, generation
from server.http.present import Job, List, Presenter, load_jobs
from server.http.problems import documented
from server.http.reach import Limit, about_owner, whose
from server.library import orders, retries

Status = Literal["queued", "processing", "storing", "completed", "failed", "canceled"]


def own_job(conn: Connection, principal: Principal, job_id: str) -> records.Job:
    """A job's row if the principal may manage it; else NotFound."""
    row = jobs.in_sight(conn, job_id)
    if row is None:
        # The old id of a video that came from a former installation, perhaps.
        asset_id = aliases.find(conn, aliases.VIDEO, job_id, asker(principal))
        made = assets.get(conn, asset_id) if asset_id else None
        row = jobs.in_sight(conn, made.job_id) if made is not None and made.job_id else None
    if row is None or not owns(principal, row.user_id):
        raise NotFound("There is no such job.")
    return row


def _to_act_on(conn: Connection, principal: Principal, job_id: str) -> records.Job:
    """A job's row for a principal who may have had it begun, by the scope of its kind."""
    row = own_job(conn, principal, job_id)
    check_scope(principal, "write" if row.kind == "download" else "generate")
    return row


IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key with the same body answers with the first job.",
        max_length=255,
    ),
]


@post(
    "/",
    status_code=202,
    guards=[needs("generate")],
    request_max_body_size=STORYBOARD,
    responses=documented(409, 429, 507),
    summary="Generate a video",
)
async def create(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    data: JSONBody[JobRequest],
    idempotency_key: IdempotencyKey = None,
) -> Response[Job]:
    """Queue a job; it starts at once."""
    # Before money is spent: what is generated has to go somewhere.
    services.volume.check()
    if data.webhook_url is not None:
        await services.guard.check(data.webhook_url)
    ordered = generation(services, data, idempotency_key)
    now = services.clock.now()
    database = services.database.about(principal.user_id)
    job_id = await database.write(orders.order, principal, ordered, services.limits, now)
    services.wake(None)
    job = await _shown(request, services, principal, job_id)
    return Response(job, status_code=202, headers={"Location": f"/api/v3/jobs/{job_id}"})


@get("/", guards=[needs("read")], responses=documented(404), summary="List jobs")
async def list_jobs(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    status: FromQuery[Status | None] = None,
    project_id: FromQuery[str | None] = None,
    active: FromQuery[bool | None] = None,
    dismissed: FromQuery[bool | None] = None,
    user_id: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> List[Job]:
    """The caller's jobs (an admin's choice by `user_id`), newest first.

    `active` is whether they have not ended, `dismissed` whether their owner wants to see no more
    of them.
    """
    filters = {"status": status, "project_id": project_id}
    following: str | None = None

    def find(conn: Connection) -> list[records.Job]:
        nonlocal following
        page = jobs.list_jobs(
            conn,
            user_id=whose(conn, principal, user_id),
            filters={name: value for name, value in filters.items() if value is not None},
            active=active,
            dismissed=dismissed,
            cursor=cursor,
            limit=limit,
        )
        following = page.next_cursor
        return list(page.rows)

    found = await services.database.read(load_jobs, find)
    presenter = Presenter(request, services)
    return List([presenter.job(*one) for one in found], following)


@get("/{job_id:str}", guards=[needs("read")], responses=documented(404), summary="A job")
async def show(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    job_id: FromPath[str],
    wait: Annotated[
        float, QueryParameter(ge=0, le=60, description="Seconds to wait for the job's end.")
    ] = 0,
) -> Job:
    """One job, with its clips and what it made so far."""
    if wait:
        await services.database.read(own_job, principal, job_id)
        await wait_for_end(services, job_id, wait)
    return await _shown(request, services, principal, job_id)


@post(
    "/{job_id:str}/cancel",
    status_code=202,
    guards=[needs("generate", "write")],
    responses=documented(404, 409),
    summary="Cancel a job",
)
async def cancel(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    job_id: FromPath[str],
) -> Job:
    """Stop what runs; what is stored already stays. Canceling twice is no error."""

    def apply(conn: Connection) -> None:
        row = _to_act_on(conn, principal, job_id)
        if row.status in ("completed", "failed"):
            raise Conflict("The job has ended already.", code="job_ended")
        jobs.change(conn, row.id, cancel_requested=True)

    database = await about_owner(services.database, own_job, principal, job_id)
    await database.write(apply)
    services.wake(job_id)
    return await _shown(request, services, principal, job_id)


@post(
    "/{job_id:str}/retry",
    status_code=202,
    guards=[needs("generate", "write")],
    responses=documented(404, 409, 429, 507),
    summary="Try again what failed",
)
async def retry(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    job_id: FromPath[str],
) -> Job:
    """Generate again only the clips that failed, then go on as before; or download again."""
    services.volume.check()

    def apply(conn: Connection) -> None:
        row = _to_act_on(conn, principal, job_id)
        retries.order(conn, row, services.limits, services.clock.now())

    database = await about_owner(services.database, own_job, principal, job_id)
    await database.write(apply)
    services.wake(job_id)
    return await _shown(request, services, principal, job_id)


@post(
    "/{job_id:str}/dismiss",
    status_code=200,
    guards=[needs("generate", "write")],
    responses=documented(404, 409),
    summary="See no more of a job",
)
async def dismiss(
    request: Request[Any, Any, State],
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    job_id: FromPath[str],
) -> Job:
    """Mark one that has ended as seen; nothing of it is deleted, and a retry shows it again."""

    def apply(conn: Connection) -> None:
        row = _to_act_on(conn, principal, job_id)
        if row.status not in jobs.ENDED:
            raise Conflict("The job has not ended yet: cancel it first.", code="job_active")
        jobs.change(conn, row.id, dismissed_at=row.dismissed_at or services.clock.now())

    database = await about_owner(services.database, own_job, principal, job_id)
    await database.write(apply)
    return await _shown(request, services, principal, job_id)


class Delivery(Struct, kw_only=True):
    """A message to the job's webhook: `next_at` is null once it is delivered or given up."""

    id: str
    event: str
    created_at: datetime
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    status: int | None
    error: str | None


@get(
    "/{job_id:str}/deliveries",
    guards=[needs("read")],
    responses=documented(404),
    summary="What was told to the job's webhook",
)
async def list_deliveries(
    services: NamedDependency[Services],
    principal: NamedDependency[Principal],
    job_id: FromPath[str],
) -> List[Delivery]:
    """Each message, oldest first, with how its delivery went."""

    def find(conn: Connection) -> list[records.Delivery]:
        return deliveries.of_job(conn, own_job(conn, principal, job_id).id)

    names = Delivery.__struct_fields__
    rows = await services.database.read(find)
    return List([Delivery(**{name: getattr(row, name) for name in names}) for row in rows])


async def _shown(
    request: Request[Any, Any, State], services: Services, principal: Principal, job_id: str
) -> Job:
    found = await services.database.read(load_jobs, lambda conn: [own_job(conn, principal, job_id)])
    return Presenter(request, services).job(*found[0])


router = Router(
    "/api/v3/jobs",
    route_handlers=[create, list_jobs, show, cancel, retry, dismiss, list_deliveries],
    tags=["jobs"],
)
