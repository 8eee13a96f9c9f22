"""The one place where the parts meet: settings become values, values become an application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog
from litestar import Litestar
from litestar.types import ASGIApp

from server import outside
from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.catalog import leases
from server.catalog import tokens as token_rows
from server.clock import Clock
from server.db import READ_SECONDS, READERS, Database
from server.egress import Guard, authority, parse_allowed
from server.http import application
from server.http.access_log import AccessLog
from server.http.context import Services
from server.http.gate import Gate
from server.http.metrics import Metrics
from server.http.pulse import Pulse
from server.jobs.context import Work
from server.jobs.loop import Loop
from server.library import collect
from server.library.backup import schedule
from server.library.claims import Claims
from server.library.orders import Limits
from server.library.uploads import Uploads
from server.media import Media
from server.parts import Parts
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
    guard = Guard(allow_private=parse_allowed(settings.allow_private_urls))
    client = guard.client()
    media = Media()
    folder = settings.data_dir / "work"
    downloads = outside.downloads(settings, folder, clock)
    # The sample provider fetches its images from this very process, and from nowhere else.
    own_client = Guard(allow_private=frozenset({local})).client()
    providers = outside.providers(settings, media, own_client, clock)
    access_log = AccessLog(database, clock)
    claims = Claims(database, clock, writer)
    loop: Loop

    def wake(job_id: str | None) -> None:
        loop.wake(job_id)

    parts = Parts(
        database=database,
        blobs=blobs,
        volume=volume,
        tokens=Tokens(settings.secret_keys()),
        providers=providers,
        asset_base=outside.asset_bases(settings, providers, f"http://{authority(*local)}"),
        clock=clock,
        wake=wake,
        trash=timedelta(days=settings.trash_days),
    )
    work = Work(
        **vars(parts),
        media=media,
        client=client,
        webhook_base=outside.webhook_bases(parts.asset_base),
        downloads=downloads,
        folder=folder,
        claims=claims,
        started_at=clock.now(),
        draining=draining,
        flush_access_log=access_log.flush,
        submission_grace=settings.submission_grace,
        max_attempts=settings.max_attempts,
        save_retry=settings.save_retry_seconds,
        keep_unsaved=settings.keep_unsaved,
        max_output_bytes=settings.max_upload_bytes,
        concurrency=settings.provider_concurrency,
    )
    loop = Loop(work)
    services = Services(
        **vars(replace(parts, database=database.bounded(READ_SECONDS))),
        searches=database.bounded(READ_SECONDS, at_once=READERS // 2),
        uploads=Uploads(database, blobs, volume, clock, claims, lifetime=settings.upload_expiry),
        gate=Gate(database, parts.tokens, clock),
        access_log=access_log,
        metrics=_metrics(settings),
        pulse=Pulse(database, stopping, clock),
        supervisor=Supervisor(clock, stopping),
        guard=guard,
        default_provider=next(iter(providers)),
        public_url=settings.outside_url,
        client_ip_header="fly-client-ip" if settings.fly_app_name else None,
        max_upload_bytes=settings.max_upload_bytes,
        limits=Limits(settings.max_active_predictions, settings.daily_predictions),
    )
    background = {
        "jobs": loop.run,
        "access log": access_log.run,
        "pulse": services.pulse.run,
        "uploads": lambda: services.uploads.run(stopping),
        **_backups(settings, clock),
    }

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
            # We have the lock file: nobody else can be at work.
            await database.write(leases.end_all)
            locks = settings.data_dir / "locks"
            swept = await collect.sweep_unfinished(database, locks, clock.now(), writer)
            if swept:
                log.info("half-written blobs of a dead process discarded", count=swept)
            volume.keep()
            if lacks := downloads.ytdlp.missing():
                log.warning("not everything that downloads want is here", missing="; ".join(lacks))
            supervised = asyncio.create_task(services.supervisor.run(background))
            opened.push_async_callback(_cancel, supervised)
            yield

    async def unfetched() -> bool:
        await access_log.flush()
        return await database.read(token_rows.any_unfetched)

    litestar, asgi = application.build(
        services, lifespan, media_hosts=settings.media_hosts, cors_origins=settings.cors_origins
    )
    return Application(asgi, litestar.lifespan, unfetched)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _backups(
    settings: Settings, clock: Clock
) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """The server's own backups, if it is to make them."""
    if not settings.backup_target or not settings.backup_every:
        return {}
    backups = schedule.Schedule(
        settings.data_dir,
        settings.backup_target,
        clock,
        every=settings.backup_every,
        rate=settings.backup_rate,
    )
    return {"backups": backups.run}


def _metrics(settings: Settings) -> Metrics:
    metrics = Metrics()
    metrics.last_backup.set_function(
        lambda: schedule.last_success(settings.data_dir, settings.backup_target)
    )
    return metrics
