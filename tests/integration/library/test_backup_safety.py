"""What a backup never does: remove what is not its own, or the last good copy of something."""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from server.library.backup import manifest, restore, state
from server.library.backup.target import Folder, TargetError
from tests.inside import inside
from tests.integration.library.commands import good, reelbase
from tests.integration.library.conftest import SIZES, Library, hashes


def written(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_place_with_other_files_is_refused(library: Library, tmp_path: Path) -> None:
    """The folder above the one that was meant, with the good backups in it."""
    mount = tmp_path / "mount"
    (mount / "backups").mkdir(parents=True)
    good("backup", mount / "backups" / "reelbase", "--data-dir", library.folder)
    before = written(mount)
    refused = reelbase("backup", mount, "--data-dir", library.folder)
    assert refused.exit_code == 1
    assert "other files" in refused.stderr
    assert written(mount) == before


def test_files_of_others_stay(library: Library, tmp_path: Path) -> None:
    """Whatever somebody puts beside ours, or into them."""
    target = tmp_path / "target"
    first = good("backup", target, "--data-dir", library.folder)
    theirs = [
        "notes.txt",
        "partial/film.mov",
        "backups/reelbase/manifest.json",
        "backups/20209999T000000-000000/rows.db",
        f"backups/{first['id']}/notes.txt",
        "blobs/fi/film.mov",
        f"blobs/00/{'f' * 64}",
    ]
    for name in theirs:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("theirs")
    good("backup", target, "--data-dir", library.folder, "--keep", "1")
    assert [name for name in theirs if (target / name).read_text() != "theirs"] == []
    assert not (target / "backups" / first["id"] / "manifest.json").exists()


def test_a_place_whose_backups_are_gone_is_refused(library: Library, tmp_path: Path) -> None:
    """The disk is not mounted: a backup would fill the one below. A file says that it is meant."""
    target = tmp_path / "disk" / "target"
    missing = reelbase("backup", target, "--data-dir", library.folder)
    assert missing.exit_code == 1
    assert f"no folder {target.parent}" in missing.stderr
    target.parent.mkdir()
    good("backup", target, "--data-dir", library.folder)
    target.rename(tmp_path / "elsewhere")
    refused = reelbase("backup", target, "--data-dir", library.folder)
    assert refused.exit_code == 1
    assert "mounted" in refused.stderr
    assert not target.exists()
    target.mkdir()
    (target / "reelbase-backups").touch()
    assert good("backup", target, "--data-dir", library.folder)["copied"] == len(SIZES)


def test_an_empty_server_pushes_nothing_out(library: Library, tmp_path: Path) -> None:
    """The database was moved away, and a server made a new one beside what else there was."""
    target = tmp_path / "target"
    first = good("backup", target, "--data-dir", library.folder)
    for name in ("reelbase.db", "reelbase.db-wal", "reelbase.db-shm"):
        (library.folder / name).unlink(missing_ok=True)
    with inside(library.folder) as server:
        server.stop()
    refused = reelbase("backup", target, "--data-dir", library.folder, "--keep", "1")
    assert refused.exit_code == 1
    assert "another installation" in refused.stderr
    assert [one["id"] for one in good("backups", target)] == [first["id"]]


def test_a_library_that_lost_most_pushes_out_no_backup_that_has_it(
    library: Library, tmp_path: Path
) -> None:
    """However many are made: the old ones go when somebody removes them by hand."""
    target = tmp_path / "target"
    first = good("backup", target, "--data-dir", library.folder)
    path = target / "backups" / first["id"] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "blobs": 100}))
    library.forget("one.bin")
    for _ in range(3):
        last = good("backup", target, "--data-dir", library.folder, "--keep", "1")
        assert first["id"] in last["notes"][0]
    assert [one["id"] for one in good("backups", target)] == [first["id"], last["id"]]
    assert library.lies_at(target, "one.bin").exists()
    shutil.rmtree(path.parent)
    last = good("backup", target, "--data-dir", library.folder, "--keep", "1")
    assert (last["notes"], last["swept"]) == ([], 1)


def test_a_backup_is_newer_than_one_of_a_clock_that_was_ahead(
    library: Library, tmp_path: Path
) -> None:
    """So the newest is the last that was made, and stays."""
    target = tmp_path / "target"
    ahead = "20991231T235959-999999"
    made = good("backup", target, "--data-dir", library.folder)
    (target / "backups" / made["id"]).rename(target / "backups" / ahead)
    second = good("backup", target, "--data-dir", library.folder)
    assert second["id"] == "21000101T000000-000000"
    third = good("backup", target, "--data-dir", library.folder, "--keep", "1")
    assert [one["id"] for one in good("backups", target)] == [third["id"]]
    restored = good("restore", target, "--data-dir", tmp_path / "new")
    assert restored["id"] == third["id"] > second["id"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"begun',
        "[]",
        '{"begun": 5, "made_at": {"x": "y"}}',
        '{"begun": "20260101T000000-000000"}',
        '{"begun": {"x": 5}}',
    ],
)
def test_what_is_remembered_may_be_garbled(library: Library, tmp_path: Path, text: str) -> None:
    """Nothing depends on it but when the next one is due."""
    target = tmp_path / "target"
    good("backup", target, "--data-dir", library.folder)
    (library.folder / "backup.json").write_text(text)
    assert state.last_success(library.folder, str(target)) == 0
    assert good("backup", target, "--data-dir", library.folder)["copied"] == 0
    assert state.last_success(library.folder, str(target)) > 0


def test_damage_at_the_target_heals(library: Library, tmp_path: Path) -> None:
    """Some blobs are read again each time; one that is as large as it was is wrong all the same."""
    target = tmp_path / "target"
    good("backup", target, "--data-dir", library.folder)
    blob = library.lies_at(target, "long.bin")
    blob.write_bytes(bytes(SIZES["long.bin"]))
    refused = reelbase("restore", target, "--data-dir", tmp_path / "new")
    assert str(blob.relative_to(target)) in refused.stdout
    assert good("backup", target, "--data-dir", library.folder)["copied"] == 1
    good("restore", target, "--data-dir", tmp_path / "new")
    assert "long.bin" in hashes(tmp_path / "new")


def test_one_backup_that_cannot_be_read_does_not_hide_the_others(
    library: Library, tmp_path: Path
) -> None:
    """It is marked, named, and the status is 1."""
    target = tmp_path / "target"
    ids = [good("backup", target, "--data-dir", library.folder)["id"] for _ in range(3)]
    (target / "backups" / ids[1] / "manifest.json").write_text("{")
    listed = reelbase("backups", target)
    assert listed.exit_code == 1
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ids
    assert "cannot be read" in listed.stdout.splitlines()[1]
    assert "error" in json.loads(reelbase("backups", target, "--json").stdout)[1]
    refused = reelbase("restore", target, "--backup", ids[1], "--data-dir", tmp_path / "new")
    assert ids[1] in refused.stderr


def test_no_backups_at_all_is_an_error(tmp_path: Path) -> None:
    """A name with a slip of the pen in it."""
    listed = reelbase("backups", tmp_path / "typo")
    assert listed.exit_code == 1
    assert f"no complete backup at {tmp_path / 'typo'}" in listed.stderr


class Worn(Folder):
    """A disk that cannot read one file; or, `gone`, not any."""

    def __init__(self, root: Path, name: str, *, gone: bool) -> None:
        super().__init__(root)
        self._name, self._is_gone, self._gone = name, False, gone

    def read(self, name: str, size: int) -> Iterator[bytes]:
        """See Target."""
        if name == self._name or self._is_gone:
            self._is_gone = self._gone
            raise TargetError("It cannot be used: Input/output error.")
        return super().read(name, size)


def test_a_file_that_cannot_be_read_is_lost_alone(library: Library, tmp_path: Path) -> None:
    """With its reason; but nothing is called lost when it is the disk that does not answer."""
    root = tmp_path / "target"
    good("backup", root, "--data-dir", library.folder)
    name = library.lies_at(root, "long.bin").relative_to(root).as_posix()
    database = tmp_path / "new" / "reelbase.db"
    with pytest.raises(TargetError):
        restore.restore(Worn(root, name, gone=True), database, skip_damaged=True)
    assert not database.exists()
    with pytest.raises(manifest.DamagedBackup) as refused:
        restore.restore(Worn(root, name, gone=False), database)
    assert [one.sha256 for one in refused.value.losses] == [library.assets["long.bin"]["sha256"]]
    restored = restore.restore(Worn(root, name, gone=False), database, skip_damaged=True)
    assert "Input/output error" in restored.lost[0].reason
    assert hashes(database.parent).keys() == SIZES.keys() - {"long.bin"}


def test_only_clean_backups_to_a_target_count_for_it(library: Library, tmp_path: Path) -> None:
    """One made elsewhere by hand is none of the schedule's; one that lacks something is no alarm
    called off, and does not make the schedule hurry.
    """
    target, data = tmp_path / "target", library.folder
    good("backup", tmp_path / "elsewhere", "--data-dir", data)
    assert state.last_made(data, str(target)) == 0
    library.flip("long.bin")
    made = reelbase("backup", target, "--data-dir", data, "--json")
    assert made.exit_code == 1
    begun = datetime.strptime(json.loads(made.stdout)["id"] + "+0000", "%Y%m%dT%H%M%S-%f%z")
    assert state.last_made(data, f"{target}/") == begun.timestamp()
    assert state.last_success(data, str(target)) == 0
