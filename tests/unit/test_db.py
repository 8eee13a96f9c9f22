"""Reads end in time, or with who asked for them; whatever fails, the connection is usable."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from server.clock import SystemClock
from server.db import READERS, Database, _Stop, _StoppedError
from server.errors import TooSlow
from tests.database import new_database

pytestmark = pytest.mark.anyio

ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
)


class Slow:
    """A read that never ends by itself, and reports when its SQL is about to run."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()

    def __call__(self, conn: Connection) -> None:
        self.loop.call_soon_threadsafe(self.begun.set)
        # Another cursor with rows left: what is stopped may stand in the middle of several.
        outer = conn.execute(text("SELECT 1 UNION ALL SELECT 2"))
        assert outer.fetchone() is not None
        conn.execute(ENDLESS)


def one(conn: Connection) -> int:
    """A read that ends at once."""
    return int(conn.execute(text("SELECT 1")).scalar_one())


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An open database on a fresh file."""
    new_database(tmp_path / "reelbase.db")
    made = Database(tmp_path / "reelbase.db", SystemClock())
    await made.open()
    yield made
    await made.close()


async def _all_usable(database: Database) -> None:
    """Every reader answers, in a transaction of its own."""
    inside = threading.Barrier(READERS)

    def together(conn: Connection) -> int:
        inside.wait(30)
        return one(conn)

    reads = [database.read(together) for _ in range(READERS)]
    assert await asyncio.gather(*reads) == [1] * READERS


async def test_a_bounded_read_is_stopped_and_its_reader_goes_on(database: Database) -> None:
    """The SQL itself ends: closing the database would wait for it for ever."""
    for _ in range(2 * READERS):
        with pytest.raises(TooSlow) as caught:
            await database.bounded(0.01).read(Slow())
        assert (caught.value.status, caught.value.code) == (503, "too_slow")
        assert caught.value.headers["Retry-After"]
    await _all_usable(database)


async def test_a_canceled_read_is_stopped_also_without_a_bound(database: Database) -> None:
    """Nobody is there to be answered."""
    for _ in range(2 * READERS):
        slow = Slow()
        task = asyncio.create_task(database.read(slow))
        await slow.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await _all_usable(database)


async def test_a_read_between_two_statements_is_stopped_too(database: Database) -> None:
    """SQLite forgets an interrupt when nothing runs: it is given again."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def read(conn: Connection) -> None:
        one(conn)
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(30)
        conn.execute(ENDLESS)

    task = asyncio.create_task(database.read(read))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await _all_usable(database)


async def test_who_waits_for_a_reader_waits_no_longer_than_the_bound(database: Database) -> None:
    """And is not read for afterwards: the next in line is."""
    slow = [Slow() for _ in range(READERS)]
    holding = [asyncio.create_task(database.read(one)) for one in slow]
    for read in slow:
        await read.begun.wait()
    called = False

    def mark(conn: Connection) -> None:
        nonlocal called
        called = True

    with pytest.raises(TooSlow):
        await database.bounded(0.01).read(mark)
    for task in holding:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)
    await _all_usable(database)
    assert not called


async def test_searches_leave_readers_to_others(database: Database) -> None:
    """However many there are at once."""
    searches = database.bounded(30, at_once=READERS // 2)
    slow = [Slow() for _ in range(3 * READERS)]
    tasks = [asyncio.create_task(searches.read(read)) for read in slow]
    for read in slow[: READERS // 2]:
        await read.begun.wait()
    assert await database.read(one) == 1
    assert sum(read.begun.is_set() for read in slow) == READERS // 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _all_usable(database)
    assert await searches.read(one) == 1


async def test_reads_without_a_bound_and_writes_run_to_their_end(database: Database) -> None:
    """Backups, sweeps and moves are long; a write that is canceled is committed all the same."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(conn: Connection) -> int:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(30)
        return one(conn)

    bounded = database.bounded(0.0)
    reading = asyncio.create_task(database.read(wait))
    await begun.wait()
    with pytest.raises(TooSlow):
        await bounded.read(Slow())
    go_on.set()
    assert await reading == 1

    begun.clear()
    go_on.clear()

    def write(conn: Connection) -> None:
        wait(conn)
        conn.execute(text("INSERT INTO installation VALUES ('another')"))

    writing = asyncio.create_task(bounded.write(write))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    go_on.set()
    # The writer takes one after the other.
    known = text("SELECT count(*) FROM installation WHERE id = 'another'")
    assert await database.write(lambda conn: conn.execute(known).scalar_one()) == 1


async def test_stopping_never_reaches_what_comes_after() -> None:
    """Neither the end of the transaction nor the next read on the connection."""
    interrupted: list[str] = []

    class Watched(sqlite3.Connection):
        def interrupt(self) -> None:
            interrupted.append("it")

    connection = sqlite3.connect(":memory:", factory=Watched)
    stop = _Stop()
    with stop.watching(connection):
        stop.stop()
    assert interrupted == ["it"]
    stop.stop()
    assert interrupted == ["it"], "it has ended"
    late = _Stop()
    late.stop()
    with pytest.raises(_StoppedError), late.watching(connection):
        raise AssertionError("it was stopped before it began")
    assert interrupted == ["it"]
    connection.close()


async def test_a_commit_that_fails_is_undone(database: Database) -> None:
    """SQLite may leave it open: without a ROLLBACK every later write would fail until a restart."""

    def fail(conn: Connection) -> None:
        conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        conn.execute(text("INSERT INTO scene_asset VALUES ('sc_0', 'media', 'as_0')"))

    for _ in range(2):
        with pytest.raises(IntegrityError):
            await database.write(fail)
    assert await database.write(one) == 1
    rows = text("SELECT count(*) FROM scene_asset")
    assert await database.read(lambda conn: conn.execute(rows).scalar_one()) == 0
