"""Rows without their bytes: copied from one SQLite file into another, whatever tables there are."""

import json
import os
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from server.catalog import sent
from server.library.backup.manifest import Blob, Loss

# Its rows are the bytes themselves.
BYTES = "chunk"
# A followers' number in `event` is never given to another one: see `settle`.
FAR = 1_000_000
# A moment in UTC, as SQLAlchemy writes it.
_MOMENT = "%Y-%m-%d %H:%M:%S.%f"

_OWNERS = """
    SELECT asset.id, asset.filename, user.name AS owner
    FROM asset JOIN user ON user.id = asset.user_id JOIN blob ON blob.id = asset.blob_id
    WHERE blob.sha256 = ? AND blob.state = 'sealed' ORDER BY asset.id
"""


def copy(source: Path, target: Path) -> None:
    """Copy the tables and all rows but the bytes, as of one moment, into an empty database.

    `source` may be written to meanwhile; its log is held for as long as copying takes. `target`
    may have a layout already (page size, auto-vacuum), and is synced.
    """
    connection = _connect(target)
    try:
        # What is cut off is thrown away anyway, so nothing needs a journal.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(f"ATTACH 'file:{quote(str(source))}?mode=ro' AS source")
        connection.execute("BEGIN")
        schema = connection.execute(
            "SELECT type, name, sql FROM source.sqlite_schema "
            "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        tables = [(name, sql) for kind, name, sql in schema if kind == "table"]
        for name, sql in tables:
            connection.execute(sql)
            if name != BYTES:
                connection.execute(f'INSERT INTO main."{name}" SELECT * FROM source."{name}"')  # noqa: S608
        # The numbers that are never used again; the table came with the first that counts so.
        counted = "SELECT 1 FROM source.sqlite_schema WHERE name = 'sqlite_sequence'"
        if connection.execute(counted).fetchone():
            connection.execute("DELETE FROM main.sqlite_sequence")
            connection.execute(
                "INSERT INTO main.sqlite_sequence SELECT * FROM source.sqlite_sequence"
            )
        for kind, _, sql in schema:
            if kind != "table":
                connection.execute(sql)
        connection.execute("COMMIT")
    finally:
        connection.close()
    sync(target)


def sync(path: Path) -> None:
    """Have a file on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def schema(connection: sqlite3.Connection) -> str | None:
    """The revision of the tables; None where there are none of ours."""
    known = "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'"
    if not connection.execute(known).fetchall():
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(found[0][0]) if found else None


def blobs(connection: sqlite3.Connection) -> dict[str, Blob]:
    """Every blob that is complete, by SHA-256."""
    query = "SELECT id, sha256, size FROM blob WHERE state = 'sealed' ORDER BY id"
    return {row[1]: Blob(*row) for row in connection.execute(query).fetchall()}


def losses(connection: sqlite3.Connection, lost: Iterable[tuple[Blob, str]]) -> list[Loss]:
    """What is lost with these blobs, each with why it is."""
    return [
        Loss(blob.sha256, blob.size, reason, owners(connection, blob.sha256))
        for blob, reason in lost
    ]


def owners(connection: sqlite3.Connection, sha256: str) -> list[dict[str, Any]]:
    """The assets that have these bytes."""
    cursor = connection.execute(_OWNERS, (sha256,))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def settle(path: Path, *, as_of: datetime, lost: Iterable[Blob]) -> None:
    """Have restored rows say what is so: about bytes, followers, and what may have been paid.

    `as_of` is when the backup was made, in UTC; `lost` are the blobs that could not be restored.
    The file is as a server wants it then, and synced.
    """
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        for blob in lost:
            connection.execute(
                "UPDATE asset SET blob_id = NULL, storage_state = 'expired', storage_error = "
                "json_object('type', 'lost', 'message', 'The bytes are not in the backup.', "
                "'at', ?) WHERE blob_id = ?",
                (as_of.isoformat(), blob.id),
            )
            connection.execute("UPDATE blob SET state = 'dead' WHERE id = ?", (blob.id,))
        # Half-written bytes are in no backup: what was being sent is to be sent anew.
        gone = "(SELECT id FROM blob WHERE state <> 'sealed')"
        for table, column in _referring(connection):
            connection.execute(f'DELETE FROM "{table}" WHERE "{column}" IN {gone}')  # noqa: S608
        connection.execute("DELETE FROM blob WHERE state <> 'sealed'")
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'upload'").fetchone():
            connection.execute("DELETE FROM upload WHERE blob_id IS NOT NULL")
        # Whoever follows changes has heard of some that are not in here: none of the numbers
        # that are to come may be one of those, and all are told to load anew.
        connection.execute("DELETE FROM event")
        connection.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'", (FAR,))
        if _has_column(connection, "user", "last_event"):  # a backup of before counted for all
            connection.execute("UPDATE user SET last_event = last_event + ?", (FAR,))
        _look_first(connection, as_of.strftime(_MOMENT))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
    sync(path)


def _look_first(connection: sqlite3.Connection, as_of: str) -> None:
    """Have clips that waited looked for at the provider before they are asked for.

    Each may have been asked for since the backup. As after a crash nothing is paid twice, and
    what cannot be told is left to the owner. `as_of` is as columns have it.
    """
    waiting = connection.execute(
        "SELECT id, prompt, input, duration, image_asset_id, last_frame_asset_id, from_previous "
        "FROM clip WHERE status = 'queued' AND prediction_id IS NULL AND submitting_at IS NULL "
        "AND job_id IN (SELECT id FROM job WHERE status IN ('queued', 'processing') "
        "AND provider <> 'sample')"
    ).fetchall()
    for clip_id, prompt, given, duration, image, last_frame, from_previous in waiting:
        assets = [one for one in (image, last_frame) if one]
        expected = sent.expected(
            prompt,
            json.loads(given),
            duration=duration,
            # The last frame of a clip that came later is an asset that is not in here.
            assets=None if from_previous and image is None else assets,
        )
        # What was sent before, in vain, is not what was sent since; nor are the tokens in it.
        connection.execute(
            "UPDATE clip SET status = 'submitting', submitting_at = ?, sent = ?, resends = 0 "
            "WHERE id = ?",
            (as_of, json.dumps(expected), clip_id),
        )
        connection.execute(
            "UPDATE token SET revoked_at = ? WHERE clip_id = ? AND revoked_at IS NULL",
            (as_of, clip_id),
        )


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    query = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    return connection.execute(query, (table, column)).fetchone() is not None


def _referring(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The tables and columns that refer to a blob."""
    query = (
        'SELECT m.name, f."from" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f '
        "WHERE m.type = 'table' AND f.\"table\" = 'blob'"
    )
    return [(str(table), str(column)) for table, column in connection.execute(query).fetchall()]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}", uri=True, isolation_level=None, timeout=15)
