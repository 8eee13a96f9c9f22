"""Blobs in SQLite chunk rows: what the BlobStore protocol promises."""

import asyncio
import hashlib
import itertools
import os
import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.blobs import rows
from server.blobs.locks import LockFile
from server.blobs.sqlite import CHUNK, CHUNK_BITS, SqliteBlobs, chunk
from server.blobs.store import Sealed
from server.errors import Conflict, NotFound, StorageFull
from server.library.collect import collect, sweep_unfinished
from tests.integration.blobs.conftest import Store

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(blobs: SqliteBlobs, blob_id: int, start: int, stop: int) -> bytes:
    return b"".join([piece async for piece in blobs.read(blob_id, start, stop)])


async def published(store: Store, data: bytes) -> int:
    blob_id = await store.blobs.create()
    await store.blobs.append(blob_id, 0, stream([data]))
    sealed = await store.blobs.seal(blob_id)
    return await store.database.write(rows.publish, blob_id, sealed)


async def chunks(store: Store) -> int:
    return await store.database.read(
        lambda conn: conn.exec_driver_sql("SELECT count(*) FROM chunk").scalar_one()
    )


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9 * MIB + 17])
async def test_a_stream_of_any_pieces_comes_back_as_it_was(store: Store, size: int) -> None:
    """Sizes around chunk and commit borders, in pieces of every size."""
    data, chance = os.urandom(size), random.Random(size)
    pieces, at = [], 0
    while at < size:
        step = chance.choice([1, 1000, 65536, 3 * MIB])
        pieces.append(data[at : at + step])
        at += step
    blob_id = await store.blobs.create()
    assert await store.blobs.append(blob_id, 0, stream(pieces)) == size
    sealed = await store.blobs.seal(blob_id)
    assert sealed == Sealed(size, hashlib.sha256(data).hexdigest())
    assert await read(store.blobs, blob_id, 0, size) == data


async def test_any_range_is_read_exactly(store: Store) -> None:
    """Random ranges, cold and warm, across chunk borders."""
    data = os.urandom(5 * MIB + 321)
    blob_id = await published(store, data)
    chance = random.Random(1)
    for _ in range(200):
        start = chance.randrange(len(data))
        stop = min(len(data), start + chance.choice([1, 100, 65536, 2 * MIB]))
        assert await read(store.blobs, blob_id, start, stop) == data[start:stop]


async def test_writing_goes_on_where_it_stopped_even_in_another_process(store: Store) -> None:
    """Appending at odd offsets, by a store that has not seen the beginning: the hash is right."""
    data = os.urandom(3 * MIB + 5)
    blob_id = await store.blobs.create(expires_at=datetime.now(UTC) + timedelta(hours=1))
    await store.blobs.append(blob_id, 0, stream([data[:100]]))
    await store.blobs.append(blob_id, 100, stream([data[100 : MIB + 7]]))
    other = SqliteBlobs(store.database, store.volume, writer="another")
    await other.append(blob_id, MIB + 7, stream([data[MIB + 7 :]]))
    assert await other.seal(blob_id) == Sealed(len(data), hashlib.sha256(data).hexdigest())
    assert await read(other, blob_id, 0, len(data)) == data
    other.close()


async def test_a_stream_that_breaks_keeps_what_came_before(store: Store) -> None:
    """The error goes on to the caller; the size says where to go on."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise ConnectionError

    blob_id = await store.blobs.create(expires_at=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(ConnectionError):
        await store.blobs.append(blob_id, 0, broken())
    assert await store.blobs.append(blob_id, 1000, stream([b"y"])) == 1001


async def test_only_the_next_byte_may_be_written(store: Store) -> None:
    """A wrong offset, a sealed blob, an unknown one: clear errors."""
    blob_id = await store.blobs.create()
    with pytest.raises(Conflict, match="The next byte wanted is 0"):
        await store.blobs.append(blob_id, 5, stream([b"x"]))
    await store.database.write(rows.publish, blob_id, await store.blobs.seal(blob_id))
    with pytest.raises(NotFound):
        await store.blobs.append(blob_id, 0, stream([b"x"]))


async def test_a_range_beyond_2_gib_is_read_at_its_place(store: Store) -> None:
    """Offsets past 32 bits: the chunk is found by its number, whatever lies before it."""
    blob_id = await store.blobs.create()
    place = 5_000 * CHUNK
    await store.database.write(
        lambda conn: conn.execute(
            chunk.insert().values(id=(blob_id << CHUNK_BITS) + 5_000, data=b"far" * 100)
        )
    )
    assert await read(store.blobs, blob_id, place + 3, place + 9) == b"farfar"


async def test_equal_bytes_are_kept_once(store: Store) -> None:
    """Publishing a second copy answers with the first, and the copy's chunks are collected."""
    first, second = await published(store, b"same" * MIB), await published(store, b"same" * MIB)
    assert first == second
    assert await chunks(store) == 8
    assert await store.database.read(rows.dead) != []


async def test_what_is_deleted_is_given_back_while_others_write(store: Store) -> None:
    """Deleting 96 MiB lets other transactions in between, and the file shrinks."""
    blob_id = await published(store, os.urandom(96 * MIB))
    await store.database.write(rows.mark, blob_id, "dead")
    before = store.database.path.stat().st_size
    deleting = asyncio.create_task(
        collect(store.database, store.blobs, store.volume, datetime.now(UTC))
    )
    writes = 0
    while not deleting.done():
        await store.database.write(lambda conn: conn.exec_driver_sql("UPDATE blob SET size=size"))
        writes += 1
    await deleting
    assert writes > 5
    assert await chunks(store) == 0
    assert store.database.path.stat().st_size < before / 2
    with pytest.raises(LookupError):
        await read(store.blobs, blob_id, 0, 1)


async def test_many_small_blobs_go_in_few_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each its own step would be seconds for these: a step is a time, not a blob."""
    data = [os.urandom(10) for _ in range(150)]
    for one in data:
        await published(store, one)
    large = await published(store, os.urandom(9 * MIB))
    steps = 0
    write_pending = store.database.write_pending

    async def counted(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        return await write_pending(*args)

    monkeypatch.setattr(store.database, "write_pending", counted)
    assert await collect(store.database, store.blobs, store.volume, datetime.now(UTC)) == 151
    assert steps < 150
    assert await chunks(store) == 0
    assert await store.database.read(rows.dead) == []
    with pytest.raises(LookupError):
        await read(store.blobs, large, 0, 1)


async def test_bytes_for_an_upload_that_is_gone_go_when_their_time_is_over(store: Store) -> None:
    """Also of this very process, and not before; what is written to them then is refused."""
    now = datetime.now(UTC)
    lost = await store.blobs.create(expires_at=now - timedelta(seconds=1))
    kept = await store.blobs.create(expires_at=now + timedelta(hours=1))
    with LockFile(store.database.path.with_name("locks") / "me"):
        alive = await store.blobs.create()
        await collect(store.database, store.blobs, store.volume, datetime.now(UTC))
        for blob_id in (kept, alive):
            assert await store.blobs.append(blob_id, 0, stream([b"x"])) == 1
    with pytest.raises(NotFound):
        await store.blobs.append(lost, 0, stream([b"x"]))
    # Its process has ended, while the service runs on.
    await collect(store.database, store.blobs, store.volume, datetime.now(UTC))
    assert await store.database.read(rows.get_open, alive) is None
    assert await store.database.read(rows.get_open, kept) is not None


async def test_a_reader_holds_nothing_open_between_pieces(store: Store) -> None:
    """A slow reader in the middle of a video does not keep the log from starting over."""
    blob_id = await published(store, os.urandom(3 * MIB))
    reading = store.blobs.read(blob_id, 0, 3 * MIB)
    await anext(reading)
    await published(store, os.urandom(3 * MIB))
    async with asyncio.timeout(60):
        # Answers 1 when a reader was in the way.
        assert await store.database._writer.ask("wal_checkpoint(TRUNCATE)") == 0
    await reading.aclose()


async def test_half_written_blobs_of_the_dead_are_swept(store: Store, tmp_path: Path) -> None:
    """Those of living processes, and those that are to be gone on with, are left alone."""
    locks = tmp_path / "locks"
    alive = LockFile(locks / "alive")
    alive.acquire()
    (locks / "dead").touch()
    kept, lost = [], []
    for writer in ("alive", "dead", "unheard-of"):
        blobs = SqliteBlobs(store.database, store.volume, writer=writer)
        blob_id = await blobs.create()
        await blobs.append(blob_id, 0, stream([b"x" * MIB]))
        (kept if writer == "alive" else lost).append(blob_id)
        blobs.close()
    kept.append(await store.blobs.create(expires_at=datetime.now(UTC) + timedelta(hours=1)))
    assert await sweep_unfinished(store.database, locks, datetime.now(UTC), "me") == 2
    await collect(store.database, store.blobs, store.volume, datetime.now(UTC))
    assert await chunks(store) == 1
    for blob_id in kept:
        assert await store.database.read(rows.get_open, blob_id) is not None
    for blob_id in lost:
        assert await store.database.read(rows.get_open, blob_id) is None
    alive.release()


async def test_nothing_is_written_when_there_is_no_room(store: Store, tmp_path: Path) -> None:
    """The check comes before each piece: what was written before it stays."""
    blob_id = await store.blobs.create()
    store.volume.min_free = store.volume.space().free - 2 * MIB

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * MIB

    with pytest.raises(StorageFull):
        await store.blobs.append(blob_id, 0, endless())
    assert await chunks(store) <= 4
    await store.blobs.discard(blob_id)


async def test_a_cancelled_writer_does_not_tear_its_transaction(store: Store) -> None:
    """Cancelling in the middle of writes: the connection lives on, the rows are whole.

    Wherever it stands: before it takes a piece, and some turns of the loop after that.
    """
    for pieces, turns in itertools.product((0, 1, 3, 4, 5, 8), (0, 1, 2, 5)):
        taken = asyncio.Event()

        async def coming(
            pieces: int = pieces, taken: asyncio.Event = taken
        ) -> AsyncIterator[bytes]:
            for number in range(9):
                if number == pieces:
                    taken.set()
                yield b"x" * MIB

        blob_id = await store.blobs.create()
        task = asyncio.create_task(store.blobs.append(blob_id, 0, coming()))
        await taken.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    assert await published(store, b"still working") > 0


async def test_bytes_that_could_not_be_written_are_not_in_the_hash_either(store: Store) -> None:
    """The volume was full for a while; then the rest came, and the hash is that of the whole."""
    data = os.urandom(9 * MIB)
    blob_id = await store.blobs.create(expires_at=datetime.now(UTC) + timedelta(hours=1))
    # The second commit of the append fails, and the attempt to keep what came does, too.
    await store.database.write(
        lambda conn: conn.exec_driver_sql(
            "CREATE TRIGGER no_room BEFORE UPDATE OF size ON blob WHEN NEW.size > 4194304 "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    )
    with pytest.raises(Exception, match="no room"):
        await store.blobs.append(blob_id, 0, stream([data]))
    await store.database.write(lambda conn: conn.exec_driver_sql("DROP TRIGGER no_room"))
    await store.blobs.append(blob_id, 4 * MIB, stream([data[4 * MIB :]]))
    assert await store.blobs.seal(blob_id) == Sealed(len(data), hashlib.sha256(data).hexdigest())
