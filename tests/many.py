"""Many assets at once, for what has to bear many."""

import sqlite3
from pathlib import Path

_CHANGED = {
    "id": "id || '-' || n",
    "storage_key": "storage_key || n",
    "filename": "n || '-' || filename",
    "created_at": "strftime('%Y-%m-%d %H:%M:%f000', created_at, '-' || n || ' minutes')",
}


def multiply(file: Path, asset_id: str, count: int) -> None:
    """Many assets with the bytes of one, straight into the rows; each has a moment of its own."""
    connection = sqlite3.connect(file, timeout=30)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(asset)")]
    chosen = ", ".join(_CHANGED.get(name, name) for name in columns)
    with connection:
        connection.execute(
            f"WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted "
            f"WHERE n < {count}) INSERT INTO asset SELECT {chosen} FROM asset, counted "
            "WHERE id = ?",
            (asset_id,),
        )
    connection.close()
