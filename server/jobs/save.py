"""Saving: from a provider's output to a stored asset, or to a state that says why not.

Generated and stored are separate facts. A save that fails never makes an asset disappear: from
the first failed attempt on it is `url_only` (it plays from the provider) or `unsaved`, is tried
again with backoff while it can be had, and at the end is `expired`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from server.catalog import assets, outputs
from server.catalog.leases import LeaseLost
from server.catalog.records import Asset
from server.errors import ReelbaseError, StorageFull
from server.ingest.direct import stream_url
from server.ingest.errors import IngestError
from server.jobs import retry
from server.jobs.context import Work
from server.jobs.landing import Report, land
from server.jobs.nudge import Nudge
from server.library import intake, lifecycle
from server.library.claims import Claim
from server.library.lifecycle import Unsaved
from server.providers import data_uri
from server.providers.base import Output, Passing, Vanished

log = structlog.get_logger(__name__)

# A download that breaks off is tried again quietly for this long, in seconds.
QUIET = 10.0
# A provider that answers so has no bytes at this URL for anybody.
DEAD = ("not_found", "private_or_login_required", "host_not_found", "blocked_address")


class SaveError(Exception):
    """Bytes could not be stored: what `storage_error` says of it."""

    def __init__(self, kind: str, message: str, *, plays: bool = True, final: bool = False) -> None:
        """`download`, `disk_full`, `database`, `too_large` or `malformed`.

        `plays`: whether the URL still plays; `final`: no other attempt can do better.
        """
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.plays = plays
        self.final = final


async def save(
    work: Work,
    claim: Claim,
    asset_id: str,
    *,
    quiet: float = 0.0,
    report: Report,
    source: str | None = None,
) -> bool:
    """Store the bytes of an output; whether they are stored now.

    For `quiet` seconds a failed download is tried again without a word. `report` is called with
    the bytes stored and the bytes of all, if known. `source` is where the bytes are when that is
    in no row: a `data:` URI.
    """
    monotonic = work.clock.monotonic
    give_up = monotonic() + quiet
    wait = 0.5
    while True:
        row = await work.database.read(assets.get, asset_id, trashed=True)
        if row is None:
            return False
        if row.storage_state == "stored":
            return True
        try:
            await _fetch(work, claim, row, report, source)
        except SaveError as error:
            broke_off = error.kind == "download" and error.plays and not error.final
            if broke_off and monotonic() + wait < give_up:
                await work.clock.sleep(wait)
                wait *= 2
                continue
            await claim.write(_failed, work, asset_id, error)
            log.warning("output not saved", asset=asset_id, reason=error.kind)
            if error.final:
                work.wake(None)  # a combine may have waited for it
            return False
        work.wake(None)
        return True


async def _fetch(work: Work, claim: Claim, row: Asset, report: Report, source: str | None) -> None:
    """Take the bytes in, remux if the index comes last, and attach. Raises SaveError."""
    inline = False
    try:
        work.volume.check()
        url = source or row.source_url or await _url_now(work, row)
        inline = data_uri.is_one(url)
        async with (
            _open(work, url) as (pieces, total),
            # What fits into an answer starts at once: it is kept as it came.
            land(work, pieces, total, report, remux=not inline) as incoming,
        ):
            await claim.write(_attach, work.clock.now(), row.id, incoming)
    except data_uri.MalformedDataUri:
        words = "The provider's answer has this file in it, but damaged: it cannot be decoded."
        raise SaveError("malformed", words, final=True) from None
    except IngestError as error:
        kind = "too_large" if error.code == "too_large" else "download"
        # What was in the answer will be the same in the next one.
        plays = error.code not in DEAD
        raise SaveError(kind, error.detail, plays=plays, final=inline) from None
    except StorageFull as error:
        raise SaveError("disk_full", error.detail) from None
    except SQLAlchemyError as error:
        log.warning("database refused an output", error=str(error.__cause__ or error))
        raise SaveError("database", "The database did not take the bytes.") from None
    except ReelbaseError as error:
        raise SaveError("download", error.detail) from None
    except (SaveError, LeaseLost, ExceptionGroup):
        raise
    except Exception:
        # The other files were paid for, too.
        log.exception("output not saved in an unforeseen way", asset=row.id)
        words = "Something went wrong on our side; the log says what."
        raise SaveError("download", words, final=inline) from None


async def _url_now(work: Work, row: Asset) -> str:
    """Where an output is that has no URL in its row. Raises SaveError."""
    try:
        output = await _ask(work, row)
    except Passing as error:
        raise SaveError("download", error.detail, plays=False) from None
    if output is None or not output.url:
        raise SaveError("download", "The provider names no URL for this output.", plays=False)
    return output.url


@asynccontextmanager
async def _open(work: Work, url: str) -> AsyncIterator[tuple[AsyncIterator[bytes], int | None]]:
    """The bytes of an output, from wherever it is: (pieces, total size if known)."""
    limit = work.max_output_bytes
    if data_uri.is_one(url):
        yield _decoded(url, limit), None
        return
    for provider in work.providers.values():
        local = provider.open_output(url)
        if local is not None:
            yield local, None
            return
    async with stream_url(work.client, url, max_bytes=limit) as answer:
        yield answer.pieces, answer.length


async def _decoded(uri: str, limit: int) -> AsyncIterator[bytes]:
    """The bytes of a `data:` URI. Raises MalformedDataUri, IngestError (`too_large`)."""
    size = 0
    for piece in data_uri.decode(uri):
        size += len(piece)
        if size > limit:
            raise IngestError("too_large")
        yield piece


def _attach(conn: Connection, now: datetime, asset_id: str, incoming: intake.Incoming) -> None:
    row = assets.get(conn, asset_id, trashed=True)
    if row is None or row.storage_state == "stored":
        return  # deleted, or saved by somebody else meanwhile: the bytes are discarded
    intake.fill(conn, row, incoming, now=now)
    outputs.settle_main(conn, asset_id)  # now that its kind is no guess any more
    if row.job_id is not None:
        lifecycle.resume_combine(conn, row.job_id)


def _failed(conn: Connection, work: Work, asset_id: str, error: SaveError) -> None:
    """Write down that saving failed, and when it is tried again."""
    row = assets.get(conn, asset_id, trashed=True)
    if row is None or row.storage_state in ("stored", "expired", "failed"):
        return
    now = work.clock.now()
    failures = row.save_attempts + 1
    policy = replace(retry.SAVE, first=work.save_retry)
    trouble = {"type": error.kind, "message": error.message, "at": now.isoformat()}
    if error.final:
        lifecycle.fail_save(conn, row, "failed", trouble=trouble, next_at=None)
        return
    state: Unsaved = "url_only" if error.plays and _alive(row, now) else "unsaved"
    next_at = now + policy.delay(failures, work.spread)
    lifecycle.fail_save(conn, row, state, trouble=trouble, next_at=next_at)
    if policy.is_spent(failures):
        lifecycle.expire_bytes(conn, asset_id)


def _alive(row: Asset, now: datetime) -> bool:
    """Whether an output can still be had, and played, at its URL."""
    if not row.source_url or not row.source_url.startswith(("https:", "http:")):
        return False
    return row.source_expires_at is None or bool(row.source_expires_at > now)


async def save_again(work: Work, claim: Claim, nudge: Nudge) -> None:
    """One more attempt at what could not be stored; at the end it is `expired`, never gone.

    A URL that is dead or refused is asked for anew first: looking a prediction up costs nothing.
    """
    asset_id = claim.key
    row = await work.database.read(assets.get, asset_id, trashed=True)
    if row is None or row.storage_state not in ("url_only", "unsaved"):
        return
    source = None
    if not _alive(row, work.clock.now()) or row.storage_state == "unsaved":
        try:
            output = await _ask(work, row)
        except Passing as error:
            failure = SaveError("download", error.detail, plays=False)
            await claim.write(_failed, work, asset_id, failure)
            return
        if output is not None and data_uri.is_one(output.url):
            source = output.url
        elif output is not None:
            await claim.write(
                assets.change,
                asset_id,
                source_url=output.url,
                source_expires_at=output.expires_at,
            )
        expires_at = output.expires_at if output is not None else None
        if output is None or (expires_at is not None and expires_at <= work.clock.now()):
            await claim.write(lifecycle.expire_bytes, asset_id)
            work.wake(None)  # a combine may have waited for it
            return
    await save(work, claim, asset_id, report=lambda done, total: None, source=source)


async def _ask(work: Work, row: Asset) -> Output | None:
    """What the provider has of an output now; None when it has nothing. Raises Passing."""
    origin = await work.database.read(outputs.origin, row.id)
    provider = work.providers.get(origin.provider) if origin is not None else None
    if origin is None or provider is None:  # nobody to be asked
        if row.source_url is None or not _alive(row, work.clock.now()):
            return None
        return Output(row.source_url, expires_at=row.source_expires_at)
    try:
        prediction = await provider.look_up(
            origin.prediction_id, model=origin.model, handles=origin.handles
        )
    except Vanished:
        return None
    return next((one for one in prediction.outputs if one.position == origin.position), None)
