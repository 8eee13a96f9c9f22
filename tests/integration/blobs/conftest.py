"""A migrated database and a blob store on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.clock import SystemClock
from server.db import Database
from tests.database import new_database


class Store:
    """What a process has open."""

    def __init__(self, folder: Path, writer: str = "me") -> None:
        self.volume = Volume(folder, min_free=0, reserve=1024 * 1024)
        self.database = Database(folder / "reelbase.db", SystemClock(), on_full=self.volume.release)
        self.blobs = SqliteBlobs(self.database, self.volume, writer=writer)

    async def close(self) -> None:
        await self.database.close()
        self.blobs.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh file."""
    new_database(tmp_path / "reelbase.db")
    made = Store(tmp_path)
    await made.database.open()
    yield made
    await made.close()
