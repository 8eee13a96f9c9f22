"""Databases: empty ones of the present layout, and what is in one that is in use."""

import atexit
import contextlib
import functools
import secrets
import shutil
import sqlite3
import tempfile
from pathlib import Path

from server.migrate import migrate
from tests.running import Server


@functools.cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(folder / "reelbase.db")
    return folder / "reelbase.db"


def new_database(path: Path) -> Path:
    """A file as a first start makes it, if there is none yet: an installation of its own."""
    if not path.exists():
        shutil.copy(_template(), path)
        with contextlib.closing(sqlite3.connect(path)) as conn, conn:
            conn.execute("UPDATE installation SET id = ?", (secrets.token_hex(8),))
    return path


def count(server: Server, query: str) -> int:
    """A number out of the database file, read beside the server."""
    with contextlib.closing(
        sqlite3.connect(f"file:{server.folder}/reelbase.db?mode=ro", uri=True)
    ) as conn:
        number: int = conn.execute(query).fetchone()[0]
        return number
