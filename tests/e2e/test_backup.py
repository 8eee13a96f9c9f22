"""A lost volume: backups beside a server that writes, killed half-way, restored elsewhere."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import obstore
import pytest
import structlog
from obstore.store import S3Store

from server.clock import SystemClock
from server.library.backup import manifest
from server.library.backup.schedule import Schedule
from server.library.backup.target import open_target
from tests.api import upload
from tests.changes import halt
from tests.fakes.replicate import FakeReplicate
from tests.integration.library.commands import good, reelbase
from tests.pair import Pair, generate
from tests.running import ROOT, Command, Server, ended, running, until
from tests.seaweed import Seaweed, seaweed


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as started:
        yield started


@pytest.fixture(params=["folder", "bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where to back up to: a folder, or an S3 server."""
    if request.param == "folder":
        return str(tmp_path / "target")
    for name, value in request.getfixturevalue("s3").environment.items():
        monkeypatch.setenv(name, value)
    make_bucket("backups")
    return "s3://backups/of/reelbase"


def make_bucket(name: str) -> S3Store:
    """A bucket comes into being with its first object, beside where backups go."""
    store = S3Store(name, client_options={"allow_http": True})
    obstore.put(store, "not-a-backup", b"")
    return store


class Uploads:
    """Somebody who uploads all the time."""

    def __init__(self, server: Server) -> None:
        self.made: list[tuple[dict[str, Any], str]] = []
        self._stop = threading.Event()
        self._server = server
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Uploads":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._server.client() as client:
            while not self._stop.wait(0.02):
                data = os.urandom(200_000)
                made = upload(client, data, f"live-{len(self.made)}.bin")
                self.made.append((made, hashlib.sha256(data).hexdigest()))


def link(server: Server, asset: dict[str, Any]) -> str:
    """A link to an asset, made under another address, at this server."""
    parts = urlsplit(asset["url"])
    return f"{server.url}{parts.path}?{parts.query}"


def test_a_lost_volume_is_restored_elsewhere(tmp_path: Path, target: str) -> None:
    """During writes, after a `kill -9` half-way; old links play, only what is new is copied."""
    with running(tmp_path / "data") as server, server.client() as client:
        files = [os.urandom(size) for size in (20_000_000, 3_000_000, 3_000_000, 1_000_000)]
        before = [
            (upload(client, data, f"{n}.bin"), hashlib.sha256(data).hexdigest())
            for n, data in enumerate(files)
        ]
        first = good("backup", target, "--data-dir", server.folder)
        assert (first["copied"], first["skipped"]) == (4, 0)
        assert first["copied_bytes"] == sum(map(len, files))

        with Uploads(server) as live:
            until(lambda: len(live.made) > 10, what=lambda: "uploads")
            more = [os.urandom(2_000_000) for _ in range(5)]
            before += [
                (upload(client, data, f"more-{n}.bin"), hashlib.sha256(data).hexdigest())
                for n, data in enumerate(more)
            ]
            stop = halt(tmp_path, 5_000_000)
            data = {**os.environ, "REELBASE_DATA_DIR": str(server.folder)}
            killed = Command("backup", target, change=stop, **data)
            with stop.reached(killed):
                refused = reelbase("backup", target, "--data-dir", server.folder)
                assert "is being made already" in refused.stderr
                killed.send_signal(signal.SIGKILL)
                killed.wait()
            begun = len(manifest.present(open_target(target)))
            assert begun > len(files)
            # The last complete one is as it was.
            assert [one["id"] for one in good("backups", target)] == [first["id"]]
            good("restore", target, "--data-dir", tmp_path / "first")
            done = len(live.made)
            second = good("backup", target, "--data-dir", server.folder)
        assert second["blobs"] >= 9 + done
        # What the killed one has copied is not copied again, nor what the first one had.
        assert second["copied"] + second["skipped"] == second["blobs"]
        assert second["skipped"] >= begun
        assert second["copied_bytes"] <= second["blob_bytes"] - first["blob_bytes"]
        third = good("backup", target, "--data-dir", server.folder)
        assert third["copied"] == len(live.made) + 9 - second["blobs"]
        expected = before + live.made
        server.kill()

    restored = good("restore", target, "--data-dir", tmp_path / "new")
    assert restored["blobs"] == len(expected)
    checked = good("verify", "--data-dir", tmp_path / "new", "--rate", "10000")
    assert (checked["checked"], checked["damaged"]) == (len(expected), [])
    with running(tmp_path / "new") as server, httpx.Client(trust_env=False) as anybody:
        for asset, sha256 in expected:
            got = anybody.get(link(server, asset))
            assert got.status_code == 200
            assert hashlib.sha256(got.content).hexdigest() == sha256
        with server.client() as client:
            assert upload(client, b"life goes on", "new.bin")["storage_state"] == "stored"
        # The restored one goes on with the same backups.
        assert good("backup", target, "--data-dir", server.folder)["copied"] == 1


def test_a_damaged_bucket_is_refused_by_name(
    tmp_path: Path, s3: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte of one object; also what a client without a right, or a bucket, is told."""
    for name, value in s3.environment.items():
        # As Fly.io's own store sets it.
        monkeypatch.setenv(name.replace("ENDPOINT_URL", "ENDPOINT_URL_S3"), value)
    store = make_bucket("damaged")
    target = "s3://damaged/it"
    with running(tmp_path / "data") as server, server.client() as client:
        data = bytearray(os.urandom(9_000_000))
        asset = upload(client, bytes(data), "film.bin")
        upload(client, b"small", "good.bin")
        good("backup", target, "--data-dir", server.folder)
    data[4_000_000] ^= 1
    sha256 = asset["sha256"]
    obstore.put(store, f"it/blobs/{sha256[:2]}/{sha256}", bytes(data))
    refused = reelbase("restore", target, "--data-dir", tmp_path / "new")
    assert refused.exit_code == 1
    assert asset["id"] in refused.stdout
    assert "good.bin" not in refused.stdout
    assert not list((tmp_path / "new").glob("reelbase*"))
    refused = reelbase("backups", target, AWS_SECRET_ACCESS_KEY="another")
    assert refused.exit_code == 1
    assert "SignatureDoesNotMatch" in refused.stderr
    assert "another" not in refused.output
    data_dir = ("--data-dir", tmp_path / "data")
    for bucket in ("damaged", "nowhere"):
        # What is asked first is answered without words.
        refused = reelbase("backup", f"s3://{bucket}/x", *data_dir, AWS_SECRET_ACCESS_KEY="another")
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"Error: s3://{bucket} cannot be used: access was denied")
    refused = reelbase("backup", "s3://nowhere/x", *data_dir)
    assert "bucket does not exist" in refused.stderr
    missing = reelbase("restore", "s3://nowhere/x", "--data-dir", tmp_path / "new")
    assert (missing.exit_code, "Traceback" in missing.output) == (1, False)


def test_a_clip_asked_for_after_the_backup_is_not_paid_twice(
    fake: FakeReplicate, tmp_path: Path
) -> None:
    """When the backup was made it waited; what it became since is found at the provider."""
    pair = Pair(tmp_path / "data", fake, REELBASE_PROVIDER_CONCURRENCY="1")
    target = str(tmp_path / "target")
    fake.hold()
    try:
        with pair.server.client() as client:
            first = generate(client, {"prompt": "runs when it is backed up"})
            until(lambda: client.get(f"/api/v3/jobs/{first}").json()["clips"][0]["prediction_id"])
            second = generate(client, {"prompt": "waits when it is backed up"})
            third = generate(client, {"prompt": "never asked for before"})
            good("backup", target, "--data-dir", pair.server.folder)
            client.post(f"/api/v3/jobs/{third}/cancel").raise_for_status()
            client.post(f"/api/v3/jobs/{first}/cancel").raise_for_status()
            until(lambda: len(fake.creates_by_prompt()) == 2, what=lambda: "the second one")
        pair.server.kill()
        good("restore", target, "--data-dir", tmp_path / "new")
        pair.server.folder = tmp_path / "new"
        fake.release()
        pair.start()
        with pair.server.client() as client:
            assert ended(client, second)["status"] == "completed"
            assert ended(client, third)["status"] == "completed"
            assert ended(client, first)["status"] == "canceled"
        assert fake.creates_by_prompt() == {
            "runs when it is backed up": 1,
            "waits when it is backed up": 1,
            "never asked for before": 1,
        }
    finally:
        with contextlib.suppress(Exception):
            pair.server.kill()


def test_a_clip_that_the_backup_has_lost_is_had_from_the_provider(
    fake: FakeReplicate, tmp_path: Path
) -> None:
    """Its prediction is looked up, also where no URL was noted; it is not generated again."""
    pair = Pair(tmp_path / "data", fake)
    target = tmp_path / "target"
    try:
        with pair.server.client() as client:
            job = ended(client, generate(client, {"prompt": "lost and found"}))
            good("backup", target, "--data-dir", pair.server.folder)
        pair.server.kill()
        [made] = job["outputs"]
        (target / "blobs" / made["sha256"][:2] / made["sha256"]).unlink()
        pair.server.folder = tmp_path / "new"
        restore = ("restore", target, "--data-dir", pair.server.folder, "--skip-damaged")
        assert reelbase(*restore).exit_code == 1
        with closing(sqlite3.connect(pair.server.folder / "reelbase.db")) as db:
            db.execute("UPDATE asset SET source_url = NULL")
            db.commit()
        pair.start()
        path = f"/api/v3/assets/{made['id']}"
        with pair.server.client() as client:
            assert client.get(path).json()["storage_error"]["type"] == "lost"
            assert client.post(f"{path}/save").status_code == 202
            until(lambda: client.get(path).json()["storage_state"] == "stored")
            saved = client.get(f"{path}/data").content
            assert hashlib.sha256(saved).hexdigest() == made["sha256"]
        assert fake.creates_by_prompt() == {"lost and found": 1}
    finally:
        with contextlib.suppress(Exception):
            pair.server.kill()


def test_the_server_makes_backups_by_itself(tmp_path: Path) -> None:
    """At intervals, told in the log and the metrics; a failure is told too."""
    target = tmp_path / "target"
    settings = {"REELBASE_BACKUP_TARGET": str(target), "REELBASE_BACKUP_EVERY": "0.1s"}
    metric = "reelbase_last_backup_timestamp_seconds"

    def last(client: httpx.Client) -> float:
        lines = client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(metric)).split()[1])

    with running(tmp_path / "data", **settings) as server, server.client() as client:
        upload(client, b"one", "one.bin")
        first = until(lambda: last(client), what=lambda: "a backup")
        upload(client, b"two", "two.bin")
        until(lambda: last(client) > first, what=lambda: "another backup")
        made = until(lambda: [e for e in server.log() if e["event"] == "backup made"])
        assert made[0]["backup"]
        assert {one["status"] for one in made} == {0}
        until(lambda: good("backups", target)[-1]["blobs"] == 2, what=lambda: "both in it")
        assert server.stop() == 0
        assert not [e for e in server.log() if e["event"] == "backup failed"]
    settings["REELBASE_BACKUP_TARGET"] = "/dev/null/nowhere"
    with running(tmp_path / "data", **settings) as server:
        (failed, *_) = until(
            lambda: [e for e in server.log() if e["event"] == "backup failed"],
            what=lambda: "the failure to be logged",
        )
        assert failed["status"] == 1
        assert failed["reason"].startswith("/dev/null/nowhere cannot be used"), failed


def test_backups_go_on_after_whatever_kept_one_from_being_made(tmp_path: Path) -> None:
    """What the data folder remembers of them cannot be read for a while."""
    data = tmp_path / "data"
    settings = {
        "REELBASE_BACKUP_TARGET": str(tmp_path / "target"),
        "REELBASE_BACKUP_EVERY": "0.1s",
    }
    remembered = data / "backup.json"
    remembered.mkdir(parents=True)
    with running(data, **settings) as server, server.client() as client:
        until(lambda: [e for e in server.log() if e["event"] == "backup failed"])
        metrics = client.get("/metrics")
        assert metrics.status_code == 200
        assert "reelbase_last_backup_timestamp_seconds 0.0" in metrics.text
        remembered.rmdir()
        until(lambda: [e for e in server.log() if e["event"] == "backup made"])


def test_backups_are_tried_again_when_no_process_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure is told, with its reason."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    own = Schedule(tmp_path, str(tmp_path / "target"), SystemClock(), every=0.01, rate=1)

    async def fails_twice() -> list[Any]:
        with structlog.testing.capture_logs() as entries:
            task = asyncio.create_task(own.run())
            while len(entries) < 2 and not task.done():
                await asyncio.sleep(0)
            task.cancel()
        return entries

    for entry in asyncio.run(asyncio.wait_for(fails_twice(), 60)):
        assert entry["event"] == "backup failed"
        assert "no-python" in entry["reason"]


def test_what_keeps_old_backups_is_told_in_the_log(tmp_path: Path) -> None:
    """The backup is made all the same."""
    target = tmp_path / "target"
    settings = {
        "REELBASE_BACKUP_TARGET": str(target),
        "REELBASE_BACKUP_EVERY": "0.1s",
        "REELBASE_BACKUP_KEEP": "2",
    }
    with running(tmp_path / "data") as server, server.client() as client:
        asset = upload(client, b"gone", "gone.bin")
        first = good("backup", target, "--data-dir", server.folder)
        client.delete(f"/api/v3/assets/{asset['id']}").raise_for_status()
        client.delete("/api/v3/trash").raise_for_status()
    (target / "backups" / first["id"] / manifest.NEEDED).write_text("damaged")
    with running(tmp_path / "data", **settings) as server:
        (told, *_) = until(
            lambda: [e for e in server.log() if e["event"] == "note on the backup"],
            what=lambda: f"a note: {server.log()}",
        )
        assert "Not all that is old was removed" in told["note"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user's")
def test_what_root_leaves_in_a_data_folder_is_the_servers(tmp_path: Path) -> None:
    """One backup by hand, in a container, and the server could make none of its own any more."""
    data, target, new = tmp_path / "data", tmp_path / "target", tmp_path / "theirs" / "new"
    with running(data) as server, server.client() as client:
        upload(client, b"one", "one.bin")
        server.stop()
    new.parent.mkdir()
    for path in (data, *data.rglob("*"), new.parent):
        os.chown(path, 10001, 10001)
    shutil.rmtree(data / "locks")
    good("backup", target, "--data-dir", data)
    good("purge", "--all", "--yes", "--data-dir", data)
    good("restore", target, "--data-dir", new)
    for folder in (data, new):
        found = [folder, *folder.rglob("*")]
        assert {"reelbase.db", "secret-key"} <= {path.name for path in found}
        others = {
            path for path in found if (path.stat().st_uid, path.stat().st_gid) != (10001,) * 2
        }
        assert not others


@pytest.mark.parametrize(
    ("url", "environment", "words"),
    [
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": "127.0.0.1:9000"}, "AWS_ENDPOINT_URL must be"),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL_S3": "http://a b"}, "AWS_ENDPOINT_URL_S3 must be"),
        ("s3://bucket/x", {"AWS_REGION": "eu west"}, "AWS_REGION must not"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "line\nbreak"}, "AWS_ACCESS_KEY_ID must not"),
        ("s3://My Bucket/x", {}, "bucket's name"),
        ("s3://key:secret@bucket/x", {}, "bucket's name"),
        ("s3://bucket/a//b", {}, "prefix 'a//b'"),
        ("s3://bucket/a/../b", {}, "prefix 'a/../b'"),
    ],
)
def test_what_no_bucket_can_be_reached_by_is_refused_in_words(
    tmp_path: Path, url: str, environment: dict[str, str], words: str
) -> None:
    """The client for S3 would panic at it; the same for an import."""
    for command in ("backup", "restore", "import-bucket"):
        refused = reelbase(command, url, "--data-dir", tmp_path / "data", **environment)
        assert refused.exit_code == 2
        assert words in refused.stderr
        assert "secret" not in refused.output


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in path.read_text().split()]
    return []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_backup_ends_with_its_server(tmp_path: Path) -> None:
    """However the server ends, nothing goes on reading its volume."""
    settings = {
        "REELBASE_BACKUP_TARGET": str(tmp_path / "target"),
        "REELBASE_BACKUP_EVERY": "1h",
        "REELBASE_BACKUP_RATE": "0.1",
    }
    data = tmp_path / "data"
    with running(data) as server, server.client() as client:
        upload(client, os.urandom(5_000_000), "large.bin")
    for end in (signal.SIGTERM, signal.SIGKILL):
        with running(data, **settings) as server:
            (child,) = until(partial(children, server.pid), what=lambda: "the backup's process")
            until(
                lambda at=tmp_path / "target" / "running": at.exists() and any(at.iterdir()),
                what=lambda: "its claim",
            )
            os.kill(server.pid, end)
            until(lambda at=Path(f"/proc/{child}"): not at.exists(), what=lambda: "its end")


def test_a_schedule_without_a_target_is_refused(tmp_path: Path) -> None:
    """One would rely on backups that are never made."""
    for settings in (
        {"REELBASE_BACKUP_EVERY": "1h"},
        {"REELBASE_BACKUP_EVERY": "soon", "REELBASE_BACKUP_TARGET": "/x"},
        {"REELBASE_BACKUP_EVERY": "1h", "REELBASE_BACKUP_TARGET": "ftp://x"},
    ):
        refused = reelbase("serve", "--port", "0", "--data-dir", tmp_path / "data", **settings)
        assert refused.exit_code == 1
        assert "REELBASE_BACKUP" in refused.stderr or "ftp://x" in refused.stderr


@pytest.mark.soak
def test_memory_stays_bounded_with_a_large_library(tmp_path: Path, target: str) -> None:
    """2 GB in one file: no command holds more than 64 MiB beyond what it needs to start."""

    def pieces() -> Iterator[bytes]:
        for _ in range(2000):
            yield os.urandom(1_000_000)

    def peak(*arguments: str) -> int:
        """The most memory that a command has held, in bytes."""
        process = subprocess.Popen([sys.executable, "-m", "server", *arguments], cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_maxrss * 1024

    with running(tmp_path / "data") as server, server.client() as client:
        answer = client.post("/api/v3/assets", content=pieces(), params={"filename": "large.bin"})
        assert answer.status_code == 201
        idle = peak("backup", "--help")
        data = ("--data-dir", str(server.folder))
        assert peak("backup", target, *data) < idle + 64 * 1024 * 1024
        assert peak("verify", "--rate", "10000", *data) < idle + 64 * 1024 * 1024
    new = ("--data-dir", str(tmp_path / "new"))
    assert peak("restore", target, *new) < idle + 64 * 1024 * 1024
