"""Saving: from a provider's output to a stored asset, or to a state that says why not.

Generated and stored are separate facts. A save that fails never makes an asset disappear: from
the first failed attempt on it is `url_only` (it plays from the provider) or `unsaved`, is tried
again with backoff while it can be had, and at the end is `expired`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from server.catalog import assets, jobs
from server.errors import ReelbaseError, StorageFull
from server.ingest.direct import stream_url
from server.ingest.errors import IngestError
from server.jobs.context import Work
from server.jobs.landing import Report, land
from server.library import intake
from server.providers.base import Passing, Vanished

log = structlog.get_logger(__name__)

# A download that breaks off is tried again quietly for this long, in seconds.
QUIET = 10.0
# The wait between later attempts doubles up to this, in seconds.
LONGEST_WAIT = 600.0
# A provider that answers so has no bytes at this URL for anybody.
DEAD = ("not_found", "private_or_login_required", "host_not_found", "blocked_address")


class SaveError(Exception):
    """Bytes could not be stored: what `storage_error` says of it."""

    def __init__(self, kind: str, message: str, *, plays: bool = True) -> None:
        """`download`, `disk_full`, `database` or `too_large`; whether the URL still plays."""
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.plays = plays


async def save(work: Work, asset_id: str, *, quiet: float = 0.0, report: Report) -> bool:
    """Store the bytes of an output; whether they are stored now.

    For `quiet` seconds a failed download is tried again without a word. `report` is called with
    the bytes stored and the bytes of all, if known.
    """
    asyncio_time = asyncio.get_running_loop().time
    give_up = asyncio_time() + quiet
    wait = 0.5
    while True:
        row = await work.database.read(assets.get, asset_id, trashed=True)
        if row is None:
            return False
        if row.storage_state == "stored":
            return True
        try:
            await _fetch(work, row, report)
        except SaveError as error:
            broke_off = error.kind == "download" and error.plays
            if broke_off and asyncio_time() + wait < give_up:
                await asyncio.sleep(wait)
                wait *= 2
                continue
            await work.database.write(_failed, work, asset_id, error)
            log.warning("output not saved", asset=asset_id, reason=error.kind)
            return False
        work.wake(None)
        return True


async def _fetch(work: Work, row: Row[Any], report: Report) -> None:
    """Download, remux if the index comes last, and attach. Raises SaveError."""
    try:
        work.volume.check()
        async with (
            _open(work, row) as (pieces, total),
            land(work, pieces, total, report) as incoming,
        ):
            await work.database.write(_attach, work.clock(), row.id, incoming)
    except IngestError as error:
        kind = "too_large" if error.code == "too_large" else "download"
        raise SaveError(kind, error.detail, plays=error.code not in DEAD) from None
    except StorageFull as error:
        raise SaveError("disk_full", error.detail) from None
    except SQLAlchemyError as error:
        log.warning("database refused an output", error=str(error.__cause__ or error))
        raise SaveError("database", "The database did not take the bytes.") from None
    except ReelbaseError as error:
        raise SaveError("download", error.detail) from None


@asynccontextmanager
async def _open(
    work: Work, row: Row[Any]
) -> AsyncIterator[tuple[AsyncIterator[bytes], int | None]]:
    """The bytes of an output, from wherever it is: (pieces, total size if known)."""
    if not row.source_url:
        raise SaveError("download", "The provider names no URL for this output.")
    for provider in work.providers.values():
        local = provider.open_output(row.source_url)
        if local is not None:
            yield local, None
            return
    limit = work.max_output_bytes
    async with stream_url(work.client, row.source_url, max_bytes=limit) as answer:
        yield answer.pieces, answer.length


def _attach(conn: Connection, now: datetime, asset_id: str, incoming: intake.Incoming) -> None:
    row = assets.get(conn, asset_id, trashed=True)
    if row is None or row.storage_state == "stored":
        return  # deleted, or saved by somebody else meanwhile: the bytes are discarded
    intake.fill(conn, row, incoming, now=now)
    _go_on(conn, asset_id)


def _failed(conn: Connection, work: Work, asset_id: str, error: SaveError) -> None:
    """Write down that saving failed, and when it is tried again."""
    row = assets.get(conn, asset_id, trashed=True)
    if row is None or row.storage_state == "stored":
        return
    now = work.clock()
    wait = min(work.save_retry * 2**row.save_attempts, LONGEST_WAIT)
    assets.change(
        conn,
        asset_id,
        storage_state="url_only" if error.plays and _alive(row, now) else "unsaved",
        storage_error={"type": error.kind, "message": error.message, "at": now.isoformat()},
        save_attempts=row.save_attempts + 1,
        next_save_at=now + timedelta(seconds=wait),
    )


def _alive(row: Row[Any], now: datetime) -> bool:
    """Whether an output can still be had, and played, at its URL."""
    if not row.source_url or not row.source_url.startswith(("https:", "http:")):
        return False
    return row.source_expires_at is None or bool(row.source_expires_at > now)


async def save_again(work: Work, asset_id: str) -> None:
    """One more attempt at what could not be stored; at the end it is `expired`, never gone.

    A URL that is dead or refused is asked for anew first: looking a prediction up costs nothing.
    """
    row = await work.database.read(assets.get, asset_id, trashed=True)
    if row is None or row.storage_state not in ("url_only", "unsaved"):
        return
    if not _alive(row, work.clock()) or row.storage_state == "unsaved":
        try:
            there = await _renew(work, row)
        except Passing as error:
            failure = SaveError("download", error.detail, plays=False)
            await work.database.write(_failed, work, asset_id, failure)
            return
        if not there:
            await work.database.write(_expire, asset_id)
            work.wake(None)  # a combine may have waited for it
            return
    await save(work, asset_id, report=lambda done, total: None)


async def _renew(work: Work, row: Row[Any]) -> bool:
    """Ask the provider for a fresh URL; whether the bytes may still be had. Raises Passing."""
    clip = await work.database.read(jobs.clip_of_asset, row.id)
    job = await work.database.read(jobs.get, clip.job_id) if clip is not None else None
    provider = work.providers.get(job.provider) if job is not None else None
    if clip is None or job is None or provider is None or clip.prediction_id is None:
        return _alive(row, work.clock())  # nobody to be asked
    try:
        prediction = await provider.look_up(
            clip.prediction_id, model=job.model, handles=clip.handles or {}
        )
    except Vanished:
        return False
    if not prediction.outputs:
        return False
    output = prediction.outputs[0]
    await work.database.write(
        assets.change, row.id, source_url=output.url, source_expires_at=output.expires_at
    )
    return output.expires_at is None or output.expires_at > work.clock()


def _expire(conn: Connection, asset_id: str) -> None:
    """The remote copy is gone. A combine that waits for it has waited in vain."""
    assets.change(conn, asset_id, storage_state="expired", next_save_at=None)


def _go_on(conn: Connection, asset_id: str) -> None:
    """A job that was given up for want of these bytes goes on by itself."""
    row = assets.get(conn, asset_id, trashed=True)
    job = jobs.get(conn, row.job_id) if row is not None and row.job_id else None
    if job is not None and job.error_code == "combine_unstored":
        jobs.change(
            conn, job.id, status="storing", error_code=None, error_message=None, ended_at=None
        )
