"""Giving space back: what dead processes left half-written, and blobs that nobody has."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from server.blobs import rows
from server.blobs.locks import is_alive
from server.blobs.store import BlobStore
from server.blobs.volume import Volume
from server.catalog import assets, uploads
from server.db import Database
from server.library import removal

# Pages that one step of the vacuum gives back: some 30 ms of the writer's time.
VACUUM_PAGES = 64
# Blobs that one transaction marks as dead.
BURY = 500


async def sweep_unfinished(database: Database, locks: Path, now: datetime, writer: str = "") -> int:
    """Discard open blobs whose writing process is dead; how many there were.

    `locks` is the folder of lock files, `writer` the one of this process.
    """
    unfinished = await database.read(rows.unfinished, now)
    lost = [
        number
        for number, owner in unfinished
        if owner != writer and not await asyncio.to_thread(is_alive, locks / owner)
    ]
    for number in lost:
        await database.write(rows.discard, number)
    return len(lost)


async def empty_trash(database: Database, now: datetime, keep: timedelta) -> None:
    """Delete what has expired (into the trash for `keep`) and take out what is deleted for good.

    User by user: a transaction is about one of them.
    """
    for user_id in await database.read(removal.users_due, now):
        about = database.about(user_id)
        await about.write(removal.expire, user_id, now=now, keep=keep)
        more = True
        while more:
            more = await about.write(removal.purge, user_id, now)
            await database.clock.sleep(0.01)  # let others write in between


async def collect(database: Database, store: BlobStore, volume: Volume, now: datetime) -> int:
    """Delete what nothing refers to and shrink the file, in small steps; blobs collected."""
    for user_id in await database.read(uploads.users_expired, now):
        await database.about(user_id).write(uploads.remove_expired, user_id, now)
    if await database.read(uploads.any_abandoned, now):
        await database.write(uploads.bury_abandoned, now)
    # What commands that were killed have left. Our own lock is held, too: what we write is safe.
    await sweep_unfinished(database, database.path.with_name("locks"), now)
    orphaned = await database.read(assets.orphaned_blobs)
    for first in range(0, len(orphaned), BURY):
        await database.write(assets.bury_blobs, orphaned[first : first + BURY])
        await database.clock.sleep(0.01)  # let others write in between
    dead = await database.read(rows.dead)
    await store.delete(dead)
    if free := await database.vacuum(0):
        before = free + 1
        # Stops when others free pages as fast as we cut them off: the next round goes on.
        while 0 < free < before:
            before, free = free, await database.vacuum(VACUUM_PAGES)
            await database.clock.sleep(0.03)
        await database.checkpoint()
    volume.keep()
    return len(dead)
