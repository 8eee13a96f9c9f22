"""Backup and restore, on a folder: what is copied, what is refused, what stays usable."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.command import upgrade

from server.blobs.locks import LockFile
from server.clock import SystemClock
from server.db import create_file, sync_engine
from server.library.backup import make
from server.library.backup.target import Folder, reason
from server.migrate import _config
from tests.api import code
from tests.disks import small_disk
from tests.inside import inside
from tests.integration.library.commands import good, reelbase
from tests.integration.library.conftest import SIZES, Library, hashes
from tests.running import ROOT, Command

# Begins a backup, and is gone when some of it is copied.
KILLED = """
import os, signal, sys
from pathlib import Path
from server.clock import SystemClock
from server.library.backup import make
from server.library.backup.target import Folder

data, target = map(Path, sys.argv[1:])
die = lambda done, total: os.kill(os.getpid(), signal.SIGKILL)
make.make(data / "reelbase.db", Folder(target), SystemClock(), keep=1, secret=None, report=die)
"""


def sha256s(library: Library) -> dict[str, str]:
    return {name: asset["sha256"] for name, asset in library.assets.items()}


def test_a_restored_folder_has_every_byte_and_every_row(library: Library, tmp_path: Path) -> None:
    """The tables are copied by what is there, so that none is forgotten when one is added."""
    target, new = tmp_path / "target", tmp_path / "new"
    backed = good("backup", target, "--data-dir", library.folder)
    assert (backed["copied"], backed["skipped"]) == (len(SIZES), 0)
    restored = good("restore", target, "--data-dir", new)
    assert (restored["blobs"], restored["blob_bytes"]) == (len(SIZES), sum(SIZES.values()))
    assert hashes(new) == sha256s(library)
    with library.database() as old, closing(sqlite3.connect(new / "reelbase.db")) as db:
        schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
        assert db.execute(schema).fetchall() == old.execute(schema).fetchall()
        users, last = "SELECT * FROM user", "SELECT last_event FROM user"
        for kind, name, _ in old.execute(schema).fetchall():
            if kind == "table" and name not in ("chunk", "event", "user", "sqlite_sequence"):
                rows = f'SELECT * FROM "{name}"'
                assert sorted(map(repr, db.execute(rows))) == sorted(map(repr, old.execute(rows)))
        for pragma in ("page_size", "auto_vacuum", "journal_mode"):
            asked = f"PRAGMA {pragma}"
            assert db.execute(asked).fetchone() == old.execute(asked).fetchone(), pragma
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        (heard,) = old.execute(last).fetchone()
        assert db.execute(last).fetchone()[0] > heard + 1000, "an old number means a new event"
        db.execute("UPDATE user SET last_event = ?", (heard,))
        assert db.execute(users).fetchall() == old.execute(users).fetchall()
    assert (new / "secret-key").read_text() == (library.folder / "secret-key").read_text()
    for name in ("secret-key", "reelbase.db"):
        assert (new / name).stat().st_mode & 0o077 == 0


def test_what_was_being_sent_is_to_be_sent_anew(library: Library, tmp_path: Path) -> None:
    """Half-written bytes are in no backup, and nothing in a restored one refers to them."""
    target, new = tmp_path / "target", tmp_path / "new"
    with library.database() as db:
        now = "2026-01-01 00:00:00.000000"
        db.execute(
            "INSERT INTO blob (state, size, writer, created_at) VALUES ('open', 5, 'w', ?)", (now,)
        )
        db.execute(
            "INSERT INTO upload (id, user_id, filename, metadata, length, blob_id, created_at, "
            "expires_at) SELECT 'up_1', user.id, 'a', '', 9, blob.id, ?, ? FROM user, blob "
            "WHERE blob.state = 'open'",
            (now, now),
        )
    good("backup", target, "--data-dir", library.folder)
    good("restore", target, "--data-dir", new)
    with closing(sqlite3.connect(new / "reelbase.db")) as db:
        assert db.execute("SELECT count(*) FROM upload").fetchone() == (0,)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_second_backup_copies_what_is_new(library: Library, tmp_path: Path) -> None:
    """And what has come to harm at the target: a blob of the wrong size."""
    target = tmp_path / "target"
    good("backup", target, "--data-dir", library.folder)
    library.lies_at(target, "one.bin").unlink()
    library.lies_at(target, "long.bin").write_bytes(b"half")
    again = good("backup", target, "--data-dir", library.folder)
    assert (again["copied"], again["skipped"]) == (2, len(SIZES) - 2)
    assert again["copied_bytes"] == SIZES["one.bin"] + SIZES["long.bin"]
    listed = good("backups", target)
    assert [one["blobs"] for one in listed] == [len(SIZES)] * 2
    assert listed[-1]["id"] == again["id"]


def test_old_backups_go_and_with_them_what_only_they_needed(
    library: Library, tmp_path: Path
) -> None:
    """A kept backup keeps all that it needs, also what has been deleted here since."""
    target = tmp_path / "target"
    first = good("backup", target, "--data-dir", library.folder)
    library.forget("one.bin")
    second = good("backup", target, "--data-dir", library.folder, "--keep", "2")
    assert second["swept"] == 0
    good("restore", target, "--data-dir", tmp_path / "a", "--backup", first["id"])
    assert "one.bin" in hashes(tmp_path / "a")
    third = good("backup", target, "--data-dir", library.folder, "--keep", "2")
    assert third["swept"] == 1
    assert not library.lies_at(target, "one.bin").exists()
    assert [one["id"] for one in good("backups", target)] == [second["id"], third["id"]]
    assert not (target / "backups" / first["id"]).exists()
    good("restore", target, "--data-dir", tmp_path / "b", "--backup", second["id"])
    assert hashes(tmp_path / "b").keys() == SIZES.keys() - {"one.bin"}


def test_nothing_is_swept_when_it_cannot_be_told_what_is_needed(
    library: Library, tmp_path: Path
) -> None:
    """The list of a kept backup is damaged: its blobs stay, and the new backup counts."""
    target = tmp_path / "target"
    first = good("backup", target, "--data-dir", library.folder)
    (target / "backups" / first["id"] / "blobs.txt").write_text("")
    library.forget("one.bin")
    second = good("backup", target, "--data-dir", library.folder)
    assert second["swept"] == 0
    assert "blobs.txt" in second["notes"][0]
    assert library.lies_at(target, "one.bin").exists()


def test_what_a_backup_that_was_cut_off_has_left_goes(library: Library, tmp_path: Path) -> None:
    """Its files at the target, a half-written one, its work files here."""
    target = tmp_path / "target"
    good("backup", target, "--data-dir", library.folder)
    for left in (
        target / "backups" / "20200101T000000-000000" / "rows.db",
        target / "partial" / ("0123456789abcdef" * 2),
        library.folder / "backup-work-abc" / "rows.db",
    ):
        left.parent.mkdir(exist_ok=True)
        left.write_text("half")
    good("backup", target, "--data-dir", library.folder)
    assert len(list((target / "backups").iterdir())) == 2
    assert not any((target / "partial").glob("*"))
    assert not any(library.folder.glob("backup-work-*"))


def test_two_backups_at_once_are_refused(library: Library, tmp_path: Path) -> None:
    """Of one data folder by a lock, of two machines by what lies at the target."""
    target = tmp_path / "target"
    with LockFile(library.folder / "backup.lock"):
        refused = reelbase("backup", target, "--data-dir", library.folder)
    assert refused.exit_code == 1
    assert "is being made already" in refused.stderr
    good("backup", target, "--data-dir", library.folder)
    other = target / "running" / "20200101T000000-000000"
    other.write_text("another machine")
    refused = reelbase("backup", target, "--data-dir", library.folder)
    assert refused.exit_code == 1
    assert "Another machine" in refused.stderr
    assert list((target / "running").iterdir()) == [other]
    long_ago = time.time() - 7200
    os.utime(other, (long_ago, long_ago))
    good("backup", target, "--data-dir", library.folder)


def test_a_killed_backup_does_not_block_its_target(library: Library, tmp_path: Path) -> None:
    """Whatever was backed up to elsewhere since: what it has left there is known to be ours."""
    first, second = tmp_path / "first", tmp_path / "second"
    command = [sys.executable, "-c", KILLED, str(library.folder), str(first)]
    killed = subprocess.run(command, cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((first / "running").iterdir())) == 1
    good("backup", second, "--data-dir", library.folder)
    good("backup", first, "--data-dir", library.folder)
    assert not any((first / "running").iterdir())


def test_another_installation_is_refused(library: Library, tmp_path: Path) -> None:
    """Two at one place would remove each other's backups. A restored one is the same."""
    target = tmp_path / "target"
    other = library.copy(tmp_path / "other")
    with other.database() as db:
        db.execute("UPDATE installation SET id = 'another'")
    good("backup", target, "--data-dir", library.folder)
    refused = reelbase("backup", target, "--data-dir", other.folder)
    assert refused.exit_code == 1
    assert "another installation" in refused.stderr
    good("restore", target, "--data-dir", tmp_path / "new")
    assert good("backup", target, "--data-dir", tmp_path / "new")["copied"] == 0


def test_what_vanishes_while_it_is_copied_is_no_damage(library: Library, tmp_path: Path) -> None:
    """Somebody deletes an asset meanwhile: the backup is of the library without it."""
    gone: list[str] = []

    def delete(done: int, total: int) -> None:
        if not gone:
            gone.append("other.bin")
            library.forget("other.bin")

    target = tmp_path / "target"
    made = make.make(
        library.folder / "reelbase.db",
        Folder(target),
        SystemClock(),
        keep=1,
        secret=library.folder / "secret-key",
        report=delete,
    )
    assert (made.blobs, made.damaged) == (len(SIZES) - 1, [])
    good("restore", target, "--data-dir", tmp_path / "new")
    assert hashes(tmp_path / "new").keys() == SIZES.keys() - {"other.bin"}


def test_damage_here_is_named_and_the_rest_is_safe(library: Library, tmp_path: Path) -> None:
    """The backup ends with 1; a restore says it too, and leaves it out when it is told to."""
    target, new = tmp_path / "target", tmp_path / "new"
    library.flip("long.bin", 2)
    backed = reelbase("backup", target, "--data-dir", library.folder)
    assert backed.exit_code == 1
    asset_id = library.assets["long.bin"]["id"]
    (line,) = [line for line in backed.stdout.splitlines() if "long.bin" in line]
    assert asset_id in line
    assert "admin" in line
    assert not library.lies_at(target, "long.bin").exists()
    assert good("backups", target)[0]["damaged"][0]["assets"][0]["id"] == asset_id
    refused = reelbase("restore", target, "--data-dir", new)
    assert refused.exit_code == 1
    assert asset_id in refused.stdout
    assert not list(new.glob("reelbase.db*"))
    restored = reelbase("restore", target, "--data-dir", new, "--skip-damaged")
    assert restored.exit_code == 1
    assert asset_id in restored.stdout
    assert hashes(new).keys() == SIZES.keys() - {"long.bin"}
    with inside(new) as server, server.client() as client:
        gone = client.get(f"/api/v3/assets/{asset_id}/data")
        assert code(gone) == (410, "asset_gone")
        assert "missing from the backup" in gone.json()["detail"]
        saved = client.post(f"/api/v3/assets/{asset_id}/save")
        assert code(saved) == (409, "not_savable"), "there is nowhere to have it from"
        shown = client.get(f"/api/v3/assets/{asset_id}").json()
        assert shown["storage_error"]["type"] == "lost"
        made_at = good("backups", target)[0]["created_at"]
        assert shown["storage_error"]["at"] == made_at.replace("+00:00", "Z")


def test_a_good_copy_made_before_the_damage_is_kept(library: Library, tmp_path: Path) -> None:
    """What the target has is not overwritten: a restore brings the right bytes back."""
    target, new = tmp_path / "target", tmp_path / "new"
    good("backup", target, "--data-dir", library.folder)
    library.flip("long.bin")
    good("backup", target, "--data-dir", library.folder, "--keep", "1")
    good("restore", target, "--data-dir", new)
    assert hashes(new) == sha256s(library)


@pytest.mark.parametrize("how", ["flipped", "missing", "cut off"])
def test_a_damaged_source_is_refused_by_name(library: Library, tmp_path: Path, how: str) -> None:
    """And nothing is left that a server would take for an installation."""
    target, new = tmp_path / "target", tmp_path / "new"
    good("backup", target, "--data-dir", library.folder)
    blob = library.lies_at(target, "long.bin")
    data = bytearray(blob.read_bytes())
    if how == "missing":
        blob.unlink()
    elif how == "cut off":
        blob.write_bytes(data[:-1])
    else:
        data[3_000_000] ^= 1
        blob.write_bytes(data)
    refused = reelbase("restore", target, "--data-dir", new)
    assert refused.exit_code == 1
    assert "long.bin" in refused.stdout
    assert library.assets["long.bin"]["id"] in refused.stdout
    assert "other.bin" not in refused.stdout
    assert "is damaged: the bytes of 1 asset are" in refused.stderr
    assert [path.name for path in new.iterdir()] == ["serve.lock"]


def test_all_that_is_damaged_is_named_at_once(library: Library, tmp_path: Path) -> None:
    """What is missing, and what is not what it was: nobody copies a backup for half of it."""
    target, new = tmp_path / "target", tmp_path / "new"
    good("backup", target, "--data-dir", library.folder)
    library.lies_at(target, "long.bin").unlink()
    library.lies_at(target, "other.bin").write_bytes(bytes(SIZES["other.bin"]))
    refused = reelbase("restore", target, "--data-dir", new, "--json")
    assert refused.exit_code == 1
    named = {
        one["filename"] for loss in json.loads(refused.stdout)["lost"] for one in loss["assets"]
    }
    assert named == {"long.bin", "other.bin"}
    assert "the bytes of 2 assets are" in refused.stderr
    assert [path.name for path in new.iterdir()] == ["serve.lock"]


@pytest.mark.parametrize("name", ["rows.db", "manifest.json", "secret-key"])
def test_a_damaged_backup_is_refused_and_an_older_one_serves(
    library: Library, tmp_path: Path, name: str
) -> None:
    """Whichever of its files it is."""
    target, new = tmp_path / "target", tmp_path / "new"
    first = good("backup", target, "--data-dir", library.folder)
    second = good("backup", target, "--data-dir", library.folder)
    damaged = target / "backups" / second["id"] / name
    damaged.write_bytes(damaged.read_bytes()[:-20] + b"x" * 20)
    refused = reelbase("restore", target, "--data-dir", new)
    assert refused.exit_code == 1
    assert "manifest" in refused.stderr if name == "manifest.json" else name in refused.stderr
    assert not list(new.glob("reelbase.db*"))
    good("restore", target, "--data-dir", new, "--backup", first["id"])


def test_a_database_is_not_overwritten(library: Library, tmp_path: Path) -> None:
    """Nor is one that a server runs on."""
    target = tmp_path / "target"
    good("backup", target, "--data-dir", library.folder)
    before = (library.folder / "reelbase.db").read_bytes()
    refused = reelbase("restore", target, "--data-dir", library.folder)
    assert refused.exit_code == 1
    assert "not overwritten" in refused.stderr
    assert (library.folder / "reelbase.db").read_bytes() == before
    with LockFile(tmp_path / "new" / "serve.lock"):
        refused = reelbase("restore", target, "--data-dir", tmp_path / "new")
    assert "A server is running" in refused.stderr


def test_a_backup_of_a_newer_version_is_refused(library: Library, tmp_path: Path) -> None:
    """Of its rows, of its format; one of its kind is told from one that is damaged."""
    target, new = tmp_path / "target", tmp_path / "new"
    with library.database() as db:
        revision = db.execute("SELECT version_num FROM alembic_version").fetchone()
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = reelbase("backup", target, "--data-dir", library.folder)
    assert refused.exit_code == 1
    assert "newer version" in refused.stderr
    with library.database() as db:
        db.execute("UPDATE alembic_version SET version_num = ?", revision)
    made = good("backup", target, "--data-dir", library.folder)
    path = target / "backups" / made["id"] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    refused = reelbase("restore", target, "--data-dir", new)
    assert refused.exit_code == 1
    assert "newer version" in refused.stderr


def test_a_backup_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """By the server that starts on what was restored."""
    database = tmp_path / "old" / "reelbase.db"
    database.parent.mkdir()
    create_file(database)
    engine = sync_engine(database)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        upgrade(config, "0001")
    engine.dispose()
    good("backup", tmp_path / "target", "--data-dir", tmp_path / "old")
    good("restore", tmp_path / "target", "--data-dir", tmp_path / "new")
    with inside(tmp_path / "new") as server, server.client() as client:
        assert client.get("/api/v3/assets").json()["items"] == []


def test_a_key_from_the_environment_is_not_written_down(library: Library, tmp_path: Path) -> None:
    """It is a secret of the platform's; both commands say that it is needed."""
    target, new = tmp_path / "target", tmp_path / "new"
    key = "a-signing-key-of-the-environment"
    backed = reelbase("backup", target, "--data-dir", library.folder, REELBASE_SECRET_KEY=key)
    assert backed.exit_code == 0
    assert "REELBASE_SECRET_KEY" in backed.stderr
    assert key not in backed.output
    restored = reelbase("restore", target, "--data-dir", new)
    assert restored.exit_code == 0
    assert "REELBASE_SECRET_KEY" in restored.stderr
    assert not (new / "secret-key").exists()
    assert not any(
        key.encode() in path.read_bytes() for path in target.rglob("*") if path.is_file()
    )


def test_a_full_disk_is_told(library: Library, tmp_path: Path) -> None:
    """At the target while it is written, at a new place before anything is."""

    def on_a_small_disk(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return Command(*map(str, arguments), change=small_disk(folder, 3)).wait()

    small, target = tmp_path / "small", tmp_path / "target"
    done = on_a_small_disk(small, "backup", small, "--data-dir", library.folder)
    assert (done.returncode, done.stderr) == (1, f"Error: {small} is full.\n")
    good("backup", target, "--data-dir", library.folder)
    done = on_a_small_disk(tmp_path / "new", "restore", target, "--data-dir", tmp_path / "new")
    assert done.returncode == 1
    assert "has not so much left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("status", "words"),
    [("403 Forbidden", "access was denied"), ("404 Not Found", "there is no such bucket")],
)
def test_a_stores_answer_without_words_is_put_into_some(status: str, words: str) -> None:
    """To HEAD it says nothing but a number; what its client makes of that is a page long."""
    text = (
        "Error performing HEAD http://127.0.0.1:9000/bucket/x in 1.2ms - Server returned non-2xx "
        f"status code: {status}: \n\nDebug source:\n…"
    )
    assert reason(Exception(text)).startswith(words)
    assert "HEAD" not in reason(Exception(text))


def test_what_cannot_be_meant_is_a_usage_error(tmp_path: Path) -> None:
    """Exit status 2, and a sentence."""
    for arguments in (["backup"], ["backup", "ftp://host/x"], ["restore", "s3://"], ["backups"]):
        result = reelbase(*arguments, "--data-dir" if arguments[0] != "backups" else "--json",
                          *([tmp_path] if arguments[0] != "backups" else []))  # fmt: skip
        assert result.exit_code == 2, result.output
        assert "s3://bucket/prefix" in result.stderr
    assert not list(tmp_path.iterdir())
    for rate in ("nan", "inf", "-1", "0"):
        for command in (["backup", tmp_path / "t"], ["verify"]):
            result = reelbase(*command, "--rate", rate, "--data-dir", tmp_path / "none")
            assert (result.exit_code, "--rate" in result.stderr) == (2, True), result.output
    missing = reelbase("backup", tmp_path / "t", "--data-dir", tmp_path / "none")
    assert missing.exit_code == 1
    assert "no database" in missing.stderr
    assert "no complete backup" in reelbase("restore", tmp_path, "--data-dir", tmp_path).stderr
