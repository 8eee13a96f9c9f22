"""`reelbase verify`: are the bytes still those that were stored?"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

import click
import httpx

from server.blobs.sqlite import SqliteBlobs
from server.commands.options import Rate, as_json, data_dir, engine_of
from server.commands.progress import progress
from server.commands.store import opened
from server.db import Database
from server.egress import Guard, parse_allowed
from server.errors import ReelbaseError
from server.ingest.direct import stream_url
from server.library import repair
from server.library.backup.manifest import Blob
from server.library.backup.target import open_target
from server.library.verify import verify as run_verify
from server.library.words import MB, count_of, size_of
from server.settings import Settings, load

# MB a second: the volume serves viewers, too.
GENTLY = 10.0


@click.command("verify")
@click.option("--all", "everything", is_flag=True, help="Read every byte (the default).")
@click.option(
    "--sample", type=click.IntRange(min=1, max=10**9), help="Only so many files, by chance."
)
@click.option(
    "--rate",
    type=Rate(),
    default=GENTLY,
    show_default=True,
    help="Read so many MB/s at most.",
)
@click.option(
    "--repair",
    "put_right",
    is_flag=True,
    help="Take what is damaged from the backup (REELBASE_BACKUP_TARGET) or fetch it again.",
)
@as_json
@data_dir
@click.pass_context
def verify(
    ctx: click.Context,
    everything: bool,
    sample: int | None,
    rate: float,
    put_right: bool,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Compare what is stored with its SHA-256, also while the server runs.

    Prints a line for each asset that is damaged, and exits with 1 when there is one.
    """
    if everything and sample is not None:
        raise click.UsageError("--all and --sample exclude each other.")
    settings = load(data_dir=data_dir)
    with progress("Verifying", quiet=as_json) as report:
        result = run_verify(settings.database, sample=sample, rate=rate * MB, report=report)
    outcomes: dict[str, str] = {}
    if put_right and result.blobs:
        engine_of(settings).dispose()
        outcomes = asyncio.run(_repair(settings, list(result.blobs.values())))
    told = [
        asdict(one) | {"repaired": outcomes.get(one.sha256) == "", "note": outcomes.get(one.sha256)}
        for one in result.damaged
    ]
    if as_json:
        shown = {"checked": result.checked, "checked_bytes": result.checked_bytes, "damaged": told}
        click.echo(json.dumps(shown, indent=2))
    else:
        for loss in result.damaged:
            note = outcomes.get(loss.sha256)
            tail = "" if note is None else f"; not repaired: {note}" if note else "; repaired"
            for line in loss.lines():
                click.echo(line + tail)
    left = sum(not one["repaired"] for one in told)
    read = f"{count_of(result.checked, 'file')} read ({size_of(result.checked_bytes)})"
    click.echo(
        f"{read}, {len(told)} damaged"
        + (f", {len(told) - left} of them repaired." if put_right else "."),
        err=True,
    )
    ctx.exit(1 if left else 0)


async def _repair(settings: Settings, damaged: list[Blob]) -> dict[str, str]:
    """Put right what can be; by SHA-256 nothing, or why not."""
    client = Guard(allow_private=parse_allowed(settings.allow_private_urls)).client()
    async with client, opened(settings) as store:
        return {
            one.sha256: await _repair_one(settings, store.database, store.blobs, client, one)
            for one in damaged
        }


async def _repair_one(
    settings: Settings,
    database: Database,
    blobs: SqliteBlobs,
    client: httpx.AsyncClient,
    damaged: Blob,
) -> str:
    """Try wherever the bytes may still be; why it did not work, nothing if it did."""
    streams = [_from_url(client, url, damaged) for url in await _sources(database, damaged)]
    if settings.backup_target:
        streams.insert(0, _from_backup(settings.backup_target, damaged))
    reasons = []
    for stream in streams:
        async with aclosing(stream):
            try:
                if await repair.put_right(database, blobs, damaged, stream):
                    return ""
                reasons.append("What is there now is something else.")
            except ReelbaseError as error:
                reasons.append(error.detail)
    return " ".join(reasons) or "there is nowhere to have the bytes from"


async def _sources(database: Database, damaged: Blob) -> list[str]:
    return await database.read(repair.sources, damaged, database.clock.now())


async def _from_backup(url: str, damaged: Blob) -> AsyncGenerator[bytes, None]:
    pieces = open_target(url).read(damaged.path, damaged.size)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


async def _from_url(
    client: httpx.AsyncClient, url: str, damaged: Blob
) -> AsyncGenerator[bytes, None]:
    async with stream_url(client, url, max_bytes=max(1, damaged.size)) as answer:
        async for piece in answer.pieces:
            yield piece
