"""Moving in while the service runs: the old URLs, ids and keys go on working."""

import hashlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path

import httpx
import pytest

from tests.changes import halt
from tests.integration.library.commands import good
from tests.old_installation import add_large, in_use, old_database, sha256
from tests.running import Command, Server, running, until
from tests.samples import jpeg, video

MB = 1_000_000
MIB = 1024 * 1024
ALICE, BOB = "the-old-key-of-alice", "the-old-key-of-bob"


@dataclass(frozen=True)
class Measured:
    """Has a command write down, at its end, the most memory that it ever had, in KiB."""

    report: Path

    def __call__(self) -> None:
        Finalize(None, self._write, exitpriority=0)

    def _write(self) -> None:
        status = Path("/proc/self/status").read_text()
        self.report.write_text(status.split("VmHWM:")[1].split()[0])


def measured(tmp_path: Path, folder: Path, *arguments: str | Path) -> int:
    """Run a command to its good end; the most memory that it had, in bytes."""
    report = tmp_path / "memory"
    data = {"REELBASE_DATA_DIR": str(folder), "REELBASE_MIN_FREE_BYTES": "0"}
    done = Command(*map(str, arguments), change=Measured(report), **data).wait()
    assert done.returncode == 0, done.stderr
    return int(report.read_text()) * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data") as started:
        yield started


def played(client: httpx.Client, path: str) -> str:
    """The SHA-256 of what a URL answers."""
    digest = hashlib.sha256()
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200, path
        for piece in answer.iter_bytes():
            digest.update(piece)
    return digest.hexdigest()


def test_an_old_database_is_imported_while_it_is_in_use_and_we_serve(
    server: Server, tmp_path: Path
) -> None:
    """A video of 100 MB comes in pieces: the process never has 64 MiB more than an idle one."""
    clip, face = video(), jpeg()
    path = tmp_path / "old" / "scenes.db"
    path.parent.mkdir()
    with old_database(path) as db:
        large = add_large(db, 1, 100 * MB)
        db.execute(
            "INSERT INTO assets(id, blob_data, owner, url) VALUES ('face', ?, 'bob', ?)",
            (face, "https://old.example/api/v1/storage/users%2Fbob%2Fmy%20face.jpg"),
        )
        db.executemany(
            "INSERT INTO api_keys VALUES (?, ?, ?)",
            [("alice", sha256(ALICE), 0), ("bob", sha256(BOB), 1)],
        )
    fresh = (
        "INSERT INTO generated_videos(id, video_data, user_id, prompt, filename) "
        f"VALUES (7, x'{clip.hex()}', 'alice', 'a cat', '20250417103342.mp4')"
    )
    with in_use(path, fresh), server.client(ALICE) as alice, server.client(BOB) as bob:
        assert alice.get("/api/v3/jobs/7").status_code == 401
        idle = measured(tmp_path, server.folder, "keys", "list")
        peak = measured(tmp_path, server.folder, "import-scenes-db", path)
        assert peak - idle < 64 * MIB, (peak, idle)
        assert played(alice, "/api/v3/videos/1/combined") == large
        clips = ("v3/videos/7/combined", "v3/videos/7/clips/clip-1.mp4")
        for url in (*clips, "v3/storage/20250417103342.mp4"):
            assert played(alice, f"/api/{url}") == sha256(clip)
        assert played(alice, "/api/v1/storage/20250417103342.mp4") == sha256(clip)
        part = alice.get("/api/v3/videos/1/combined", headers={"Range": "bytes=-10"})
        assert (part.status_code, len(part.content)) == (206, 10)
        job = alice.get("/api/v3/jobs/7").json()
        assert (job["status"], job["stored"], job["predictions"]) == ("completed", True, 0)
        assert job["clips"][0]["prompt"] == "a cat"
        assert played(alice, httpx.URL(job["url"]).raw_path.decode()) == sha256(clip)
        until(lambda: alice.get("/api/v3/jobs/7").json()["outputs"][0]["poster_id"])
        assert alice.get("/api/v3/assets/face/data").status_code == 404, "it is bob's"
        assert bob.get("/api/v3/assets/face/data").status_code == 401, "his key is revoked"
        with server.client() as admin:
            assert played(admin, "/api/v3/assets/face/data") == sha256(face)
            assert played(admin, "/api/v1/storage/users%2Fbob%2Fmy%20face.jpg") == sha256(face)
            assert played(admin, "/api/v3/storage/users/bob/my%20face.jpg") == sha256(face)
            assert admin.get("/api/v3/assets/face").json()["role"] == "upload"
            there = admin.get("/api/v3/assets").json()["matching"]
            measured(tmp_path, server.folder, "import-scenes-db", path)
            assert admin.get("/api/v3/assets").json()["matching"] == there
    # Tests' folders are kept for a while.
    path.unlink()
    (server.folder / "reelbase.db").unlink()


def test_public_plays_for_everybody_as_it_did(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "scenes.db"
    clip = video()
    with old_database(path) as db:
        db.execute(
            "INSERT INTO generated_videos(id, video_data, filename) VALUES (7, ?, 'old.mp4')",
            (clip,),
        )
        db.execute("INSERT INTO assets(id, blob_data) VALUES ('x', x'010203')")
    good("import-scenes-db", path, "--public", "--data-dir", server.folder)
    with server.client(None) as anybody:
        for url in ("v3/videos/7/combined", "v1/storage/old.mp4"):
            assert played(anybody, f"/api/{url}") == sha256(clip)
        assert anybody.get("/api/v3/assets/x/data").content == b"\1\2\3"
        assert anybody.get("/api/v3/jobs/7").status_code == 401


def test_an_import_that_was_cut_off_goes_on_where_it_stopped(
    server: Server, tmp_path: Path
) -> None:
    """By Ctrl-C, then by `kill -9`. What had come plays; what was half-written is given back."""
    path, videos = tmp_path / "scenes.db", 6
    with old_database(path) as db:
        db.execute("INSERT INTO api_keys VALUES (NULL, ?, 0)", (sha256(ALICE),))
        for number in range(videos):
            add_large(db, number, 8 * MB)
    with server.client() as admin:

        def come() -> int:
            return int(admin.get("/api/v3/assets").json()["matching"])

        data = {"REELBASE_DATA_DIR": str(server.folder), "REELBASE_MIN_FREE_BYTES": "0"}
        # In the middle of the third; then, when two were compared, of the fifth.
        for how, before, size in ((signal.SIGINT, 2, 20 * MB), (signal.SIGKILL, 4, 36 * MB)):
            stop = halt(tmp_path, size)
            importing = Command("import-scenes-db", str(path), change=stop, **data)
            with stop.reached(importing):
                assert come() == before
                importing.send_signal(how)
            done = importing.wait()
            assert come() == before
            if how == signal.SIGINT:
                assert done.returncode == 130
                assert "Run it again to go on" in done.stderr
                assert "Rotate them" in done.stderr, "the keys came first"
                assert "Traceback" not in done.stderr
            else:
                assert done.returncode == -signal.SIGKILL
        again = good("import-scenes-db", path, "--data-dir", server.folder)
        assert (again["videos"]["imported"], again["videos"]["present"]) == (videos - 4, 4)
        assert come() == videos
        system = admin.get("/api/v3/usage").json()["system"]
        assert system["stored_bytes"] == videos * 8 * MB
