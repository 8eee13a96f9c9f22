"""Bytes become an asset, or are given back; nothing is written or told that need not be."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from server.blobs import rows as blob_rows
from server.blobs.sqlite import SqliteBlobs
from server.blobs.store import Sealed
from server.blobs.volume import Volume
from server.catalog import aliases, assets, events, projects, tables
from server.db import Database
from server.library import intake
from server.migrate import migrate
from tests import rows
from tests.rows import NOW
from tests.unit.clock import FakeClock

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
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

    async def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        """A write about the user."""
        return await self.database.about(self.user_id).write(fn, *args)

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
        await store.write(store.keep, incoming)
        version = store.database.changes.version()
    assert store.database.changes.version() == version
    assert await store.states() == ["sealed"]


async def test_equal_bytes_end_without_another_commit_too(store: Store) -> None:
    """The second copy is given up in the transaction that found the first."""
    for _ in range(2):
        async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
            await store.write(store.keep, incoming)
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
            await store.write(fail, incoming)
    assert await store.states() == ["dead"]


async def test_a_commit_that_fails_gives_the_bytes_back(store: Store) -> None:
    """On a full disk it is the COMMIT that fails, after all statements have succeeded."""

    def fail(conn: Connection, incoming: intake.Incoming) -> None:
        store.keep(conn, incoming)
        conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        conn.execute(insert(tables.scene_asset).values(scene_id="sc_0", slot="media", asset_id="x"))

    async with intake.receive(store.blobs, intake.whole(TEXT)) as incoming:
        with pytest.raises(IntegrityError):
            await store.write(fail, incoming)
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
            await store.write(hold, incoming)

    task = asyncio.create_task(take())
    await begun.wait()
    task.cancel()
    loop.call_soon(go_on.set)  # once the caller has heard of it, and waits to discard
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.states() == ["sealed" if commits else "dead"]


def told(conn: Connection, user_id: str, since: int) -> list[Mapping[str, Any]]:
    """The events of a user after one."""
    return [one.data for one in events.after(conn, user_id, since, 100) or []]


def incoming(conn: Connection, head: bytes = PNG) -> intake.Incoming:
    """Bytes that have come in."""
    number = blob_rows.create(conn, "writer", None)
    return intake.Incoming(number, Sealed(len(head), f"sha256 of blob {number}"), head)


@pytest.mark.parametrize(
    ("head", "kind", "processing"),
    [(PNG, "image", "waiting"), (TEXT, "other", "done")],
    ids=["media", "other"],
)
def test_a_new_asset_is_one_event_with_its_final_state(
    conn: Connection, head: bytes, kind: str, processing: str
) -> None:
    """A follower that first hears of a pending asset draws it twice, and asks twice."""
    who = rows.principal(conn)
    since = events.newest(conn, who.user_id)
    asset_id = intake.take_in(
        conn,
        incoming(conn, head),
        user_id=who.user_id,
        project_id=projects.default_project(conn, who.user_id),
        scene_id=None,
        role="upload",
        filename="a",
        now=NOW,
        visibility="public",
    )
    (event,) = told(conn, who.user_id, since)
    assert (event["id"], event["storage_state"], event["size"]) == (asset_id, "stored", len(head))
    assert (event["kind"], event["processing_state"]) == (kind, processing)
    assert event["visibility"] == "public"
    stored = assets.get(conn, asset_id)
    assert stored is not None
    assert (stored.stored_at, stored.storage_error, stored.visibility) == (NOW, None, "public")


@pytest.mark.parametrize("scene", [False, True], ids=["in a project", "in a scene"])
@pytest.mark.parametrize("name", [None, "a title", "b.png"], ids=["kept", "title", "name"])
def test_bytes_that_come_later_are_one_event(
    conn: Connection, name: str | None, scene: bool
) -> None:
    """Its name, its kind and its bytes change at once; its old key goes on meaning it."""
    who = rows.principal(conn)
    project_id = projects.default_project(conn, who.user_id)
    scene_id = projects.create_scene(conn, project_id, "s", status="draft", now=NOW)
    asset_id = assets.insert_asset(
        conn,
        user_id=who.user_id,
        project_id=project_id,
        scene_id=scene_id if scene else None,
        role="download",
        kind="video",
        filename="a.mp4",
        content_type="video/mp4",
        now=NOW,
    )
    before = assets.get(conn, asset_id)
    assert before is not None
    since = events.newest(conn, who.user_id)
    intake.fill(conn, before, incoming(conn), now=NOW, filename=name)
    (event,) = told(conn, who.user_id, since)
    assert (event["storage_state"], event["kind"]) == ("stored", "image")
    assert event["filename"] == {None: "a.png", "a title": "a title.png", "b.png": "b.png"}[name]
    filled = assets.get(conn, asset_id)
    assert filled is not None
    assert filled.storage_key != before.storage_key
    asker = aliases.Asker(who.user_id)
    for key in (before.storage_key, filled.storage_key):
        assert assets.id_of_key(conn, key, asker) == asset_id


def test_bytes_that_fit_the_guess_are_one_event(conn: Connection) -> None:
    """Nothing is renamed then: there is no old key."""
    who = rows.principal(conn)
    asset_id = rows.asset(conn, who.user_id, size=None)
    before = assets.get(conn, asset_id)
    assert before is not None
    since = events.newest(conn, who.user_id)
    intake.fill(conn, before, incoming(conn), now=NOW, filename=before.filename)
    assert len(told(conn, who.user_id, since)) == 1


def test_bytes_come_into_the_trash_unseen(conn: Connection) -> None:
    """What is in the trash is gone to a follower, also when its bytes arrive late."""
    who = rows.principal(conn)
    asset_id = rows.asset(conn, who.user_id, size=None)
    gone = update(tables.asset).where(tables.asset.c.id == asset_id)
    conn.execute(gone.values(deleted_at=NOW, purge_at=NOW + timedelta(days=1)))
    before = assets.get(conn, asset_id, trashed=True)
    assert before is not None
    since = events.newest(conn, who.user_id)
    intake.fill(conn, before, incoming(conn), now=NOW)
    assert told(conn, who.user_id, since) == [{"id": asset_id, "deleted": True}]


def test_a_change_of_several_things_is_one_event(conn: Connection) -> None:
    """A follower never sees an asset that is renamed already and public not yet."""
    who = rows.principal(conn)
    row = assets.get(conn, rows.asset(conn, who.user_id))
    assert row is not None
    since = events.newest(conn, who.user_id)
    place = {"project_id": row.project_id, "scene_id": None}
    assets.move(conn, row, **place, filename="b", now=NOW, changes={"visibility": "public"})
    (event,) = told(conn, who.user_id, since)
    assert (event["filename"], event["visibility"]) == ("b", "public")
    moved = assets.get(conn, row.id)
    assert moved is not None
    assets.move(conn, moved, **place, filename="b", now=NOW)
    assert len(told(conn, who.user_id, since)) == 1
