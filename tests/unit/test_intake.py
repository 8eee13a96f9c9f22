"""Bytes become an asset, or are given back; and nothing is written that need not be."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from server.blobs import rows as blob_rows
from server.blobs.sqlite import SqliteBlobs
from server.blobs.volume import Volume
from server.catalog import projects, tables
from server.db import Database
from server.library import intake
from server.migrate import migrate
from tests.unit import rows
from tests.unit.clock import FakeClock
from tests.unit.rows import NOW

pytestmark = pytest.mark.anyio

TEXT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nA fox.\n"


@dataclass
class Store:
    """A database and its blobs, with a user who takes bytes in."""

    database: Database
    blobs: SqliteBlobs
    user_id: str

    def keep(self, conn: Connection, incoming: intake.Incoming) -> str:
        """The bytes as an upload."""
        return intake.take_in(
            conn,
            incoming,
            user_id=self.user_id,
            project_id=projects.default_project(conn, self.user_id),
            scene_id=None,
            role="upload",
            filename="a.vtt",
            now=NOW,
        )

    async def states(self) -> list[str]:
        """The states of all blobs, by their numbers."""
        blob = blob_rows.blob
        query = select(blob.c.state).order_by(blob.c.id)
        return await self.database.read(lambda conn: list(conn.execute(query).scalars()))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    migrate(tmp_path / "reelbase.db")
    database = Database(tmp_path / "reelbase.db", FakeClock())
    blobs = SqliteBlobs(database, Volume(tmp_path, min_free=0, reserve=0), writer="writer")
    await database.open()
    user_id = await database.write(lambda conn: rows.principal(conn).user_id)
    yield Store(database, blobs, user_id)
    await database.close()
    blobs.close()


async def test_after_a_success_nothing_is_committed(store: Store) -> None:
    """Each upload and each file of a prediction once paid for a transaction that did nothing."""
    async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
        assert not incoming.published
        await store.database.write(store.keep, incoming)
        version = store.database.changes.version()
    assert store.database.changes.version() == version
    assert await store.states() == ["sealed"]


async def test_equal_bytes_end_without_another_commit_too(store: Store) -> None:
    """The second copy is given up in the transaction that found the first."""
    for _ in range(2):
        async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
            await store.database.write(store.keep, incoming)
            version = store.database.changes.version()
        assert store.database.changes.version() == version
    assert await store.states() == ["sealed", "dead"]


async def test_what_nobody_publishes_is_discarded(store: Store) -> None:
    """An asset may have been deleted meanwhile: then its bytes belong to nothing."""
    async with intake.receive(store.blobs, intake.whole(TEXT)):
        pass
    assert await store.states() == ["dead"]


async def test_a_transaction_that_fails_gives_the_bytes_back(store: Store) -> None:
    """That it had attached them says nothing: it was undone."""

    def fail(conn: Connection, incoming: intake.Incoming) -> None:
        store.keep(conn, incoming)
        raise RuntimeError("quota")

    with pytest.raises(RuntimeError):
        async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
            await store.database.write(fail, incoming)
    assert await store.states() == ["dead"]


async def test_a_commit_that_fails_gives_the_bytes_back(store: Store) -> None:
    """On a full disk it is the COMMIT that fails, after all statements have succeeded."""

    def fail(conn: Connection, incoming: intake.Incoming) -> None:
        store.keep(conn, incoming)
        conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        conn.execute(insert(tables.scene_asset).values(scene_id="sc_0", slot="media", asset_id="x"))

    async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
        with pytest.raises(IntegrityError):
            await store.database.write(fail, incoming)
        assert not incoming.published
    assert await store.states() == ["dead"]


@pytest.mark.parametrize("commits", [True, False])
async def test_a_caller_that_is_canceled_loses_nothing_and_leaves_nothing(
    store: Store, commits: bool
) -> None:
    """Its transaction runs to its end: what comes of the bytes is what came of that."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(conn: Connection, incoming: intake.Incoming) -> None:
        store.keep(conn, incoming)
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        if not commits:
            raise RuntimeError

    async def take() -> None:
        async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
            await store.database.write(hold, incoming)

    task = asyncio.create_task(take())
    await begun.wait()
    task.cancel()
    loop.call_soon(go_on.set)  # once the caller has heard of it, and waits to discard
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.states() == ["sealed" if commits else "dead"]
