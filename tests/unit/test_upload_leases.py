"""An upload that two machines go on with: one of them has it, whatever the other believes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.blobs.sqlite import COMMIT, SqliteBlobs
from server.blobs.volume import Volume
from server.catalog import leases, projects
from server.catalog.records import Upload
from server.db import Database
from server.library.claims import LEASE, Claims
from server.library.seats import UploadLocked
from server.library.uploads import Uploads
from tests import rows
from tests.database import new_database
from tests.unit.clock import FakeClock

pytestmark = pytest.mark.anyio

# What is written at once (COMMIT): a piece is in the database before the next one comes.
PIECE = bytes(range(256)) * (COMMIT // 256)
SIZE = 2 * len(PIECE)


@dataclass
class World:
    """Two machines on one database."""

    clock: FakeClock
    first: Uploads
    second: Uploads
    databases: tuple[Database, Database]
    user_id: str

    async def begin(self) -> Upload:
        project_id = await self.databases[0].read(projects.default_project, self.user_id)
        return await self.first.begin(
            user_id=self.user_id,
            project_id=project_id,
            scene_id=None,
            filename="a.bin",
            metadata="",
            length=SIZE,
        )

    async def offset(self, upload_id: str) -> int:
        return (await self.second._get(upload_id)).offset


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock()
    path = new_database(tmp_path / "reelbase.db")
    volume = Volume(tmp_path, min_free=0, reserve=0)
    databases = (Database(path, clock), Database(path, clock))
    stores, made = [], []
    for number, database in enumerate(databases):
        await database.open()
        stores.append(SqliteBlobs(database, volume, writer=f"writer-{number}"))
        claims = Claims(database, clock, f"machine-{number}")
        made.append(Uploads(database, stores[-1], volume, clock, claims, lifetime=86_400))
    user_id = await databases[0].write(lambda conn: rows.principal(conn).user_id)
    yield World(clock, made[0], made[1], databases, user_id)
    for database, store in zip(databases, stores, strict=True):
        await database.close()
        store.close()


async def _pieces(*gates: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """A piece once each gate is open."""
    for gate in gates:
        await gate.wait()
        yield PIECE


def _open() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def test_while_one_has_it_another_is_told_so(world: World) -> None:
    """Two appenders would write over each other."""
    upload = await world.begin()
    gate = asyncio.Event()
    sending = asyncio.create_task(world.first.append(upload.id, 0, _pieces(_open(), gate)))
    while not await world.offset(upload.id):
        await asyncio.sleep(0)
    with pytest.raises(UploadLocked, match="Another machine"):
        await world.second.append(upload.id, len(PIECE), _pieces(_open()))
    with pytest.raises(UploadLocked, match="Another machine"):
        await world.second.end(upload.id)
    gate.set()
    assert (await sending).asset_id is not None
    assert not await world.databases[0].read(leases.claimed)


async def test_who_was_frozen_past_its_lease_adds_nothing(world: World) -> None:
    """It wakes in the middle of a piece that somebody else has sent meanwhile."""
    upload = await world.begin()
    gate = asyncio.Event()
    frozen = asyncio.create_task(world.first.append(upload.id, 0, _pieces(_open(), gate)))
    while not await world.offset(upload.id):
        await asyncio.sleep(0)
    await world.clock.advance(LEASE + 1)
    whole = await world.second.append(upload.id, len(PIECE), _pieces(_open()))
    assert whole.asset_id is not None
    gate.set()
    with pytest.raises(UploadLocked):
        await frozen
    assert (await world.second.claim(upload.id)).asset_id == whole.asset_id


async def test_between_requests_nobody_has_it(world: World) -> None:
    """A client goes on wherever it is sent to."""
    upload = await world.begin()
    await world.first.append(upload.id, 0, _pieces(_open()))
    assert await world.offset(upload.id) == len(PIECE)
    assert (await world.second.append(upload.id, len(PIECE), _pieces(_open()))).asset_id
    assert not await world.databases[0].read(leases.claimed)
