"""From what a prediction made to the assets of its clip: all are listed first, then stored."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection

from server.catalog import assets, jobs, names, outputs
from server.catalog.records import Asset, Clip, GenerateJob
from server.jobs.context import Work
from server.jobs.save import QUIET, save
from server.library import lifecycle
from server.library.claims import Claim
from server.media import sniff
from server.providers import data_uri
from server.providers.base import Output

# Of a clip's progress, what the prediction is; storing its bytes is the rest.
PREDICTED = 0.9
# Files of one clip that are stored at a time.
AT_ONCE = 4
# What a clip's only file is taken for when nothing tells its type: the bytes will.
LIKELY = "video/mp4"
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,8}")

# Called with the bytes that are stored, those of all files (if known), and the share (0 to 1).
Told = Callable[[int, int | None, float], None]


def record(
    conn: Connection,
    work: Work,
    job: GenerateJob,
    clip_id: str,
    made: Sequence[Output],
    *,
    left_out: int,
    expired: bool,
) -> dict[str, str]:
    """List every file of a clip's prediction as an asset, in one transaction.

    A second call for the same prediction adds nothing. `expired`: the provider has deleted
    them already. Returns the `data:` URIs among them by asset: they are in no row.
    """
    clip = jobs.get_clip(conn, clip_id)
    number = outputs.prediction_row(conn, clip_id)
    assert number is not None
    if outputs.are_known(conn, number):
        if clip.status == "processing":
            lifecycle.store_clip(conn, clip_id)
        return {}
    inline: dict[str, str] = {}
    now = work.clock.now()
    for index, output in enumerate(made):
        is_inline = data_uri.is_one(output.url)
        asset_id = _insert(
            conn,
            job,
            clip,
            output,
            # One of several is not taken for the video that it may not be.
            output.content_type or (LIKELY if len(made) == 1 else sniff.OCTETS),
            source_url=None if is_inline else output.url or None,
            storage_state="expired" if expired else "pending",
            # Lists are newest first: there, too, they stand in the provider's order.
            now=now - timedelta(microseconds=index),
        )
        outputs.add(conn, number, output.position, asset_id)
        if is_inline:
            inline[asset_id] = output.url
    main = outputs.main_of(assets.outputs_of(conn, number))
    main_id = main.id if main is not None else None
    if expired:
        lifecycle.complete_clip(conn, clip_id, asset_id=main_id, queue_position=None)
    else:
        lifecycle.store_clip(
            conn, clip_id, asset_id=main_id, queue_position=None, progress=PREDICTED
        )
    if left_out:
        note = f"{clip.filename}: the model made {len(made) + left_out} files. The first "
        jobs.add_note(conn, job.id, note + f"{len(made)} are kept.")
    return inline


def _insert(
    conn: Connection,
    job: GenerateJob,
    clip: Clip,
    output: Output,
    content_type: str,
    **columns: Any,
) -> str:
    extension = sniff.extension(content_type)
    if not sniff.is_known(content_type):
        suffix = PurePosixPath(output.name or "").suffix.removeprefix(".")
        extension = suffix.lower() if _EXTENSION.fullmatch(suffix) else extension
    return assets.insert_asset(
        conn,
        user_id=job.user_id,
        project_id=job.project_id,
        scene_id=job.scene_id,
        job_id=job.id,
        role="clip",
        kind=sniff.kind(content_type),
        filename=names.safe_filename(_title(clip.prompt), extension=extension),
        content_type=content_type,
        source_expires_at=output.expires_at,
        prompt=clip.prompt,
        **columns,
    )


async def store(
    work: Work, claim: Claim, clip_id: str, inline: Mapping[str, str], told: Told
) -> list[Asset]:
    """Store what a clip's prediction made; the assets, each in the state that it came to.

    What was tried before stays as it is: the loop tries it again. `inline` are the `data:` URIs
    that are at hand. Raises StorageFull when not even a failure can be written down.
    """
    rows = await work.database.read(outputs.of_clip, clip_id)
    meter = _Meter(rows, told)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(row: Asset) -> None:
        async with places:
            report = meter.of(row.id)
            await save(work, claim, row.id, quiet=QUIET, report=report, source=inline.get(row.id))

    waiting = [one(row) for row in rows if row.storage_state == "pending"]
    # Each to its end, whatever becomes of the others.
    for ended in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
    return await work.database.read(outputs.of_clip, clip_id)


class _Meter:
    """How far several files are, as one."""

    def __init__(self, rows: Sequence[Asset], told: Told) -> None:
        stored = {row.id: row.size or 0 for row in rows if row.storage_state == "stored"}
        self._done: dict[str, int] = stored
        self._total: dict[str, int | None] = dict(stored)
        self._count = len(rows)
        self._told = told

    def of(self, asset_id: str) -> Callable[[int, int | None], None]:
        """What is to be called as one of them goes on."""

        def report(done: int, total: int | None) -> None:
            self._done[asset_id], self._total[asset_id] = done, total
            sizes = [size for size in self._total.values() if size is not None]
            whole = sum(sizes) if len(sizes) == self._count else None
            shares = (
                min(1.0, self._done[name] / size) for name, size in self._total.items() if size
            )
            self._told(sum(self._done.values()), whole, sum(shares) / self._count)

        return report


def _title(prompt: str) -> str:
    """The beginning of a prompt, as the name of a file."""
    words = " ".join(prompt.split())
    return words if len(words) <= 60 else words[:60].rpartition(" ")[0] or words[:60]
