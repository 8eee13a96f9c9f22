"""Taking in bytes of a former installation, checked, and giving them their old names."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from server.blobs import chunks
from server.blobs.store import BlobStore, Sealed
from server.catalog import aliases, assets
from server.db import Database
from server.library import intake
from server.library.moving.owners import Owner

# Called with the bytes done by now and the bytes that are to be done.
Report = Callable[[int, int], None]


class Damaged(Exception):
    """What came is not what was to come; the text says how."""


@dataclass
class Skip:
    """What was not imported and why; `damaged`: it should have been."""

    what: str
    reason: str
    damaged: bool


@dataclass
class Tally:
    """Of one kind of things: how many came (or would), and how many were here already."""

    imported: int = 0
    bytes: int = 0
    present: int = 0


@dataclass
class Outcome:
    """What an import did, or would do."""

    dry_run: bool
    videos: Tally = field(default_factory=Tally)
    assets: Tally = field(default_factory=Tally)
    # Made for what came from a bucket.
    projects: int = 0
    scenes: int = 0
    # Those that are good, and those that came all the same.
    keys: int = 0
    keys_revoked: int = 0
    keys_expired: int = 0
    keys_present: int = 0
    owners: list[Owner] = field(default_factory=list)
    # Old ids that meant other bytes of the same owner before.
    replaced: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Bytes that are to be stored, and whether the volume takes them.
    needed: int = 0
    fits: bool = True

    @property
    def damaged(self) -> bool:
        """Whether something did not come that should have."""
        return any(one.damaged for one in self.skipped)

    def skip(self, what: str, reason: str, *, damaged: bool = True) -> None:
        """Note what is not imported."""
        self.skipped.append(Skip(what, reason, damaged))

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"damaged": self.damaged}


@dataclass
class Place:
    """Where imported bytes go."""

    database: Database
    blobs: BlobStore

    @asynccontextmanager
    async def copy(
        self, pieces: AsyncGenerator[bytes, None], size: int, report: Callable[[int], None]
    ) -> AsyncIterator[intake.Incoming]:
        """Bytes in a blob of their own that are, read again from there, what `pieces` gave.

        `report` is told how many have come. Raises Damaged, StorageFull and what `pieces` raises.
        """
        digest, done = hashlib.sha256(), 0

        async def watched() -> AsyncGenerator[bytes, None]:
            nonlocal done
            async for piece in pieces:
                await asyncio.to_thread(digest.update, piece)
                done += len(piece)
                report(done)
                yield piece

        async with (
            aclosing(pieces),
            aclosing(watched()) as stream,
            intake.receive(self.blobs, stream) as incoming,
        ):
            if done != size:
                raise Damaged(f"there are {done} bytes instead of {size}")
            sealed = Sealed(done, digest.hexdigest())
            if incoming.sealed != sealed:
                raise Damaged("what was written is not what was read (SHA-256)")
            path = self.database.path
            await asyncio.to_thread(_read_again, path, incoming.blob_id, sealed)
            yield incoming


def _read_again(path: Path, blob_id: int, sealed: Sealed) -> None:
    with closing(chunks.connect(path)) as connection:
        try:
            for _ in chunks.read(connection, blob_id, sealed.size, sealed.sha256):
                pass
        except chunks.Damaged as error:
            raise Damaged(f"what was written cannot be read again: {error}") from None


def here(conn: Connection, kind: str, name: str, size: int) -> list[str]:
    """The SHA-256 of each asset that imports have brought, trash included, of this name and size.

    Two installations may both have had a video 7: the bytes tell them apart.
    """
    found = {
        row.id: row.sha256
        for row in aliases.meanings(conn, kind, name)
        if row.source != aliases.MOVED and row.size == size and row.sha256 is not None
    }
    return list(found.values())


def means_another(conn: Connection, user_id: str, kind: str, name: str) -> bool:
    """Whether an old name means something of this user's already."""
    return any(row.user_id == user_id for row in aliases.meanings(conn, kind, name))


def name(
    conn: Connection, *, kind: str, source: str, name: str, asset_id: str, now: datetime
) -> None:
    """Have an asset keep an old name, beside whatever else had it."""
    row = assets.get(conn, asset_id, trashed=True)
    assert row is not None
    numbered, number = source, 1
    while aliases.known(conn, row.user_id, kind, numbered, name) is not None:
        number += 1
        numbered = f"{source} {number}"
    aliases.add(
        conn,
        user_id=row.user_id,
        kind=kind,
        source=numbered,
        name=name,
        asset_id=asset_id,
        now=now,
    )
