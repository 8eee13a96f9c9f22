"""Reading whole blobs from front to back, without an event loop: for commands.

A statement ends with each piece, so that a long read never keeps the log from being brought in.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from server.blobs.sqlite import CHUNK, CHUNK_BITS

# Waited out by SQLite itself; then they are somebody else's doing, and no damage.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Damaged(Exception):
    """A blob is not what was stored; the text says how."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that only reads, beside a server that writes."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=15
    )
    # mmap would turn an I/O error into a signal that kills the process.
    connection.execute("PRAGMA mmap_size=0")
    return connection


def is_sealed(connection: sqlite3.Connection, blob_id: int) -> bool:
    """Whether a blob is still there: one that was collected meanwhile is not damaged."""
    query = "SELECT 1 FROM blob WHERE id = ? AND state = 'sealed'"
    return bool(connection.execute(query, (blob_id,)).fetchall())


def read(connection: sqlite3.Connection, blob_id: int, size: int, sha256: str) -> Iterator[bytes]:
    """A blob's bytes, a chunk at a time.

    Raises Damaged as soon as a chunk is not as it must be, at the end when the hash is not.
    """
    digest = hashlib.sha256()
    for at in range(0, size, CHUNK):
        piece = _chunk(connection, (blob_id << CHUNK_BITS) + at // CHUNK)
        if piece is None:
            raise Damaged(f"the bytes from {at} on are missing")
        if not isinstance(piece, bytes) or len(piece) != min(CHUNK, size - at):
            raise Damaged(f"some of the bytes from {at} on are missing")
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise Damaged("its bytes are not the ones that were stored (SHA-256)")


def _chunk(connection: sqlite3.Connection, row: int) -> object:
    try:
        found = connection.execute("SELECT data FROM chunk WHERE id = ?", (row,)).fetchall()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) in _BUSY:
            raise
        raise Damaged(f"the database cannot read it: {error}") from None
    return found[0][0] if found else None


class Pace:
    """Keeps a long read to a number of bytes a second, so that it disturbs nobody.

    For threads, where real bytes are read: the Clock waits on the event loop alone.
    """

    def __init__(self, rate: float | None) -> None:
        """`rate` in bytes a second; None: as fast as it goes."""
        self._rate = rate
        self._due = 0.0

    def spent(self, size: int) -> None:
        """Sleep for as long as `size` bytes may take."""
        if self._rate is None:
            return
        now = time.monotonic()
        # What was lost by waiting for something else is not made up for.
        self._due = max(self._due, now) + size / self._rate
        if self._due - now > 0.02:
            time.sleep(self._due - now)
