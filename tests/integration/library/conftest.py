"""A small library whose server has stopped, to be backed up, damaged and looked at."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api import upload
from tests.inside import inside

SIZES = {"small.bin": 10, "one.bin": 1024 * 1024, "long.bin": 3_500_000, "other.bin": 2_000_000}


@dataclass
class Library:
    """A data folder, and what is in it."""

    folder: Path
    assets: dict[str, dict[str, Any]]

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database file, to be tampered with."""
        with closing(sqlite3.connect(self.folder / "reelbase.db", isolation_level=None)) as opened:
            yield opened

    def chunk(self, name: str, number: int = 0) -> int:
        """The row of a chunk of an asset's."""
        with self.database() as db:
            query = "SELECT blob_id FROM asset WHERE filename = ?"
            return int(db.execute(query, (name,)).fetchone()[0] << 24) + number

    def flip(self, name: str, number: int = 0) -> None:
        """Change a byte of what is stored."""
        with self.database() as db:
            db.execute(
                "UPDATE chunk SET data = CAST(substr(data, 1, 5) || x'00ff' || substr(data, 8) "
                "AS BLOB) WHERE id = ?",
                (self.chunk(name, number),),
            )

    def forget(self, name: str) -> None:
        """Remove an asset and its bytes, as the collector does."""
        with self.database() as db:
            first = self.chunk(name)
            db.execute("DELETE FROM asset WHERE filename = ?", (name,))
            db.execute("DELETE FROM blob WHERE id = ?", (first >> 24,))
            db.execute("DELETE FROM chunk WHERE id BETWEEN ? AND ?", (first, first + (1 << 24) - 1))

    def copy(self, folder: Path) -> "Library":
        """The same library in another folder."""
        shutil.copytree(self.folder, folder)
        return Library(folder, self.assets)

    def lies_at(self, target: Path, name: str) -> Path:
        """Where a folder of backups has the bytes of an asset."""
        sha256 = self.assets[name]["sha256"]
        return target / "blobs" / sha256[:2] / sha256


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every asset's bytes, as they lie in a data folder, by filename."""
    with closing(sqlite3.connect(folder / "reelbase.db")) as db:
        rows = db.execute("SELECT filename, blob_id FROM asset WHERE blob_id IS NOT NULL")
        return {
            name: hashlib.sha256(
                b"".join(
                    row[0]
                    for row in db.execute(
                        "SELECT data FROM chunk WHERE id >= ? AND id < ? ORDER BY id",
                        (blob_id << 24, (blob_id + 1) << 24),
                    )
                )
            ).hexdigest()
            for name, blob_id in rows.fetchall()
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library, made once."""
    folder = tmp_path_factory.mktemp("made") / "data"
    with inside(folder) as server, server.client() as client:
        assets = {name: upload(client, os.urandom(size), name) for name, size in SIZES.items()}
        server.stop()
    return Library(folder, assets)


@pytest.fixture
def library(made: Library, tmp_path: Path) -> Library:
    """A copy of it for one test."""
    return made.copy(tmp_path / "data")
