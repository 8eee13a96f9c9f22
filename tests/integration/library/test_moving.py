"""`reelbase import-scenes-db` without a server: whose it becomes, what is skipped and said."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.library.commands import good, reelbase
from tests.integration.library.conftest import Library, hashes
from tests.old_installation import TABLES, files, old_database, sha256
from tests.samples import jpeg, video

VIDEO, FACE = video(), jpeg()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Two users, one of them with a revoked key only; things with and without an owner."""
    path = tmp_path / "old" / "scenes.db"
    path.parent.mkdir()
    with old_database(path) as db:
        db.executemany(
            "INSERT INTO generated_videos(id, video_data, user_id, prompt, filename, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [
                (1, VIDEO, "alice", "a cat", "20250417103342.mp4", "2025-04-17 10:33:42"),
                (2, VIDEO + b"2", None, None, None, None),
                (3, None, "alice", "never came", None, None),
            ],
        )
        db.executemany(
            "INSERT INTO assets(id, blob_data, owner, name, url) VALUES (?, ?, ?, ?, ?)",
            [
                ("face-1", FACE, "bob", "face.jpg", "/api/v1/storage/users%2Fbob%2Fface.jpg"),
                ("empty", b"", "bob", "empty.jpg", None),
            ],
        )
        db.executemany(
            "INSERT INTO api_keys VALUES (?, ?, ?)",
            [
                ("alice", sha256("alice's old key"), 0),
                ("bob", sha256("bob's old key"), 1),
            ],
        )
    return path


def rows(library: Library, query: str) -> list[tuple[Any, ...]]:
    with library.database() as db:
        return db.execute(query).fetchall()


def owners(library: Library) -> dict[str, str]:
    """The owners' names by old names."""
    query = """
        SELECT alias.kind || ' ' || alias.name, user.name FROM alias
        JOIN asset ON asset.id = alias.asset_id JOIN user ON user.id = asset.user_id
    """
    return dict(rows(library, query))


def test_everything_comes_once_with_its_old_names(library: Library, old: Path) -> None:
    """Who has no owner is the only user's with a good key; the file looks as before."""
    before = files(old.parent)
    first = good("import-scenes-db", old, "--data-dir", library.folder)
    assert first["videos"] == {"imported": 2, "bytes": 2 * len(VIDEO) + 1, "present": 0}
    assert first["assets"] == {"imported": 1, "bytes": len(FACE), "present": 0}
    assert (first["keys"], first["keys_revoked"]) == (1, 1)
    assert owners(library) == {
        "video 1": "alice",
        "key 20250417103342.mp4": "alice",
        "video 2": "alice",
        "asset face-1": "bob",
        "key face.jpg": "bob",
        "key users/bob/face.jpg": "bob",
    }
    had = hashes(library.folder)
    assert had["20250417103342.mp4"] == sha256(VIDEO)
    assert had["face.jpg"] == sha256(FACE)
    assert rows(library, "SELECT count(*) FROM prediction") == [(0,)]
    made = "SELECT created_at, prompt, role FROM asset WHERE filename = '20250417103342.mp4'"
    assert rows(library, made) == [("2025-04-17 10:33:42.000000", "a cat", "clip")]
    again = good("import-scenes-db", old, "--data-dir", library.folder)
    assert (again["videos"]["imported"], again["videos"]["present"]) == (0, 2)
    assert (again["assets"]["imported"], again["assets"]["present"]) == (0, 1)
    assert (again["keys"], again["keys_revoked"], again["keys_present"]) == (0, 0, 2)
    assert hashes(library.folder) == had
    assert files(old.parent) == before


def test_what_is_skipped_is_named_with_the_reason(library: Library, old: Path) -> None:
    """No bytes at all is no damage; something else in their place is."""
    result = reelbase("import-scenes-db", old, "--data-dir", library.folder)
    assert result.exit_code == 0
    assert "skipped: generated_videos 3: there are no bytes in it" in result.stdout
    assert "skipped: assets empty: there are no bytes in it" in result.stdout
    assert "Rotate them" in result.stderr
    with old_database(
        old, "INSERT INTO assets(id, blob_data) VALUES ('words', 'not bytes'), (NULL, x'00')"
    ) as db:
        db.execute("INSERT INTO api_keys VALUES ('eve', 'sk_in_the_clear', 0)")
    result = reelbase("import-scenes-db", old, "--data-dir", library.folder)
    assert result.exit_code == 1
    assert "assets words: blob_data holds no bytes but text" in result.stdout
    assert "assets row 4 has no id: it comes without an old id" in result.stderr
    assert "api_keys row 3: its key_hash is not a SHA-256" in result.stdout
    assert "sk_in_the_clear" not in result.output


def test_rows_whose_id_is_anothers_or_none_come_under_their_names(
    library: Library, tmp_path: Path
) -> None:
    """No bytes stay behind. The first row has the id, and the keys that others have, too."""
    path = tmp_path / "scenes.db"
    tables = "CREATE TABLE generated_videos(id INTEGER, video_data BLOB, filename TEXT)"
    with old_database(path, tables) as db:
        db.executemany(
            "INSERT INTO generated_videos VALUES (?, ?, ?)",
            [
                (5, b"five", None),
                (7, b"first", "a.mp4"),
                (7, b"other", "b.mp4"),
                (7, b"other", None),
                (7, b"third", "a.mp4"),
                (None, b"nobody's", "c.mp4"),
                (None, b"nobody's", None),
            ],
        )
    told = good("import-scenes-db", path, "--dry-run", "--data-dir", library.folder)
    done = good("import-scenes-db", path, "--data-dir", library.folder)
    assert (told["videos"], told["notes"]) == (done["videos"], done["notes"])
    assert (done["videos"]["imported"], done["skipped"]) == (7, [])
    assert len(done["notes"]) == 5
    assert "generated_videos row 3 has the id of another (7)" in done["notes"][0]
    assert "generated_videos row 7 has no id" in done["notes"][4]
    meant = """
        SELECT alias.kind || ' ' || alias.name, asset.sha256 FROM alias
        JOIN asset ON asset.id = asset_id WHERE alias.kind <> 'row'
    """
    assert dict(rows(library, meant)) == {
        "video 5": sha256("five"),
        "video 7": sha256("first"),
        "key a.mp4": sha256("first"),
        "key b.mp4": sha256("other"),
        "key c.mp4": sha256("nobody's"),
    }
    come = "SELECT sha256 FROM asset WHERE role = 'clip' ORDER BY id"
    had = rows(library, come)
    wanted = ("five", "first", "other", "other", "third", "nobody's", "nobody's")
    assert sorted(had) == sorted((sha256(one),) for one in wanted)
    # Rows are numbered anew, and another one is the first.
    with old_database(path, "DELETE FROM generated_videos WHERE rowid IN (1, 2); VACUUM"):
        pass
    again = good("import-scenes-db", path, "--data-dir", library.folder)
    assert (again["videos"]["imported"], again["videos"]["present"]) == (0, 5)
    assert again["notes"] == []
    assert rows(library, come) == had


def test_ids_that_no_url_can_have_are_noted(library: Library, tmp_path: Path) -> None:
    """With a slash in them. Their bytes come, and answer to their keys."""
    path = tmp_path / "scenes.db"
    with old_database(path) as db:
        for old in ("a/b?c", "d/e", "f?g"):
            db.execute("INSERT INTO assets(id, blob_data) VALUES (?, x'01')", (old,))
    command = ("import-scenes-db", path, "--data-dir", library.folder)
    told, done = good(*command, "--dry-run"), good(*command)
    assert told["notes"] == done["notes"]
    assert "cannot be asked for by URL: 2 (assets a/b?c, …)" in done["notes"][0]
    assert done["assets"]["imported"] == 3
    assert good(*command)["notes"] == []


def test_of_rows_that_are_alike_each_comes_after_a_part_of_them_has(
    library: Library, tmp_path: Path
) -> None:
    """An import that was cut off between them goes on."""
    path = tmp_path / "scenes.db"
    row = "INSERT INTO generated_videos VALUES (7, x'0102')"
    with old_database(path, "CREATE TABLE generated_videos(id, video_data)") as db:
        for present in range(3):
            db.execute(row)
            done = good("import-scenes-db", path, "--data-dir", library.folder)
            assert (done["videos"]["imported"], done["videos"]["present"]) == (1, present)


def test_rows_that_only_their_id_tells_apart_are_skipped_without_one(
    library: Library, tmp_path: Path
) -> None:
    """There is no way to the bytes of the second one."""
    path = tmp_path / "scenes.db"
    tables = "CREATE TABLE assets(id, n INTEGER PRIMARY KEY, blob_data BLOB) WITHOUT ROWID"
    with old_database(path, tables) as db:
        for number, old in enumerate(("a", "a", None)):
            db.execute("INSERT INTO assets VALUES (?, ?, ?)", (old, number, bytes([number])))
    result = reelbase("import-scenes-db", path, "--data-dir", library.folder)
    assert result.exit_code == 1
    assert "skipped: assets a: an earlier row has the same id" in result.stdout
    assert "it has no id" in result.stdout
    assert owners(library) == {"asset a": "admin"}


def test_a_dry_run_tells_the_same_and_writes_nothing(library: Library, old: Path) -> None:
    told = good("import-scenes-db", old, "--dry-run", "--data-dir", library.folder)
    assert rows(library, "SELECT count(*) FROM alias") == [(0,)]
    assert rows(library, "SELECT count(*) FROM user") == [(1,)]
    done = good("import-scenes-db", old, "--data-dir", library.folder)
    for name in ("videos", "assets", "keys", "keys_revoked", "skipped", "needed"):
        assert told[name] == done[name], name
    assert [(one["old"], one["name"], one["made"]) for one in told["owners"]] == [
        (one["old"], one["name"], one["made"]) for one in done["owners"]
    ]
    assert [one["name"] for one in told["owners"] if one["made"]] == ["alice", "bob"]


def test_owners_by_wish_and_by_default(library: Library, old: Path, tmp_path: Path) -> None:
    """Two users with keys: what is nobody's becomes the first admin's, unless one is named."""
    with old_database(old, "UPDATE api_keys SET revoked = 0"):
        pass
    told = good("import-scenes-db", old, "--dry-run", "--data-dir", library.folder)
    assert [one["name"] for one in told["owners"] if one["old"] is None] == ["admin"]
    good("import-scenes-db", old, "--owner", "bob", "--data-dir", library.folder)
    assert owners(library)["video 2"] == "bob"
    nobody = reelbase("import-scenes-db", old, "--owner", "eve", "--data-dir", library.folder)
    assert nobody.exit_code == 1
    assert "There is no user 'eve'" in nobody.output


def test_users_are_called_what_they_are_called_there(library: Library, old: Path) -> None:
    """And are known again by their keys, whatever they are called here by then."""
    with old_database(old, "CREATE TABLE users(id TEXT, email TEXT, password TEXT)") as db:
        db.execute("INSERT INTO users VALUES ('alice', 'alice@example.com', 'x')")
    good("import-scenes-db", old, "--data-dir", library.folder)
    assert owners(library)["video 1"] == "alice@example.com"
    with library.database() as db:
        db.execute("UPDATE user SET name = 'Alice' WHERE name = 'alice@example.com'")
    with old_database(old, "") as db:
        db.execute("INSERT INTO generated_videos(id, video_data) VALUES (9, x'0102')")
    good("import-scenes-db", old, "--data-dir", library.folder)
    assert owners(library)["video 9"] == "Alice"


def test_people_of_one_name_stay_apart(library: Library, tmp_path: Path) -> None:
    """Each old key opens what is its owner's, also when it comes again under another name here."""
    path = tmp_path / "scenes.db"
    with old_database(
        path, TABLES + "CREATE TABLE users(id INTEGER, name TEXT, email TEXT);"
    ) as db:
        people = [(1, "John", None), (2, "John", "j@example.com"), (3, "Ann", None), (4, "1", None)]
        db.executemany("INSERT INTO users VALUES (?, ?, ?)", people)
        for number in (1, 2, 3, 4):
            db.execute("INSERT INTO api_keys VALUES (?, ?, 0)", (number, sha256(f"key {number}")))
            video = "INSERT INTO generated_videos(id, video_data, user_id) VALUES (?, x'0102', ?)"
            db.execute(video, (number, number))
        db.execute(video, (5, "Ann"))
    told = good("import-scenes-db", path, "--dry-run", "--data-dir", library.folder)
    done = good("import-scenes-db", path, "--data-dir", library.folder)
    assert told["notes"] == done["notes"]
    assert "called John: 1 becomes John (1), 2 becomes j@example.com" in done["notes"][1]
    whose = {
        "video 1": "John (1)",
        "video 2": "j@example.com",
        "video 3": "Ann",
        "video 4": "1 (4)",
        "video 5": "Ann",
    }
    assert owners(library) == whose
    with library.database() as db:
        db.execute("UPDATE user SET name = 'Johnny' WHERE name = 'John (1)'")
        db.execute("UPDATE user SET name = 'John (1)' WHERE name = 'Ann'")
        db.execute("DELETE FROM api_key WHERE hash = ?", (sha256("key 1"),))
    with old_database(path, "") as db:
        db.execute(video, (6, 1))
    good("import-scenes-db", path, "--data-dir", library.folder)
    assert owners(library)["video 6"] not in ("John (1)", "j@example.com"), "that is Ann by now"


def test_names_that_are_too_long_are_cut_and_stay_apart(library: Library, tmp_path: Path) -> None:
    """As long as the API takes them, and the same each time: what comes later finds its owner."""
    path, longs = tmp_path / "scenes.db", ("n" * 300, "n" * 299 + "m")
    insert = "INSERT INTO generated_videos(id, video_data, user_id) VALUES (?, ?, ?)"
    with old_database(path) as db:
        for number, name in enumerate(longs):
            db.execute(insert, (number, bytes([number]), name))
    told = good("import-scenes-db", path, "--dry-run", "--data-dir", library.folder)
    done = good("import-scenes-db", path, "--data-dir", library.folder)
    names = [one["name"] for one in done["owners"]]
    assert [one["name"] for one in told["owners"]] == names
    assert [len(name) for name in names] == [200, 200]
    assert names[0] != names[1]
    assert sum("too long for a user here (300 characters)" in one for one in done["notes"]) == 2
    with old_database(path, "") as db:
        db.execute(insert, (2, b"2", longs[0]))
    good("import-scenes-db", path, "--data-dir", library.folder)
    whose = owners(library)
    assert [whose[f"video {number}"] for number in range(3)] == [*names, names[0]]


def test_a_key_that_is_revoked_anywhere_is_revoked(library: Library, tmp_path: Path) -> None:
    """And one that is listed for several is the first one's, however often it comes."""
    path = tmp_path / "scenes.db"
    with old_database(path) as db:
        for whose, key, revoked in (
            ("ann", "twice", 0),
            ("ann", "twice", 1),
            ("ben", "both", 0),
            ("cid", "both", 0),
            (None, "nobody's", 0),
        ):
            db.execute("INSERT INTO api_keys VALUES (?, ?, ?)", (whose, sha256(key), revoked))
        db.execute("INSERT INTO assets(id, blob_data, owner) VALUES (1, x'01', 'cid')")
    done = good("import-scenes-db", path, "--data-dir", library.folder)
    assert (done["keys"], done["keys_revoked"]) == (2, 1)
    assert any("listed for cid, too: it is ben's" in note for note in done["notes"])
    assert any("has no user there: it opens all that is admin's" in one for one in done["notes"])
    query = "SELECT user.name FROM user JOIN api_key ON user_id = user.id WHERE hash = ? AND {}"
    with library.database() as db:

        def owner(key: str, state: str) -> list[tuple[str]]:
            return db.execute(query.format(state), (sha256(key),)).fetchall()

        assert owner("twice", "revoked_at IS NOT NULL") == [("ann",)]
        assert owner("both", "revoked_at IS NULL") == [("ben",)]
    again = good("import-scenes-db", path, "--data-dir", library.folder)
    assert (again["keys"], again["keys_present"]) == (0, 3)
    assert owners(library) == {"asset 1": "cid"}


def test_a_key_that_has_expired_is_not_said_to_work(library: Library, tmp_path: Path) -> None:
    """It comes, with its date, as a revoked one does; and opens nothing for nobody."""
    path = tmp_path / "scenes.db"
    with old_database(
        path, "CREATE TABLE api_keys(user_id TEXT, key_hash TEXT, revoked INTEGER, expires_at TEXT)"
    ) as db:
        for number, (whose, revoked, expires) in enumerate(
            (
                ("ann", 0, "2099-01-01"),
                ("ann", 0, "2020-01-01"),
                ("ann", 1, "2020-01-01"),
                (None, 0, "2020-01-01"),
            )
        ):
            hashed = sha256(f"key {number}")
            db.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?)", (whose, hashed, revoked, expires)
            )
    result = reelbase("import-scenes-db", path, "--data-dir", library.folder)
    assert result.exit_code == 0
    assert "keys: 1 imported, 1 more as revoked, 2 as expired, 0 here already" in result.stdout
    assert "work here now (1)" in result.stderr
    assert "has no user there" not in result.stderr
    again = good("import-scenes-db", path, "--data-dir", library.folder)
    assert (again["keys"], again["keys_expired"], again["keys_present"]) == (0, 0, 4)


@pytest.mark.parametrize("odd", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+05:00"])
def test_an_odd_date_stops_nothing(library: Library, old: Path, odd: str) -> None:
    with old_database(old, "") as db:
        db.execute("UPDATE generated_videos SET created_at = ?", (odd,))
    assert good("import-scenes-db", old, "--data-dir", library.folder)["videos"]["imported"] == 2


def test_keys_that_are_known_here_stay_as_they_are(library: Library, old: Path) -> None:
    """Revoked here stays revoked; revoked there since is said, and not done unasked."""
    good("import-scenes-db", old, "--data-dir", library.folder)
    [(bobs,)] = rows(
        library,
        "SELECT revoked_at IS NOT NULL FROM api_key JOIN user "
        "ON user.id = api_key.user_id WHERE user.name = 'bob'",
    )
    assert bobs
    with old_database(old, "UPDATE api_keys SET revoked = 1 - revoked"):
        pass
    result = reelbase("import-scenes-db", old, "--data-dir", library.folder)
    assert "is revoked there and good here" in result.stderr
    revoked = "SELECT count(*), count(revoked_at) FROM api_key WHERE hash IN (?, ?)"
    with library.database() as db:
        wanted = (sha256("alice's old key"), sha256("bob's old key"))
        assert db.execute(revoked, wanted).fetchone() == (2, 1)


def test_a_second_installation_may_have_the_same_ids(library: Library, old: Path) -> None:
    """Nothing of it is taken for what is here, and what is here keeps its names."""
    good("import-scenes-db", old, "--data-dir", library.folder)
    other = old.parent / "other.db"
    with old_database(other) as db:
        same_size = VIDEO[:-1] + bytes([VIDEO[-1] ^ 1])
        db.execute("INSERT INTO generated_videos(id, video_data) VALUES (1, ?)", (same_size,))
        db.execute("INSERT INTO assets(id, blob_data) VALUES ('face-1', x'01')")
    command = ("import-scenes-db", other, "--owner", "alice", "--data-dir", library.folder)
    told, brought = good(*command, "--dry-run"), good(*command)
    for outcome in (told, brought):
        assert (outcome["videos"]["imported"], outcome["videos"]["present"]) == (1, 0)
        assert outcome["replaced"] == ["video 1"], "face-1 is bob's"
    meant = """
        SELECT asset.sha256 FROM alias JOIN asset ON asset.id = asset_id
        WHERE alias.kind = 'video' AND alias.name = '1' ORDER BY alias.id
    """
    assert rows(library, meant) == [(sha256(VIDEO),), (sha256(same_size),)]
    for path in (old, other):
        again = good("import-scenes-db", path, "--owner", "alice", "--data-dir", library.folder)
        assert again["videos"]["imported"] == again["assets"]["imported"] == 0
        assert again["owners"] == []


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE generated_videos(id INTEGER, video_data BLOB);",
        "CREATE TABLE generated_videos(video_data BLOB);",
        'CREATE TABLE "Generated_Videos"("ID" INTEGER PRIMARY KEY, "Video_Data" BLOB, x, y, z);',
    ],
)
def test_columns_and_tables_may_be_missing(library: Library, tmp_path: Path, tables: str) -> None:
    path = tmp_path / "scenes.db"
    with old_database(path, tables) as db:
        db.execute("INSERT INTO generated_videos(video_data) VALUES (?)", (VIDEO,))
        db.execute("UPDATE generated_videos SET rowid = 7")
        if "id INTEGER," in tables:
            db.execute("UPDATE generated_videos SET id = 7")
    done = good("import-scenes-db", path, "--data-dir", library.folder)
    assert done["videos"]["imported"] == 1
    assert owners(library) == {"video 7": "admin"}


def test_what_cannot_be_imported_is_refused_in_words(library: Library, tmp_path: Path) -> None:
    """A wrong file is a usage error; a wrong database, a missing one or no room are not."""
    path = tmp_path / "scenes.db"
    path.write_text("hello")
    assert reelbase("import-scenes-db", path, "--data-dir", library.folder).exit_code == 2
    path.unlink()
    with old_database(path, "CREATE TABLE other(id)"):
        pass
    result = reelbase("import-scenes-db", path, "--data-dir", library.folder)
    assert result.exit_code == 1
    assert "none of the tables" in result.output
    result = reelbase("import-scenes-db", path, "--data-dir", tmp_path / "nothing")
    assert "Start the server there once" in result.output
    path.unlink()
    with old_database(path, TABLES) as db:
        db.execute("INSERT INTO generated_videos(id, video_data) VALUES (1, zeroblob(1000000))")
    full = {"REELBASE_MIN_FREE_BYTES": str(10**15)}
    result = reelbase("import-scenes-db", path, "--data-dir", library.folder, **full)
    assert result.exit_code == 1
    assert "nearly full" in result.output
    result = reelbase("import-scenes-db", path, "--dry-run", "--data-dir", library.folder, **full)
    assert "no room for 1.0 MB" in result.stderr
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM generated_videos").fetchone() == (1,)
