"""Deleting what is in use: running jobs, streams that play, the file that is to shrink."""

import hashlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import samples
from tests.api import code, upload
from tests.changes import without_polling
from tests.fakes.replicate import FakeReplicate
from tests.many import multiply
from tests.pair import Pair
from tests.running import Server, ended, running, until

MODEL = "google/veo-3-fast"
MIB = 1024 * 1024


@pytest.mark.parametrize("way", ["trash", "permanent"])
def test_running_jobs_of_a_deleted_project_are_canceled_first(pair: Pair, way: str) -> None:
    """At the provider, too; what is deleted for good is there no more when they have ended."""
    pair.fake.hold("long")
    with pair.server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Film"}).json()
        path = f"/api/v3/projects/{project['id']}"
        body = {"model": MODEL, "clips": [{"prompt": "long"}], "project_id": project["id"]}
        job = client.post("/api/v3/jobs", json=body).json()
        until(lambda: pair.fake.creates_by_prompt())
        params = {"permanent": "true"} if way == "permanent" else {}
        assert client.delete(path, params=params).json() == {"assets": 0, "bytes": 0}
        assert code(client.get(f"/api/v3/jobs/{job['id']}")) == (404, "not_found")
        assert job["id"] not in client.get("/api/v3/jobs").text
        made = pair.fake.of_prompt("long")
        until(lambda: made.status == "canceled", what=lambda: f"the cancel: {made.status}")
        if way == "permanent":
            assert code(client.post(f"{path}/restore")) == (404, "not_found")
        else:
            assert client.post(f"{path}/restore").status_code == 200
            assert ended(client, job["id"])["status"] == "canceled"


def test_drafts_are_swept(pair: Pair) -> None:
    """Clips of a job that ended before they were combined go; those that are wanted stay."""
    pair.fake.outcome("E005", matching="bad")
    with pair.server.client() as client:

        def generate(*prompts: str, combine: bool) -> dict[str, Any]:
            clips = [{"prompt": prompt} for prompt in prompts]
            body = {"model": MODEL, "combine": combine, "clips": clips}
            return ended(client, client.post("/api/v3/jobs", json=body).json()["id"])

        failed = generate("good", "bad", combine=True)
        whole = generate("one", combine=False)
        assert (failed["status"], whole["status"]) == ("failed", "completed")
        drafts = {one["id"] for one in failed["outputs"]}
        assert len(drafts) == 1
        client.delete("/api/v3/drafts").raise_for_status()
        left = {one["id"] for one in client.get("/api/v3/assets").json()["items"]}
        assert left == {one["id"] for one in whole["outputs"]}
        assert client.delete("/api/v3/drafts").json() == {"assets": 0, "bytes": 0}


class Stream:
    """Plays one asset over and over at a steady pace, and notes the longest wait for a piece."""

    def __init__(self, server: Server, url: str, sha256: str) -> None:
        self.worst, self.rounds, self.broken = 0.0, 0, ""
        self._server, self._url, self._sha256 = server, url, sha256
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _play(self) -> None:
        with self._server.client(None) as client:
            while not self._stopping.is_set() and not self.broken:
                digest = hashlib.sha256()
                begun = time.monotonic()
                with client.stream("GET", self._url) as answer:
                    for piece in answer.iter_bytes(256 * 1024):
                        self.worst = max(self.worst, time.monotonic() - begun)
                        digest.update(piece)
                        time.sleep(0.01)
                        begun = time.monotonic()
                if digest.hexdigest() != self._sha256:
                    self.broken = f"other bytes: {answer.status_code}"
                self.rounds += 1


def shrink(folder: Path, size: int) -> tuple[float, int, int]:
    """Delete a project of `size` MiB while eight streams play: longest wait, size before, after."""
    with running(folder) as server, server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Large"}).json()
        bystander = upload(client, os.urandom(8 * MIB), "plays.bin")
        each = min(size, 64) * MIB
        for number in range(size * MIB // each):
            data = os.urandom(each)
            upload(client, data, f"{number}.bin", project_id=project["id"])
        file = folder / "reelbase.db"
        until(lambda: file.stat().st_size > size * MIB, what=lambda: "the log to be brought in")
        before = file.stat().st_size
        # What stays is the bystander; a tenth is left to those who write meanwhile.
        left = (8 + size // 10) * MIB
        streams = [Stream(server, bystander["url"], bystander["sha256"]) for _ in range(8)]
        try:
            until(lambda: all(one.rounds for one in streams))
            path = f"/api/v3/projects/{project['id']}"
            gone = client.delete(path, params={"permanent": "true"}).json()
            assert gone["bytes"] == size * MIB // each * each
            # Others may write all the time.
            until(
                lambda: upload(client, os.urandom(1000)) and file.stat().st_size < left,
                timeout=60 + size / 10,
                every=0.2,
                what=lambda: f"the file to shrink from {before}: {file.stat().st_size}",
            )
        finally:
            for one in streams:
                one.stop()
        assert [one.broken for one in streams] == [""] * 8
        return max(one.worst for one in streams), before, file.stat().st_size


def test_a_project_is_deleted_for_good_while_streams_play(tmp_path: Path) -> None:
    """They go on with the right bytes, and the file is smaller.

    That nobody waits for as long as it takes is seen where the steps are counted
    (`test_what_is_deleted_is_given_back_while_others_write`), and by the clock at full size.
    """
    _, before, after = shrink(tmp_path / "data", 64)
    assert before - after > 48 * MIB


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_five_gigabytes_are_deleted_while_streams_play(tmp_path: Path) -> None:
    """The same at full size."""
    worst, before, after = shrink(tmp_path / "data", 5 * 1024)
    print(f"\nlongest wait {worst:.2f} s; {before / MIB:.0f} -> {after / MIB:.0f} MiB")
    assert worst < 5


def test_many_assets_go_at_once_and_others_wait_for_nothing(tmp_path: Path) -> None:
    """3,000 rows are out of sight in one transaction, and out of the file in many."""
    with running(tmp_path / "data") as server, server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Many"}).json()
        made = upload(client, b"x", "m.bin", project_id=project["id"])
        multiply(tmp_path / "data" / "reelbase.db", made["id"], 3000)
        path = f"/api/v3/projects/{project['id']}"
        assert client.delete(path, params={"permanent": "true"}).json()["assets"] == 3001
        upload(client, b"y")
        assert client.get("/api/v3/assets").json()["all"] == 1

        def emptied() -> bool:
            answer: httpx.Response = client.get("/api/v3/usage")
            return answer.json()["system"]["stored_bytes"] == 1

        until(emptied, what=lambda: "the rows to go")


def test_a_clip_is_not_asked_for_without_its_picture(pair: Pair) -> None:
    """Its first frame is deleted for good while it waits for a place: it fails, unpaid."""
    pair.server.kill()
    pair.server.environment["REELBASE_PROVIDER_CONCURRENCY"] = "1"
    pair.start()
    pair.fake.hold("first")
    with pair.server.client() as client:
        image = upload(client, samples.image("PNG"), "frame.png")
        clips = [{"prompt": "first"}, {"prompt": "second", "image_asset_id": image["id"]}]
        body = {"model": MODEL, "clips": clips}
        job = client.post("/api/v3/jobs", json=body).json()
        until(lambda: pair.fake.creates_by_prompt() == {"first": 1})
        client.delete(f"/api/v3/assets/{image['id']}?permanent=true").raise_for_status()
        until(lambda: emptied(pair.server, image["id"]))
        pair.fake.release("first")
        shown = ended(client, job["id"])
        assert [one["status"] for one in shown["clips"]] == ["completed", "failed"]
        assert shown["clips"][1]["error_code"] == "asset_missing"
        assert pair.fake.creates_by_prompt() == {"first": 1}


def emptied(server: Server, asset_id: str) -> bool:
    """Whether an asset's row is gone."""
    with sqlite3.connect(f"file:{server.folder}/reelbase.db?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT 1 FROM asset WHERE id = ?", (asset_id,)).fetchone()
    connection.close()
    return found is None


def test_what_was_paid_for_is_saved_in_the_trash_too(pair: Pair) -> None:
    """A clip that is deleted before its bytes are here comes back with them."""
    pair.fake.fault("output", status=503, times=4)
    with pair.server.client() as client:
        body = {"model": MODEL, "clips": [{"prompt": "late"}]}
        job = client.post("/api/v3/jobs", json=body).json()

        def made() -> str | None:
            (clip,) = client.get(f"/api/v3/jobs/{job['id']}").json()["clips"]
            return clip["asset_id"]

        asset_id = until(made)
        client.delete(f"/api/v3/assets/{asset_id}").raise_for_status()

        def stored() -> bool:
            listed = client.get("/api/v3/assets?trashed=true").json()["items"]
            return [one["storage_state"] for one in listed if one["role"] == "clip"] == ["stored"]

        until(stored, what=lambda: "the bytes to be saved in the trash")
        back = client.post(f"/api/v3/assets/{asset_id}/restore").json()
        assert client.get(back["url"]).status_code == 200
        assert pair.fake.creates_by_prompt() == {"late": 1}


def test_a_retry_pays_for_nothing_that_nobody_would_see(pair: Pair) -> None:
    """What a combine lacks is made again or, if it is in the trash, asked back first."""
    pair.fake.outcome("E005", matching="bad", times=2)
    with pair.server.client() as client:
        project = client.post("/api/v3/projects", json={"name": "Film"}).json()
        scenes = f"/api/v3/projects/{project['id']}/scenes"
        scene = client.post(scenes, json={"name": "One"}).json()
        body = {
            "model": MODEL,
            "combine": True,
            "clips": [{"prompt": "good"}, {"prompt": "bad"}],
            "project_id": project["id"],
            "scene_id": scene["id"],
        }
        job = ended(client, client.post("/api/v3/jobs", json=body).json()["id"])
        retry = f"/api/v3/jobs/{job['id']}/retry"
        good = job["clips"][0]["asset_id"]
        client.delete(f"{scenes}/{scene['id']}").raise_for_status()
        assert code(client.post(retry)) == (409, "in_trash")
        client.post(f"{scenes}/{scene['id']}/restore").raise_for_status()
        client.delete(f"/api/v3/assets/{good}").raise_for_status()
        assert code(client.post(retry)) == (409, "in_trash")
        assert pair.fake.creates_by_prompt() == {"good": 1, "bad": 1}
        client.delete(f"/api/v3/assets/{good}?permanent=true").raise_for_status()
        client.post(retry).raise_for_status()
        assert ended(client, job["id"])["status"] == "failed"
        client.post(retry).raise_for_status()
        whole = ended(client, job["id"])
        assert (whole["status"], whole["stored"], len(whole["outputs"])) == ("completed", True, 3)
        assert pair.fake.creates_by_prompt() == {"good": 2, "bad": 3}


def test_a_deleted_project_stops_its_predictions_at_once(
    tmp_path: Path, fake: FakeReplicate
) -> None:
    """The loop hears of it, though it waits for a webhook and would look much later."""
    pair = Pair(tmp_path / "data", fake, change=without_polling)
    fake.hold("long")
    try:
        with pair.server.client() as client:
            project = client.post("/api/v3/projects", json={"name": "Film"}).json()
            body = {"model": MODEL, "clips": [{"prompt": "long"}], "project_id": project["id"]}
            client.post("/api/v3/jobs", json=body).raise_for_status()
            # The last word before the end; what follows it is the last look for an hour.
            until(lambda: any(one.event == "start" for one in list(fake.deliveries)))
            until(lambda: fake.sent("GET", r"/v1/predictions/.+"))
            client.delete(f"/api/v3/projects/{project['id']}").raise_for_status()
            until(lambda: fake.of_prompt("long").status == "canceled")
    finally:
        pair.server.kill()
