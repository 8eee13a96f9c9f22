"""Taking bytes in: from a finished blob to an asset that can be served."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from server.blobs.store import BlobStore, Sealed
from server.catalog import assets, names
from server.catalog.records import Asset, AssetChanges, Role
from server.db import on_commit
from server.media import Inspection, sniff

HEAD = 8192


@dataclass
class Incoming:
    """Bytes that have come in and belong to nothing yet.

    `published` once a transaction that gave them to an asset has committed.
    """

    blob_id: int
    sealed: Sealed
    head: bytes
    published: bool = False

    def publishing(self, conn: Connection) -> None:
        """Say that this transaction publishes the blob."""

        def mark() -> None:
            self.published = True

        on_commit(conn, mark)

    @property
    def content_type(self) -> str:
        """What the bytes are, whatever the sender said."""
        return sniff.content_type(self.head)


@dataclass
class _Head:
    data: bytearray = field(default_factory=bytearray)

    async def watch(self, stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for piece in stream:
            if len(self.data) < HEAD:
                self.data += piece[: HEAD - len(self.data)]
            yield piece


@asynccontextmanager
async def receive(store: BlobStore, stream: AsyncIterable[bytes]) -> AsyncIterator[Incoming]:
    """Write a stream into a blob and hand it over; what nobody publishes is discarded."""
    blob_id = await store.create()
    incoming: Incoming | None = None
    try:
        head = _Head()
        await store.append(blob_id, 0, head.watch(stream))
        incoming = Incoming(blob_id, await store.seal(blob_id), bytes(head.data))
        yield incoming
    finally:
        # A transaction whose caller was cancelled may commit still: this one comes after it, and
        # leaves a published blob alone.
        if incoming is None or not incoming.published:
            await store.discard(blob_id)


def take_in(
    conn: Connection,
    incoming: Incoming,
    *,
    user_id: str,
    project_id: str,
    scene_id: str | None,
    role: Role,
    filename: str,
    now: datetime,
    **columns: Any,
) -> str:
    """A new asset with these bytes; its id. One transaction makes both visible."""
    content_type = incoming.content_type
    kind = sniff.kind(content_type)
    asset_id = assets.insert_asset(
        conn,
        user_id=user_id,
        project_id=project_id,
        scene_id=scene_id,
        role=role,
        kind=kind,
        filename=names.safe_filename(filename, extension=extension(content_type)),
        content_type=content_type,
        now=now,
        blob=(incoming.blob_id, incoming.sealed),
        **{"processing_state": "done" if kind == "other" else "waiting", **columns},
    )
    incoming.publishing(conn)
    return asset_id


def fill(
    conn: Connection,
    row: Asset,
    incoming: Incoming,
    *,
    now: datetime,
    filename: str | None = None,
    found: Inspection | None = None,
) -> None:
    """Give an asset that waits for its bytes these, and a name that fits what they are.

    `filename` is another name for it, from anywhere; without one it keeps its own, with the
    extension of what has come. `found` is what an inspection of these bytes has found: without
    it they are inspected later.
    """
    content_type = incoming.content_type
    kind = sniff.kind(content_type)
    wanted = extension(content_type)
    if filename is None:
        stem = row.filename.rpartition(".")[0] or row.filename
        same = content_type == row.content_type
        filename = row.filename if same else f"{stem}.{wanted or 'bin'}"
    name = names.safe_filename(filename, extension=wanted)
    # Numbered already, as another one has the plain name: it is not to count further.
    name = row.filename if names.is_numbered(row.filename, name) else name
    assets.attach_blob(
        conn,
        row,
        (incoming.blob_id, incoming.sealed),
        filename=name,
        kind=kind,
        now=now,
        content_type=content_type,
        facts=facts(found)
        if found is not None
        else {"processing_state": "done" if kind == "other" else "waiting"},
    )
    incoming.publishing(conn)


def facts(found: Inspection) -> AssetChanges:
    """The columns of an asset that was inspected."""
    return {
        "width": found.width,
        "height": found.height,
        "duration": found.duration,
        "codecs": found.codecs,
        "fps": found.fps,
        "processing_state": "done",
    }


@asynccontextmanager
async def poster(store: BlobStore, found: Inspection) -> AsyncIterator[Incoming | None]:
    """The poster that an inspection has made, in a blob; None where there is no picture."""
    if found.poster is None:
        yield None
        return
    async with receive(store, whole(found.poster)) as incoming:
        yield incoming


def add_poster(conn: Connection, row: Asset, incoming: Incoming, *, now: datetime) -> str:
    """Give an asset its poster; the poster's id."""
    return take_in(
        conn,
        incoming,
        user_id=row.user_id,
        project_id=row.project_id,
        scene_id=row.scene_id,
        role="poster",
        filename=f"{row.filename.rpartition('.')[0]}-poster",
        now=now,
        poster_of=row.id,
        processing_state="done",
    )


async def whole(data: bytes) -> AsyncIterator[bytes]:
    """Bytes that are in memory already, as a stream."""
    yield data


def extension(content_type: str) -> str | None:
    """The extension that a file name must have; None where it may be anything."""
    if content_type == "application/octet-stream":
        return None
    return sniff.extension(content_type)
