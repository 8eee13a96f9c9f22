"""Putting damaged bytes right: only ever with bytes whose size and SHA-256 are those recorded."""

from collections.abc import AsyncIterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from server.blobs import rows as blob_rows
from server.blobs.store import BlobStore, Sealed
from server.catalog import access
from server.catalog.tables import asset
from server.db import Database, is_about
from server.library import intake
from server.library.backup.manifest import Blob


def sources(conn: Connection, damaged: Blob, now: datetime) -> list[str]:
    """The URLs, still alive as far as is known, from which these bytes once came."""
    query = (
        select(asset.c.source_url)
        .where(asset.c.blob_id == damaged.id, asset.c.source_url.is_not(None))
        .where(asset.c.source_expires_at.is_(None) | (asset.c.source_expires_at > now))
        .distinct()
    )
    return [str(url) for url in conn.execute(query).scalars()]


async def put_right(
    database: Database, store: BlobStore, damaged: Blob, stream: AsyncIterable[bytes]
) -> bool:
    """Replace a damaged blob by these bytes, if they are the ones; whether they were.

    Raises StorageFull, and what reading `stream` raises; nothing is changed then.
    """
    async with intake.receive(store, stream) as incoming:
        if incoming.sealed != Sealed(damaged.size, damaged.sha256):
            return False
        more = True
        while more:
            about = database.about(*await database.read(_owners, damaged.id))
            more = await about.write(_replace, damaged.id, incoming)
        return True


def _owners(conn: Connection, blob_id: int) -> set[str]:
    """The users who have a blob: equal bytes are kept once."""
    query = select(asset.c.user_id).where(asset.c.blob_id == blob_id)
    return set(conn.execute(query).scalars())


def _replace(conn: Connection, damaged: int, incoming: intake.Incoming) -> bool:
    """Give the assets of one blob another: not `publish`, to which the two are twins.

    True when nothing was done, as somebody has it meanwhile whom the write does not name.
    """
    owners = _owners(conn, damaged)
    if not is_about(conn, owners):
        return True
    blob = blob_rows.blob
    there: Row[Any] | None = conn.execute(
        select(blob.c.id).where(blob.c.id == damaged, blob.c.state == "sealed")
    ).first()
    if there is None:
        return False  # deleted meanwhile: what was fetched is discarded
    whole, sealed = incoming.blob_id, incoming.sealed
    conn.execute(
        update(blob)
        .where(blob.c.id == whole)
        .values(state="sealed", size=sealed.size, sha256=sealed.sha256, expires_at=None)
    )
    conn.execute(update(asset).where(asset.c.blob_id == damaged).values(blob_id=whole))
    blob_rows.mark(conn, damaged, "dead")
    incoming.publishing(conn)
    access.bump(conn, *owners)
    return False
