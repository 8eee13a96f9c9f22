"""Somebody else's file is read as it is at that moment, and nobody can tell afterwards."""

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.errors import Invalid
from server.library.moving import columns
from server.library.moving.source import Source, Unreadable
from tests.old_installation import files, in_use, old_database

DATA = os.urandom(3_000_000)
TABLE = "CREATE TABLE IF NOT EXISTS assets(id INTEGER PRIMARY KEY, blob_data BLOB)"
FIRST = f"INSERT INTO assets VALUES (1, x'{DATA[:100_000].hex()}')"
SECOND = f"INSERT INTO assets VALUES (2, x'{DATA[100_000:120_000].hex()}')"


def read(path: Path, table: str = "assets", column: str = "blob_data") -> dict[Any, bytes]:
    """Everything in a table, by id."""
    source = Source(path)
    there = source.tables()[table]
    return {
        one.id: b"".join(source.pieces(there, one, column))
        for one in source.entries(there, column)[0]
    }


BOTH = {1: DATA[:100_000], 2: DATA[100_000:120_000]}


def test_a_file_that_is_being_written_to_is_read_with_what_is_in_its_wal(tmp_path: Path) -> None:
    """`immutable=1` would not see it."""
    path = tmp_path / "scenes.db"
    with in_use(path, TABLE, FIRST, SECOND):
        before = files(tmp_path)
        assert read(path) == BOTH
        assert files(tmp_path).keys() == before.keys()
        for name in ("scenes.db", "scenes.db-wal"):
            assert files(tmp_path)[name] == before[name]


@pytest.mark.parametrize("gone", [(), ("-shm",)], ids=["killed", "copied without its -shm"])
def test_a_wal_that_nobody_has_open_is_read_and_left_as_it_is(
    tmp_path: Path, gone: tuple[str, ...]
) -> None:
    """`mode=ro` alone would make a `-shm` file, or write to the one that is there."""
    path = tmp_path / "scenes.db"
    with in_use(path, TABLE, FIRST, SECOND):
        pass
    for suffix in gone:
        Path(f"{path}{suffix}").unlink()
    before = files(tmp_path)
    assert "scenes.db-wal" in before
    assert read(path) == BOTH
    assert files(tmp_path) == before


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_nothing_is_left_beside_a_file_that_was_closed(tmp_path: Path, mode: str) -> None:
    """Also not in a folder that cannot be written to."""
    path = tmp_path / "scenes.db"
    with old_database(path, f"PRAGMA journal_mode={mode}; {TABLE}; {FIRST}; {SECOND};"):
        pass
    before = files(tmp_path)
    assert list(before) == ["scenes.db"]
    assert read(path) == BOTH
    assert files(tmp_path) == before


def test_a_row_is_read_again_when_somebody_begins_to_write(tmp_path: Path) -> None:
    """Nobody had the file open, so nothing kept it as it was."""
    path = tmp_path / "scenes.db"
    with old_database(path, f"PRAGMA journal_mode=WAL; {TABLE}; {FIRST}; {SECOND};"):
        pass
    source = Source(path)
    table = source.tables()["assets"]
    pieces = source.pieces(table, source.entries(table, "blob_data")[0][0], "blob_data")
    next(pieces)
    with in_use(path, "UPDATE assets SET blob_data = x'00' WHERE id = 1"):
        with pytest.raises(Exception, match="written to while it was read"):
            list(pieces)
        assert read(path)[1] == b"\0"


def test_tables_without_rowids_and_ids_that_are_text(tmp_path: Path) -> None:
    """SQLite has no incremental reads for the first."""
    path = tmp_path / "scenes.db"
    tables = """
        CREATE TABLE assets(id TEXT PRIMARY KEY, "blob_data" BLOB) WITHOUT ROWID;
        CREATE TABLE "Generated_Videos"(ID TEXT PRIMARY KEY, Video_Data BLOB, rowid INTEGER);
    """
    with old_database(path, tables) as db:
        db.execute("INSERT INTO assets VALUES ('a-b', ?)", (DATA,))
        db.execute("INSERT INTO generated_videos VALUES ('c', ?, 7), ('d', ?, 7)", (DATA, b"x"))
    assert read(path) == {"a-b": DATA}
    assert read(path, "generated_videos", "video_data") == {"c": DATA, "d": b"x"}


def test_damage_costs_only_the_rows_that_it_is_in(tmp_path: Path) -> None:
    """In the bytes of one row, and in the page that tells of some rows."""
    path = tmp_path / "scenes.db"
    with old_database(path, TABLE) as db:
        db.execute("BEGIN")
        for number in range(300):
            db.execute("INSERT INTO assets VALUES (?, ?)", (number, DATA[:30_000]))
        db.execute("COMMIT")
        size = db.execute("PRAGMA page_size").fetchone()[0]
    whole = path.read_bytes()
    pages = [whole[at : at + size] for at in range(0, len(whole), size)]
    leaves = [n for n, page in enumerate(pages) if page[0] == 13 and n > 0]
    # A page that begins with the number of the next one: the bytes of a row go on there.
    chained = next(n for n, page in enumerate(pages) if n and int.from_bytes(page[:4]) == n + 2)

    def damaged(page: int) -> tuple[Source, list[Any], str | None]:
        path.write_bytes(whole[: page * size] + b"\xff" * 8 + whole[page * size + 8 :])
        source = Source(path)
        return source, *source.entries(source.tables()["assets"], "blob_data")

    source, found, damage = damaged(chained)
    assert (len(found), damage) == (300, None)
    lost = 0
    for one in found:
        try:
            pieces = source.pieces(source.tables()["assets"], one, "blob_data")
            assert b"".join(pieces) == DATA[:30_000]
        except Unreadable:
            lost += 1
    assert lost == 1
    source, found, damage = damaged(leaves[len(leaves) // 2])
    assert damage is not None
    assert "malformed" in damage
    assert 250 < len(found) < 300
    assert {found[0].id, found[-1].id} == {0, 299}


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenes.db"
    path.write_bytes(b"<html>")
    with pytest.raises(Invalid, match="not a SQLite database"):
        Source(path)
    with pytest.raises(Invalid, match="No such file"):
        Source(tmp_path / "nothing")


def test_a_transaction_that_was_cut_off_is_not_cleaned_up_by_us(tmp_path: Path) -> None:
    """That would be writing."""
    path = tmp_path / "scenes.db"
    with old_database(path, f"{TABLE}; {FIRST};"):
        pass
    whole = path.read_bytes()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA cache_size=1")
    db.execute("PRAGMA cache_spill=1")
    db.execute("BEGIN")
    db.execute("UPDATE assets SET blob_data = zeroblob(100000)")
    db.execute("INSERT INTO assets VALUES (2, zeroblob(3000000))")
    journal, half = Path(f"{path}-journal").read_bytes(), path.read_bytes()
    db.rollback()
    db.close()
    assert path.read_bytes() == whole
    path.write_bytes(half)
    Path(f"{path}-journal").write_bytes(journal)
    before = files(tmp_path)
    with pytest.raises(Unreadable, match="middle of a transaction"):
        Source(path).tables()
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2025-04-17 10:33:42", "2025-04-17T10:33:42+00:00"),
        ("2025-04-17T12:33:42.5+02:00", "2025-04-17T10:33:42.500000+00:00"),
        ("2025-04-17T10:33:42Z", "2025-04-17T10:33:42+00:00"),
        (1744886022, "2025-04-17T10:33:42+00:00"),
        ("1744886022.5", "2025-04-17T10:33:42.500000+00:00"),
        (1744886022000, "2025-04-17T10:33:42+00:00"),
        ("20250417103342", "2025-04-17T10:33:42+00:00"),
        ("yesterday", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        (2025, None),
        (float("inf"), None),
        (None, None),
    ],
)
def test_moments_in_several_shapes(said: Any, meant: str | None) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    at = columns.moment({"created_at": said}, columns.CREATED, now)
    assert (at and at.isoformat()) == meant


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ({"filename": "20250417103342.mp4"}, ("20250417103342.mp4",)),
        ({"title": "My cat", "key": "/users/u/a.mp4"}, ("users/u/a.mp4",)),
        (
            {"url": "https://old.example/api/v1/storage/users%2Fu%2Fa.mp4?token=x"},
            ("users/u/a.mp4",),
        ),
        ({"url": "/api/v1/videos/7/combined", "path": None}, ()),
        ({"url": "https://elsewhere.example/a.mp4"}, ()),
    ],
)
def test_names_under_which_bytes_were_asked_for(row: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert columns.facts(row, datetime.now(UTC)).keys == keys


@pytest.mark.parametrize(
    ("row", "revoked"),
    [
        ({"revoked": 0}, False),
        ({"revoked": None}, False),
        ({}, False),
        ({"revoked": "false", "is_active": 1}, False),
        ({"revoked": 1}, True),
        ({"revoked": "true"}, True),
        ({"revoked_at": "2025-01-01"}, True),
        ({"is_active": 0}, True),
    ],
)
def test_whatever_says_that_a_key_is_revoked_counts(row: dict[str, Any], revoked: bool) -> None:
    assert columns.is_revoked(row) is revoked
