"""Whether the bytes are still those that were stored: blobs against their SHA-256."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from server.blobs import chunks
from server.errors import NotFound
from server.library.backup import rows
from server.library.backup.manifest import Blob, Loss
from server.migrate import check_known

_BLOBS = """
    SELECT id, sha256, size FROM blob
    WHERE state = 'sealed' AND EXISTS (SELECT 1 FROM asset WHERE asset.blob_id = blob.id)
"""
# Assets that say they are stored, of which nothing is.
_EMPTY = """
    SELECT asset.id, asset.filename, user.name AS owner, asset.sha256, asset.size
    FROM asset JOIN user ON user.id = asset.user_id LEFT JOIN blob ON blob.id = asset.blob_id
    WHERE asset.storage_state = 'stored' AND (blob.id IS NULL OR blob.state <> 'sealed')
    ORDER BY asset.id
"""

# Called with the bytes read by now and the bytes that are to be read.
Report = Callable[[int, int], None]


@dataclass
class Verified:
    """How much was looked at, and what is damaged; `blobs` are the numbers of those."""

    checked: int = 0
    checked_bytes: int = 0
    damaged: list[Loss] = field(default_factory=list)
    blobs: dict[str, Blob] = field(default_factory=dict)


def verify(
    database: Path,
    *,
    sample: int | None = None,
    rate: float | None = None,
    report: Report = lambda done, total: None,
) -> Verified:
    """Read every blob that an asset has, or `sample` of them by chance, and compare.

    `rate` bounds the bytes a second. Damaged bytes are told, never raised; raises NotFound
    without a database, SchemaError for one of a newer version.
    """
    if not database.exists():
        raise NotFound(f"There is no database at {database}.")
    pace = chunks.Pace(rate)
    with closing(chunks.connect(database)) as connection:
        check_known(rows.schema(connection), database)
        query = _BLOBS + (" ORDER BY id" if sample is None else " ORDER BY random() LIMIT ?")
        asked = () if sample is None else (sample,)
        wanted = [Blob(*row) for row in connection.execute(query, asked).fetchall()]
        total = sum(one.size for one in wanted)
        result = Verified()
        lost = []
        for one in wanted:
            reason = _check(connection, one, pace, lambda n: report(n, total), result)
            if reason is not None:
                lost.append((one, reason))
                result.blobs[one.sha256] = one
        result.damaged = rows.losses(connection, lost)
        if sample is None:
            result.damaged += _empty(connection)
        return result


def _check(
    connection: sqlite3.Connection,
    one: Blob,
    pace: chunks.Pace,
    report: Callable[[int], None],
    result: Verified,
) -> str | None:
    """What is wrong with a blob, if anything; one that was deleted meanwhile is not counted."""
    done = result.checked_bytes
    try:
        for piece in chunks.read(connection, one.id, one.size, one.sha256):
            done += len(piece)
            report(done)
            pace.spent(len(piece))
    except chunks.Damaged as error:
        if not chunks.is_sealed(connection, one.id):
            return None
        reason: str | None = str(error)
    else:
        reason = None
    result.checked += 1
    result.checked_bytes += one.size
    report(result.checked_bytes)
    return reason


def _empty(connection: sqlite3.Connection) -> list[Loss]:
    return [
        Loss(sha256 or "", size or 0, "there are no bytes of it", [{"id": asset_id, **names}])
        for asset_id, filename, owner, sha256, size in connection.execute(_EMPTY).fetchall()
        for names in [{"filename": filename, "owner": owner}]
    ]
