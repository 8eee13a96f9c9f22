"""A BlobStore of chunk rows in the SQLite file.

A chunk's rowid is computed from the blob's number and the chunk's place, so a read at the end of
a 10 GB video costs what one at its start costs: no index, no overflow chain to walk (one BLOB of
192 MiB made SQLite read 49,186 pages to reach its end; a chunk row takes a handful).
"""

import asyncio
import hashlib
import os
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, Table, delete, insert

from server.blobs import rows
from server.blobs.store import Sealed
from server.blobs.volume import Volume
from server.db import Database, metadata
from server.errors import Conflict, NotFound

CHUNK = 1024 * 1024
# A blob's chunks have the rowids [number << CHUNK_BITS, (number + 1) << CHUNK_BITS): 16 TiB each.
CHUNK_BITS = 24
# Committed at once: 1 to 4 MiB keep other writers waiting least on a slow volume.
COMMIT = 4 * CHUNK
# Handed to a socket at once. A slow reader holds some two of these in memory.
PIECE = 128 * 1024
# The same, for a reader that has taken STEADY bytes and never let us wait longer than PROMPT
# (seconds) for the next piece: a large piece costs a third of the processor time of small ones.
# Socket buffers swallow some MiB at once on behalf of slow readers too: STEADY is beyond that.
# Readers at one time share it, down to PIECE each: it bounds a turn of the event loop, in which
# each of them may get a piece while everybody else waits.
LARGE = 512 * 1024
STEADY = 16 * 1024 * 1024
PROMPT = 0.02
# Readers learn in blocks of this size which parts of a chunk lie in memory.
BLOCK = 64 * 1024
READ_THREADS = 4
# A read on the event loop that takes longer than this was not in memory after all.
COLD = 0.004
# The time that one step of a deletion may hold the writer.
STEP = 0.03

chunk = Table(
    "chunk",
    metadata,
    # An INTEGER PRIMARY KEY is the rowid, which incremental BLOB reads need.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


class SqliteBlobs:
    """Chunk rows: written through the one writer, read by threads of their own."""

    def __init__(self, database: Database, volume: Volume, *, writer: str) -> None:
        """`writer` names the lock file that this process holds while it may write."""
        self._db = database
        self._volume = volume
        self._writer = writer
        self._hashes: dict[int, tuple[int, Any]] = {}
        self._reader = _Reader(database.path)

    def close(self) -> None:
        """Stop the reader threads and close what they hold open."""
        self._reader.close()

    async def create(self, *, expires_at: datetime | None = None) -> int:
        """See BlobStore."""
        # Nothing is acknowledged by it: no need to wait for the disk.
        return await self._db.write_pending(rows.create, self._writer, expires_at)

    async def append(
        self,
        blob_id: int,
        offset: int,
        stream: AsyncIterable[bytes],
        *,
        check: Callable[[Connection], None] | None = None,
    ) -> int:
        """See BlobStore."""
        size, expires_at = await self._open(blob_id)
        if size != offset:
            raise Conflict(f"The next byte wanted is {size}, not {offset}.", code="wrong_offset")
        digest = await self._digest(blob_id, size)
        # A last chunk that is not full is written again, longer.
        buffer = bytearray()
        begin = size - size % CHUNK
        async for piece in self.read(blob_id, begin, size):
            buffer += piece
        fresh = len(buffer)

        async def flush() -> None:
            nonlocal begin, digest, fresh, size
            self._volume.check(len(buffer))
            data = bytes(buffer)
            # Only what is new is hashed; both run at once, and neither on the event loop. A copy
            # goes ahead: when the bytes cannot be written, the hash must not have them either.
            ahead = digest.copy()
            await asyncio.gather(
                asyncio.to_thread(ahead.update, memoryview(data)[fresh:]),
                self._db.write_pending(_insert, blob_id, begin, data, check),
            )
            digest = ahead
            size = begin + len(data)
            self._hashes[blob_id] = (size, digest)
            keep = len(data) % CHUNK
            begin = size - keep
            buffer[:] = data[len(data) - keep :]
            fresh = keep

        try:
            async for piece in stream:
                view = memoryview(piece)
                while view:
                    room = COMMIT - len(buffer)
                    buffer += view[:room]
                    view = view[room:]
                    if len(buffer) == COMMIT:
                        await flush()
        except Exception:
            # A blob that can be gone on with keeps what came; any other is discarded anyway.
            if expires_at is not None and len(buffer) > fresh:
                await flush()
            raise
        if len(buffer) > fresh:
            await flush()
        return size

    async def seal(self, blob_id: int) -> Sealed:
        """See BlobStore."""
        size, _ = await self._open(blob_id)
        digest = await self._digest(blob_id, size)
        self._hashes.pop(blob_id, None)
        return Sealed(size=size, sha256=digest.hexdigest())

    async def discard(self, blob_id: int) -> None:
        """See BlobStore."""
        self._hashes.pop(blob_id, None)
        await self._db.write_pending(rows.discard, blob_id)

    def read(self, blob_id: int, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """See BlobStore."""
        return self._reader.read(blob_id, start, stop)

    async def delete(self, blob_ids: Sequence[int]) -> None:
        """See BlobStore."""
        for blob_id in blob_ids:
            self._hashes.pop(blob_id, None)
        done = 0
        while done < len(blob_ids):
            done += await self._db.write_with_reserve(_delete_some, blob_ids[done:])
            await self._db.clock.sleep(STEP)  # let others write in between

    async def presign(self, blob_id: int) -> str | None:
        """See BlobStore: SQLite has no URL of its own."""
        return None

    async def _open(self, blob_id: int) -> tuple[int, datetime | None]:
        found = await self._db.read(rows.get_open, blob_id)
        if found is None:
            raise NotFound("There is no unfinished upload of that name.")
        return found

    async def _digest(self, blob_id: int, size: int) -> Any:
        """The running SHA-256 of an open blob; read again when this process does not have it."""
        known, digest = self._hashes.get(blob_id, (0, None))
        if digest is None or known != size:
            digest = hashlib.sha256()
            async for piece in self.read(blob_id, 0, size):
                await asyncio.to_thread(digest.update, piece)
            self._hashes[blob_id] = (size, digest)
        return digest


def _insert(
    conn: Connection,
    blob_id: int,
    begin: int,
    data: bytes,
    check: Callable[[Connection], None] | None,
) -> None:
    if check is not None:
        check(conn)
    first = (blob_id << CHUNK_BITS) + begin // CHUNK
    view = memoryview(data)
    conn.execute(
        insert(chunk).prefix_with("OR REPLACE", dialect="sqlite"),
        [
            {"id": first + n, "data": view[at : at + CHUNK]}
            for n, at in enumerate(range(0, len(data), CHUNK))
        ],
    )
    if not rows.set_size(conn, blob_id, begin + len(data)):
        # Discarded by somebody else meanwhile: nobody would ever collect these chunks.
        raise NotFound("There is no unfinished upload of that name.")


def _delete_some(conn: Connection, blob_ids: Sequence[int]) -> int:
    """Delete chunks, of each blob from the end, for a short while; of how many none is left."""
    # Not the Clock: it is the disk that is measured.
    deadline = time.monotonic() + STEP
    done = 0
    while done < len(blob_ids) and time.monotonic() < deadline:
        low, high = blob_ids[done] << CHUNK_BITS, (blob_ids[done] + 1) << CHUNK_BITS
        last = conn.exec_driver_sql(
            "SELECT max(id) FROM chunk WHERE id >= ? AND id < ?", (low, high)
        ).scalar()
        if last is None:
            done += 1
        else:
            conn.execute(delete(chunk).where(chunk.c.id == last))
    rows.forget(conn, blob_ids[:done])
    return done


class _Reader:
    """Reads slices of chunks, in threads when they may be cold, on the event loop when warm.

    A thread hop costs more than a read from memory, and a read from a slow volume on the event
    loop stops everybody. So the blocks that were read lately are remembered, about as many as
    the page cache surely holds, and only those are read on the loop. When such a read turns out
    slow, all is taken for cold again, unless it had only waited for the processor. What is
    measured here is the machine: not by the Clock.
    """

    def __init__(self, path: Path) -> None:
        self._uri = f"file:{quote(str(path))}?mode=ro"
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="blob-reader")
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self._warm: dict[int, int] = {}
        self._warm_limit = max(16, memory // 4 // CHUNK)
        self._reading = 0

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    async def read(self, blob_id: int, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if start >= stop:
            return
        ahead: Future[bytes] | None = None
        at, most, prompt = start, PIECE, 0
        row, offset, size = _slice(blob_id, at, stop, most)
        self._reading += 1
        try:
            while True:
                if ahead is not None:
                    piece = await asyncio.wrap_future(ahead)
                    ahead = None
                elif self._is_warm(row, offset, size):
                    piece = self._read_here(row, offset, size)
                else:
                    piece = await asyncio.wrap_future(
                        self._threads.submit(self._read, row, offset, size)
                    )
                self._remember(row, offset, size)
                at += size
                if at >= stop:
                    yield piece
                    return
                prompt += size
                row, offset, size = _slice(blob_id, at, stop, most)
                if not self._is_warm(row, offset, size):
                    # Read ahead of the socket: the volume works while the network does.
                    ahead = self._threads.submit(self._read, row, offset, size)
                begun = time.perf_counter()
                yield piece
                if time.perf_counter() - begun > PROMPT:
                    prompt = 0
                if ahead is None:
                    # A socket that takes all at once and a read from memory never wait: without
                    # this nobody else would run until the end of the video.
                    await asyncio.sleep(0)
                most = max(PIECE, LARGE // self._reading) if prompt >= STEADY else PIECE
        finally:
            self._reading -= 1
            if ahead is not None:
                ahead.cancel()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._uri, uri=True, isolation_level=None, check_same_thread=False
            )
            # mmap would turn an I/O error into a signal that kills the process.
            connection.execute("PRAGMA mmap_size=0")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    def _read(self, row: int, offset: int, size: int) -> bytes:
        try:
            with self._connection().blobopen("chunk", "data", row, readonly=True) as blob:
                blob.seek(offset)
                piece = blob.read(size)
        except sqlite3.OperationalError as error:
            if "no such rowid" in str(error):
                raise LookupError("these bytes are not there (any more)") from None
            raise
        if len(piece) != size:
            raise LookupError("fewer bytes are there than were stored")
        return piece

    def _read_here(self, row: int, offset: int, size: int) -> bytes:
        begun, before = time.perf_counter(), _disk_reads()
        piece = self._read(row, offset, size)
        # A busy machine makes reads from memory slow too; threads would only make it busier.
        if time.perf_counter() - begun > COLD and _disk_reads() != before:
            self._warm.clear()
        return piece

    def _is_warm(self, row: int, offset: int, size: int) -> bool:
        wanted = _blocks(offset, size)
        return self._warm.get(row, 0) & wanted == wanted

    def _remember(self, row: int, offset: int, size: int) -> None:
        blocks = self._warm.pop(row, 0) | _blocks(offset, size)
        self._warm[row] = blocks
        if len(self._warm) > self._warm_limit:
            del self._warm[next(iter(self._warm))]


def _disk_reads() -> int:
    """How often this thread has read from a disk; always another number where none can tell."""
    if sys.platform != "linux":
        return time.perf_counter_ns()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_inblock


def _slice(blob_id: int, at: int, stop: int, most: int) -> tuple[int, int, int]:
    """The next piece of [at, stop): its chunk's rowid, the offset in it, the size.

    None spans two chunks.
    """
    size = min(most, CHUNK - at % CHUNK, stop - at)
    return (blob_id << CHUNK_BITS) + at // CHUNK, at % CHUNK, size


def _blocks(offset: int, size: int) -> int:
    """The blocks of a chunk that a slice touches, as bits."""
    first, last = offset // BLOCK, (offset + size - 1) // BLOCK
    return (1 << (last + 1)) - (1 << first)
