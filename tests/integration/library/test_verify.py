"""Verify: damage is found and named, and put right only with the very bytes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inside import inside
from tests.integration.ingest.site import Site
from tests.integration.library.commands import good, reelbase
from tests.integration.library.conftest import SIZES, Library, hashes
from tests.running import ended, until

FAST = ("--rate", "10000")


def test_a_good_library_is_good(library: Library) -> None:
    """Every file is read; with a sample only so many."""
    told = good("verify", "--data-dir", library.folder, *FAST)
    assert told == {"checked": len(SIZES), "checked_bytes": sum(SIZES.values()), "damaged": []}
    assert good("verify", "--data-dir", library.folder, "--sample", "2", *FAST)["checked"] == 2
    assert good("verify", "--data-dir", library.folder, "--all", *FAST)["checked"] == len(SIZES)
    both = reelbase("verify", "--data-dir", library.folder, "--all", "--sample", "2")
    assert both.exit_code == 2


@pytest.mark.parametrize(
    "how",
    {
        "flipped": "UPDATE chunk SET data = x'00' || substr(data, 2) || x'01' WHERE id = ?",
        "a byte short": "UPDATE chunk SET data = CAST(substr(data, 2) AS BLOB) WHERE id = ?",
        "missing": "DELETE FROM chunk WHERE id = ?",
        "not bytes": "UPDATE chunk SET data = 'words' WHERE id = ?",
    }.items(),
    ids=lambda item: item[0],
)
def test_damage_is_named_by_asset(library: Library, how: tuple[str, str]) -> None:
    """Whatever it is: id, filename, owner and size on stdout, and 1 at the end."""
    with library.database() as db:
        db.execute(how[1], (library.chunk("long.bin", 2),))
    result = reelbase("verify", "--data-dir", library.folder, *FAST)
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    for part in (library.assets["long.bin"]["id"], "long.bin", "admin", "3500000 bytes"):
        assert part in line
    assert f"{len(SIZES)} files read" in result.stderr


def test_a_damaged_file_is_no_crash(library: Library) -> None:
    """Pages of the database file itself are overwritten: the disk went bad."""
    path = library.folder / "reelbase.db"
    with library.database() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (data,) = db.execute(
            "SELECT data FROM chunk WHERE id = ?", (library.chunk("long.bin", 1),)
        ).fetchone()
    with path.open("r+b") as file:
        at = path.read_bytes().index(data[500_000:500_100])
        file.seek(at // 16384 * 16384)
        file.write(b"\xff" * 16384)
    result = reelbase("verify", "--data-dir", library.folder, *FAST)
    assert result.exit_code == 1
    assert "long.bin" in result.stdout
    assert "other.bin" not in result.stdout


def test_a_file_that_is_no_database_any_more_is_told(library: Library, tmp_path: Path) -> None:
    """In a sentence, by verify and by backup; so is one that is not there."""
    for name in library.folder.glob("reelbase.db-*"):
        name.unlink()
    (library.folder / "reelbase.db").write_bytes(os.urandom(100_000))
    for arguments in (("verify",), ("backup", tmp_path / "target")):
        result = reelbase(*arguments, "--data-dir", library.folder)
        assert result.exit_code == 1
        assert "not a database" in result.stderr
    missing = reelbase("verify", "--data-dir", tmp_path / "none")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "no database" in missing.stderr


def test_an_asset_without_bytes_is_damage(library: Library) -> None:
    """The rows say that it is stored, but refer to nothing."""
    with library.database() as db:
        db.execute("UPDATE asset SET blob_id = NULL WHERE filename = 'one.bin'")
    result = reelbase("verify", "--data-dir", library.folder, *FAST)
    assert result.exit_code == 1
    assert "one.bin" in result.stdout


def test_damage_is_put_right_from_the_backup(library: Library, tmp_path: Path) -> None:
    """Both where one asset has the bytes; the old ones are given back by the collector."""
    target = tmp_path / "target"
    good("backup", target, "--data-dir", library.folder)
    library.flip("long.bin", 1)
    library.flip("small.bin")
    library.lies_at(target, "small.bin").write_bytes(b"0123456789")
    result = reelbase(
        "verify",
        *("--data-dir", library.folder, "--repair", "--json", *FAST),
        REELBASE_BACKUP_TARGET=str(target),
    )
    assert result.exit_code == 1
    found = {one["assets"][0]["filename"]: one for one in json.loads(result.stdout)["damaged"]}
    assert found["long.bin"]["repaired"]
    assert not found["small.bin"]["repaired"]
    assert "something else" in found["small.bin"]["note"]
    told = json.loads(reelbase("verify", "--data-dir", library.folder, "--json", *FAST).stdout)
    assert [one["assets"][0]["filename"] for one in told["damaged"]] == ["small.bin"]
    assert hashes(library.folder)["long.bin"] == library.assets["long.bin"]["sha256"]

    def dead() -> int:
        with library.database() as db:
            query = "SELECT count(*) FROM blob WHERE state <> 'sealed'"
            return int(db.execute(query).fetchone()[0])

    assert dead() > 0
    with inside(library.folder):
        until(lambda: dead() == 0, what=lambda: "the damaged bytes to be collected")


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as started:
        yield started


def test_damage_is_put_right_from_where_it_came(site: Site, tmp_path: Path) -> None:
    """While the server runs, which serves the right bytes at once; never with other bytes."""
    settings = {"REELBASE_ALLOW_PRIVATE_URLS": site.allowed}
    with inside(tmp_path / "data", **settings) as server, server.client() as client:
        assets = {}
        for name in ("clip.mp4", "tone.mp3"):
            task = client.post("/api/v3/media/store", json={"url": site.url(name)}).json()
            assert ended(client, task["task_id"])["stored"]
            asset = client.get(f"/api/v3/assets/{task['asset_id']}").json()
            until(lambda path=f"/api/v3/assets/{asset['id']}": client.get(path).json()[
                "processing_state"] == "done")  # fmt: skip
            assets[name] = asset
        library = Library(server.folder, assets)
        data = f"/api/v3/assets/{assets['clip.mp4']['id']}/data"
        for name in assets:
            library.flip(name)
        assert client.get(data).content != site.files["clip.mp4"]
        right = site.files["tone.mp3"]
        site.files["tone.mp3"] = right[:-1] + b"x"
        arguments = ("verify", "--data-dir", server.folder, "--repair", *FAST)
        result = reelbase(*arguments, **settings)
        assert result.exit_code == 1
        assert result.stdout.count("; repaired") == 1
        assert client.get(data).content == site.files["clip.mp4"]
        site.files["tone.mp3"] = right
        assert reelbase(*arguments, **settings).exit_code == 0
        assert reelbase("verify", "--data-dir", server.folder, *FAST).exit_code == 0
