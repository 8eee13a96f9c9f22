"""What settings say of the world outside: providers and where they reach us, and downloads."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from server.clock import Clock
from server.egress import Guard, parse_allowed
from server.errors import Invalid, ReelbaseError
from server.ingest.ytdlp import YtDlp
from server.jobs.context import Downloads
from server.media import Media, sniff
from server.providers.base import Provider
from server.providers.fal import Fal
from server.providers.replicate import Replicate
from server.providers.sample import Sample
from server.settings import Settings


def providers(
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


def downloads(settings: Settings, folder: Path, clock: Clock) -> Downloads:
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


def asset_bases(
    settings: Settings, providers: Mapping[str, Provider], own_url: str
) -> dict[str, str | None]:
    """Where each provider can fetch from us, by its name; None where it cannot."""
    return {name: _asset_base(settings, one, own_url) for name, one in providers.items()}


def webhook_bases(bases: Mapping[str, str | None]) -> dict[str, str | None]:
    """Where each provider may post its webhooks, by its name; None where it cannot."""
    return {name: _webhook_base(base, name) for name, base in bases.items()}


def _asset_base(settings: Settings, provider: Provider, own_url: str) -> str | None:
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


def _webhook_base(base: str | None, provider: str) -> str | None:
    # Over https, or on this machine.
    if base is None or provider == "sample":
        return None
    parts = urlsplit(base)
    if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
        return None
    return f"{base}/api/v3/webhooks/{provider}"


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"
