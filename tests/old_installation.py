"""Builds SQLite files of the kind that the predecessor kept."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

MIB = 1024 * 1024
TABLES = """
    CREATE TABLE generated_videos(
        id INTEGER PRIMARY KEY, video_data BLOB, user_id TEXT, prompt TEXT, filename TEXT,
        model TEXT, created_at TEXT, resolution TEXT);
    CREATE TABLE assets(
        id TEXT PRIMARY KEY, blob_data BLOB, owner TEXT, name TEXT, url TEXT, created_at REAL);
    CREATE TABLE api_keys(user_id TEXT, key_hash TEXT, revoked INTEGER);
"""


def sha256(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@contextmanager
def old_database(path: Path, tables: str = TABLES) -> Iterator[sqlite3.Connection]:
    """A file with these tables, to be filled; closed as it should be afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        opened.execute("PRAGMA synchronous=OFF")
        opened.executescript(tables)
        yield opened


def add_large(connection: sqlite3.Connection, video_id: int, size: int) -> str:
    """A video of `size` bytes, written in pieces that all differ; its SHA-256."""
    connection.execute("BEGIN")
    connection.execute(
        "INSERT INTO generated_videos(id, video_data) VALUES (?, zeroblob(?))", (video_id, size)
    )
    piece, digest = bytearray(os.urandom(MIB)), hashlib.sha256()
    with connection.blobopen("generated_videos", "video_data", video_id) as blob:
        for at in range(0, size, MIB):
            piece[:8] = at.to_bytes(8)
            part = piece[: min(MIB, size - at)]
            blob.write(bytes(part))
            digest.update(part)
    connection.execute("COMMIT")
    return digest.hexdigest()


def files(folder: Path) -> dict[str, tuple[int, int, str]]:
    """All that there is to see of the files in a folder, by name."""
    return {
        one.name: (one.stat().st_size, one.stat().st_mtime_ns, sha256(one.read_bytes()))
        for one in folder.iterdir()
    }


@contextmanager
def in_use(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has written these to a file in WAL mode, and keeps it open.

    It is killed at the end, so that it leaves its WAL behind.
    """
    code = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("PRAGMA wal_autocheckpoint=0")
connection.executescript(sys.stdin.readline())
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("; ".join(statements) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()
