"""All routes, and what wraps them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp

from server.catalog.keys import Principal
from server.http import (
    assets,
    body,
    compression,
    configuration,
    events,
    identity,
    jobs,
    keys,
    page,
    problems,
    projects,
    scenes,
    spending,
    system,
    tokens,
    trash,
    tus,
    tus_protocol,
    usage,
    users,
    videos,
    webhooks,
)
from server.http.auth import Authentication, principal_of
from server.http.bounded import Bounded
from server.http.context import Services
from server.http.documentation import Documentation
from server.http.media import routers as media_routers
from server.http.observe import Observe
from server.http.vary import VaryByOrigin

# What is open while the application runs.
Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def build(
    services: Services, lifespan: Lifespan, *, media_hosts: str, cors_origins: str
) -> tuple[Litestar, ASGIApp]:
    """The application, which enters `lifespan`, and what is to be served: the same, wrapped.

    `media_hosts` may show media on the page, `cors_origins` may use the API from scripts.
    """

    def provide_services() -> Services:
        return services

    def provide_principal(request: Request[object, object, State]) -> Principal:
        return principal_of(request)

    application = Litestar(
        route_handlers=[
            assets.router,
            tus.router,
            trash.router,
            projects.router,
            scenes.router,
            usage.router,
            tokens.router,
            jobs.router,
            events.router,
            *media_routers,
            webhooks.router,
            spending.router,
            videos.videos,
            *videos.storage,
            identity.router,
            keys.router,
            users.router,
            system.router,
            page.router(media_hosts),
        ],
        middleware=[
            Bounded(),
            DefineMiddleware(Authentication, services=services),
        ],
        dependencies={
            "services": Provide(provide_services, sync_to_thread=False),
            "principal": Provide(provide_principal, sync_to_thread=False),
        },
        plugins=[Documentation()],
        exception_handlers=problems.HANDLERS,
        cors_config=configuration.cors(cors_origins),
        compression_config=compression.JSON,
        openapi_config=configuration.openapi(),
        lifespan=[lifespan],
        request_class=body.JsonRequest,
        request_max_body_size=body.USUAL,
        logging_config=None,
        debug=False,
    )
    observed: ASGIApp = Observe(application, services.metrics, services.clock)
    if application.cors_config is not None:
        observed = VaryByOrigin(observed)
    return application, tus_protocol.Protocol(observed)
