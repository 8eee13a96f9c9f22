"""The database and the bytes, for commands that write beside the server or without it."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from server.blobs.locks import LockFile
from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.clock import SystemClock
from server.commands.options import engine_of
from server.db import Database
from server.settings import Settings


@dataclass(frozen=True)
class Store:
    """What a data folder has."""

    database: Database
    blobs: SqliteBlobs
    volume: Volume


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """Open a data folder that a server has prepared. Raises SchemaError.

    A lock file says that we live: else a server that starts sweeps what we are writing.
    """
    os.umask(0o077)
    engine_of(settings).dispose()
    name = f"command-{os.getpid()}-{secrets.token_hex(4)}"
    volume = Volume(settings.data_dir, min_free=settings.min_free_bytes)
    database = Database(settings.database, SystemClock(), on_full=volume.release)
    async with AsyncExitStack() as stack:
        lock = stack.enter_context(LockFile(settings.data_dir / "locks" / name))
        stack.callback(lock.path.unlink, missing_ok=True)
        await database.open()
        blobs = SqliteBlobs(database, volume, writer=name)
        stack.callback(blobs.close)
        stack.push_async_callback(database.close)
        yield Store(database, blobs, volume)
