"""For operators and their machines: alive, ready, metrics."""

from typing import Any

from litestar import Request, Response, Router, get, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from msgspec import Struct

from server.catalog import jobs
from server.errors import NotFound, Unavailable
from server.http.context import Services
from server.http.problems import documented


class Alive(Struct):
    """The process answers."""

    status: str = "ok"


class Ready(Struct):
    """It can serve; `accepting` says whether it takes new bytes and jobs, else why not."""

    status: str
    accepting: bool
    reason: str | None
    providers: list[str]
    default_provider: str
    free_bytes: int


@route("/healthz", http_method=["GET", "HEAD"], summary="Alive")
async def healthz() -> Alive:
    """200 as long as the process answers."""
    return Alive()


@route("/readyz", http_method=["GET", "HEAD"], summary="Ready to serve", responses=documented(503))
async def readyz(services: NamedDependency[Services]) -> Ready:
    """200 while it can serve, also when the volume is nearly full; 503 only when it cannot."""
    try:
        await services.database.read(jobs.to_cancel, 1)
    except Exception as error:
        raise Unavailable("The database cannot be read.", code="database_unavailable") from error
    if down := services.supervisor.down:
        raise Unavailable(
            f"What runs in the background has ended and is being started again: "
            f"{', '.join(sorted(down))}. The log says why.",
            code="task_down",
        )
    accepting = services.volume.has_room()
    return Ready(
        "ok",
        accepting,
        None if accepting else "The volume is nearly full: empty the trash or extend it.",
        sorted(services.providers),
        services.default_provider,
        services.volume.space().free,
    )


@get("/metrics", summary="Prometheus metrics", include_in_schema=False)
async def metrics(
    request: Request[Any, Any, State], services: NamedDependency[Services]
) -> Response[bytes]:
    """For a scraper beside us; through the public proxy only for an admin."""
    principal = request.user
    proxied = services.client_ip_header and services.client_ip_header in request.headers
    if proxied and not (principal and principal.is_admin):
        raise NotFound("There is no such page.")
    shown = services.metrics
    shown.jobs.clear()
    for (kind, status), count in (await services.database.read(jobs.count_by_state)).items():
        shown.jobs.labels(kind, status).set(count)
    space = services.volume.space()
    shown.volume_total.set(space.total)
    shown.volume_free.set(space.free)
    for task, count in services.supervisor.restarts.items():
        shown.restarts.labels(task).set(count)
    for gauge, path in (
        (shown.database, services.database.path),
        (shown.wal, services.database.path.with_name(services.database.path.name + "-wal")),
    ):
        gauge.set(path.stat().st_size if path.exists() else 0)
    return Response(shown.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


router = Router("/", route_handlers=[healthz, readyz, metrics], tags=["system"])
