"""The one place where the parts meet: settings become values, values become an application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import structlog
from litestar import Litestar, Request
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp

from server import __version__
from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.catalog import tokens as token_rows
from server.catalog.keys import Principal
from server.clock import Clock
from server.db import READ_SECONDS, READERS, Database
from server.egress import Guard, authority, parse_allowed
from server.errors import Invalid, ReelbaseError
from server.http import (
    assets,
    body,
    compression,
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
from server.http.access_log import AccessLog
from server.http.auth import COOKIE, Authentication, principal_of
from server.http.bounded import Bounded
from server.http.context import Services
from server.http.documentation import Documentation
from server.http.gate import Gate
from server.http.media import routers as media_routers
from server.http.metrics import Metrics
from server.http.observe import Observe
from server.http.pulse import Pulse
from server.http.schema import SchemaPage
from server.http.vary import VaryByOrigin
from server.ingest.ytdlp import YtDlp
from server.jobs.context import Downloads, Work
from server.jobs.loop import Loop
from server.library import collect
from server.library.backup import schedule
from server.library.orders import Limits
from server.library.uploads import Uploads
from server.media import Media, sniff
from server.providers.base import Provider
from server.providers.fal import Fal
from server.providers.replicate import Replicate
from server.providers.sample import Sample
from server.settings import Settings
from server.supervision import Supervisor
from server.tokens import Tokens

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Application:
    """What a server runs.

    `asgi` answers requests while `lifespan` is entered; `unfetched` says whether a provider has
    yet to fetch a file of ours that a prediction needs.
    """

    asgi: ASGIApp
    lifespan: Callable[[], contextlib.AbstractAsyncContextManager[None]]
    unfetched: Callable[[], Awaitable[bool]]


def create_app(
    settings: Settings,
    clock: Clock,
    *,
    writer: str,
    local: tuple[str, int],
    draining: asyncio.Event,
    stopping: asyncio.Event,
) -> Application:
    """The application on a prepared data folder (see `server/serve.py`).

    `writer` names this process's lock file; `local` is the address and port where it listens:
    how a provider that runs in this process reaches it. A shutdown sets `draining` first: jobs
    begin nothing new; then `stopping`, which ends the event streams.
    """
    volume = Volume(settings.data_dir, min_free=settings.min_free_bytes)
    database = Database(settings.database, clock, on_full=volume.release)
    blobs = SqliteBlobs(database, volume, writer=writer)
    signer = Tokens(settings.secret_keys())
    guard = Guard(allow_private=parse_allowed(settings.allow_private_urls))
    client = guard.client()
    media = Media()
    folder = settings.data_dir / "work"
    downloads = _downloads(settings, folder, clock)
    # The sample provider fetches its images from this very process, and from nowhere else.
    own_client = Guard(allow_private=frozenset({local})).client()
    providers = _providers(settings, media, own_client, clock)
    own_url = f"http://{authority(*local)}"
    bases = {name: _base(settings, provider, own_url) for name, provider in providers.items()}
    access_log = AccessLog(database, clock)
    supervisor = Supervisor(clock, stopping)
    loop: Loop

    def wake(job_id: str | None) -> None:
        loop.wake(job_id)

    work = Work(
        database=database,
        blobs=blobs,
        volume=volume,
        media=media,
        tokens=signer,
        client=client,
        providers=providers,
        asset_base=bases,
        downloads=downloads,
        folder=folder,
        clock=clock,
        started_at=clock.now(),
        draining=draining,
        wake=wake,
        flush_access_log=access_log.flush,
        webhook_base={name: _webhooks(base, name) for name, base in bases.items()},
        submission_grace=settings.submission_grace,
        max_attempts=settings.max_attempts,
        save_retry=settings.save_retry_seconds,
        keep_unsaved=settings.keep_unsaved,
        max_output_bytes=settings.max_upload_bytes,
        trash=timedelta(days=settings.trash_days),
        concurrency=settings.provider_concurrency,
    )
    loop = Loop(work)
    gate = Gate(database, signer, clock)
    metrics = Metrics()
    metrics.last_backup.set_function(
        lambda: schedule.last_success(settings.data_dir, settings.backup_target)
    )
    pulse = Pulse(database, stopping, clock)
    uploads = Uploads(database, blobs, volume, clock, lifetime=settings.upload_expiry)
    services = Services(
        database=database.bounded(READ_SECONDS),
        searches=database.bounded(READ_SECONDS, at_once=READERS // 2),
        blobs=blobs,
        volume=volume,
        uploads=uploads,
        tokens=signer,
        gate=gate,
        access_log=access_log,
        metrics=metrics,
        pulse=pulse,
        supervisor=supervisor,
        guard=guard,
        providers=providers,
        default_provider=next(iter(providers)),
        reachable_by={name: base is not None for name, base in bases.items()},
        wake=wake,
        clock=clock,
        public_url=settings.outside_url,
        client_ip_header="fly-client-ip" if settings.fly_app_name else None,
        max_upload_bytes=settings.max_upload_bytes,
        limits=Limits(settings.max_active_predictions, settings.daily_predictions),
        trash=timedelta(days=settings.trash_days),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        # Undone in reverse, as far as it came: the database's threads keep the process alive.
        async with contextlib.AsyncExitStack() as opened:
            opened.callback(blobs.close)
            await database.open()
            opened.push_async_callback(database.close)
            for http in (own_client, downloads.client, client):
                opened.push_async_callback(http.aclose)
            for provider in providers.values():
                opened.push_async_callback(provider.aclose)
            opened.push_async_callback(access_log.flush)
            swept = await collect.sweep_unfinished(
                database, settings.data_dir / "locks", clock.now(), writer
            )
            if swept:
                log.info("half-written blobs of a dead process discarded", count=swept)
            volume.keep()
            if lacks := downloads.ytdlp.missing():
                log.warning("not everything that downloads want is here", missing="; ".join(lacks))
            background: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                "jobs": loop.run,
                "access log": access_log.run,
                "pulse": pulse.run,
                "uploads": lambda: uploads.run(stopping),
            }
            if settings.backup_target and settings.backup_every:
                background["backups"] = _backups(
                    settings, settings.backup_target, settings.backup_every, clock
                ).run
            supervised = asyncio.create_task(supervisor.run(background))
            opened.push_async_callback(_cancel, supervised)
            yield

    async def unfetched() -> bool:
        await access_log.flush()
        return await database.read(token_rows.any_unfetched)

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
            page.router(settings.media_hosts),
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
        cors_config=_cors(settings.cors_origins),
        compression_config=compression.JSON,
        openapi_config=OpenAPIConfig(
            title="Reelbase",
            version=__version__,
            description=(
                "A key is sent as `X-API-Key`, or as `Authorization: Bearer`. In a browser that is "
                "signed in to the page nothing has to be sent: requests tried here have its "
                "session, whatever is said below of authentication."
            ),
            path="/schema",
            render_plugins=[SchemaPage(path="/")],
            use_handler_docstrings=True,
            security=[{"key": []}, {"bearer": []}, {"session": []}],
            components=Components(
                security_schemes={
                    "key": SecurityScheme(
                        type="apiKey", name="X-API-Key", security_scheme_in="header"
                    ),
                    "bearer": SecurityScheme(type="http", scheme="bearer"),
                    "session": SecurityScheme(
                        type="apiKey", name=COOKIE, security_scheme_in="cookie"
                    ),
                }
            ),
        ),
        lifespan=[lifespan],
        request_class=body.JsonRequest,
        request_max_body_size=body.USUAL,
        logging_config=None,
        debug=False,
    )
    observed: ASGIApp = Observe(application, metrics, clock)
    if application.cors_config is not None:
        observed = VaryByOrigin(observed)
    return Application(tus_protocol.Protocol(observed), application.lifespan, unfetched)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _providers(
    settings: Settings, media: Media, own_client: httpx.AsyncClient, clock: Clock
) -> dict[str, Provider]:
    """The providers that are set up, the default one first. Raises Invalid."""
    providers: dict[str, Provider] = {}
    if settings.replicate_api_token:
        with _named("Replicate", "REPLICATE_API_TOKEN, REPLICATE_BASE_URL"):
            providers["replicate"] = Replicate(
                settings.replicate_api_token, clock, base_url=settings.replicate_base_url
            )
    if settings.fal_key:
        with _named("FAL", "FAL_KEY, FAL_QUEUE_URL, FAL_JWKS_URL"):
            providers["fal"] = Fal(
                settings.fal_key,
                clock,
                queue_url=settings.fal_queue_url,
                jwks_url=settings.fal_jwks_url,
            )
    if not providers:
        providers["sample"] = Sample(media, settings.data_dir / "sample", own_client, clock)
    return providers


@contextlib.contextmanager
def _named(part: str, variables: str) -> Iterator[None]:
    """Name the settings that a part cannot be made with; not their values: there are secrets."""
    try:
        yield
    except ReelbaseError:
        raise
    except Exception as error:  # noqa: BLE001  # a client's own checks raise what they like
        raise Invalid(
            f"{part} cannot be set up ({type(error).__name__}): look at {variables}.",
            code="bad_settings",
        ) from None


def _downloads(settings: Settings, folder: Path, clock: Clock) -> Downloads:
    """How URLs are fetched: through the operator's proxy, if there is one."""
    with _named("The download proxy", "REELBASE_DOWNLOAD_PROXY"):
        guard = Guard(
            allow_private=parse_allowed(settings.allow_private_urls), proxy=settings.download_proxy
        )
        client = guard.client()
    ytdlp = YtDlp(
        work_dir=folder.absolute(),
        guard=guard,
        clock=clock,
        max_bytes=settings.max_download_bytes,
        max_duration=settings.max_download_seconds,
        timeout=settings.download_timeout,
        cookies=settings.cookies_file,
        stall=settings.download_stall,
        sniff=lambda head: sniff.kind(sniff.content_type(head)) != "other",
    )
    return Downloads(
        client=client,
        ytdlp=ytdlp,
        max_bytes=settings.max_download_bytes,
        max_seconds=settings.max_download_seconds,
        timeout=settings.download_timeout,
        stall=settings.download_stall,
        retry=settings.download_retry_seconds,
        at_once=settings.downloads,
    )


def _backups(settings: Settings, target: str, every: float, clock: Clock) -> schedule.Schedule:
    """The server's own backups."""
    return schedule.Schedule(
        settings.data_dir, target, clock, every=every, rate=settings.backup_rate
    )


def _base(settings: Settings, provider: Provider, own_url: str) -> str | None:
    """Where a provider can fetch from us; None where it cannot."""
    if provider.name == "sample":
        return own_url
    url = settings.outside_url
    if url is None:
        return None
    host = urlsplit(url).hostname or ""
    theirs = settings.replicate_base_url if provider.name == "replicate" else settings.fal_queue_url
    # A loopback address is no public one, unless the provider itself is on this machine.
    if _is_loopback(host) and not _is_loopback(urlsplit(theirs).hostname or ""):
        return None
    return url


def _webhooks(base: str | None, provider: str) -> str | None:
    """Where a provider posts its webhooks: over https, or on this machine."""
    if base is None or provider == "sample":
        return None
    parts = urlsplit(base)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        return None
    return f"{base}/api/v3/webhooks/{provider}"


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _cors(origins: str) -> CORSConfig | None:
    """Scripts of other origins: they see the range headers, and bring no cookies."""
    allowed = [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]
    if not allowed:
        return None
    return CORSConfig(
        allow_origins=allowed,
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=[
            "authorization",
            "x-api-key",
            "content-type",
            "range",
            "idempotency-key",
            "last-event-id",
            *tus_protocol.REQUEST_HEADERS,
            "if-match",
            "if-none-match",
            "if-range",
            "if-modified-since",
        ],
        expose_headers=[
            "Accept-Ranges",
            "Content-Range",
            "Content-Length",
            "Content-Disposition",
            "ETag",
            "Last-Modified",
            "Location",
            "Retry-After",
            "X-Request-ID",
            *tus_protocol.RESPONSE_HEADERS,
        ],
    )
