"""Ingest from outside: the real server, the real yt-dlp, and a site that plays every trick."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.jobs import retry
from server.media.boxes import BoxScanner
from tests.api import code, new_user
from tests.database import count
from tests.inside import inside
from tests.integration.ingest.processes import gone, processes
from tests.integration.ingest.site import Site
from tests.running import Server, ended, run, until

# What each URL of the site comes to: a stored asset's kind and name, or a code.
STORED = {
    "clip.mp4": ("video", "clip.mp4"),
    "index-last.mp4": ("video", "index-last.mp4"),
    "clip.webm": ("video", "clip.webm"),
    "tone.mp3": ("audio", "tone.mp3"),
    "tone.m4a": ("audio", "tone.m4a"),
    "picture.jpg": ("image", "picture.jpg"),
    "picture.png": ("image", "picture.png"),
    "picture.webp": ("image", "picture.webp"),
    "redirect": ("video", "redirect.mp4"),
    "master.m3u8": ("video", "master.mp4"),
    "page": ("video", "A title_ ünï_.._code.mp4"),
    # Its poster is a 404, which matters to nobody.
    "page-hls": ("video", "A title_ ünï_.._code-2.mp4"),
}
# Their bytes are other ones: remuxed, or put together.
REMADE = ("index-last.mp4", "tone.m4a", "master.m3u8")
FAILED = {
    "missing": "not_found",
    "forbidden": "private_or_login_required",
    "empty-page": "no_media",
    "lie.mp4": "no_media",
    "cut.mp4": "truncated",
    "gap.m3u8": "truncated",
    "huge.mp4": "too_large",
    "endless.mp4": "too_large",
    "endless.m3u8": "too_large",
    "long.mp3": "too_long",
    "live.m3u8": "live_stream",
    "drm.m3u8": "drm",
    "hostile/sample-key/httpproxy": "unsupported_stream",
    "hostile/video/rtmp": "unsupported_stream",
    "to-metadata": "blocked_address",
    "to-inside": "blocked_address",
    "to-inside-by-name": "blocked_address",
    "page-inside": "blocked_address",
    "inside.m3u8": "blocked_address",
    "to-file": "unsupported_url",
}


def settings(site: Site, **others: str) -> dict[str, str]:
    """A short wait between attempts, none that a busy machine could exceed; a way to the site."""
    return {
        "REELBASE_ALLOW_PRIVATE_URLS": site.allowed,
        "REELBASE_MAX_DOWNLOAD_BYTES": "2000000",
        "REELBASE_MAX_DOWNLOAD_SECONDS": "240",
        "REELBASE_DOWNLOAD_STALL": "120",
        "REELBASE_DOWNLOAD_RETRY_SECONDS": "0.1",
        **others,
    }


@pytest.fixture(scope="module", autouse=True)
def three_attempts() -> Iterator[None]:
    """What is temporary is given up after two waits, and not after half an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "DOWNLOAD", replace(retry.DOWNLOAD, bound=0.3))
        yield


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as made:
        yield made
        assert made.trespasses == []


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with inside(tmp_path_factory.mktemp("ingest") / "data", **settings(site)) as started:
        yield started


@pytest.fixture
def newcomer(server: Server, client: httpx.Client) -> Iterator[httpx.Client]:
    """A client whose names nobody has taken."""
    _, key = new_user(client, f"newcomer {time.time()}")
    with server.client(key) as made:
        yield made


def store(client: httpx.Client, url: str, **more: str) -> dict[str, Any]:
    """A download that is under way."""
    answer = client.post("/api/v3/media/store", json={"url": url, **more})
    assert answer.status_code == 202, answer.text
    task: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v3/jobs/{task['task_id']}"
    return task


def shown(client: httpx.Client, task: dict[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = client.get(f"/api/v3/jobs/{task['task_id']}").raise_for_status().json()
    return job


def nothing_left(server: Server) -> None:
    """No file in the work folder, no process of a download."""
    work = server.folder / "work"
    assert gone(work), processes(work)
    assert list(work.iterdir()) == []


def test_every_url_comes_to_its_end(server: Server, site: Site, newcomer: httpx.Client) -> None:
    """All at once: a 202 each, two run at a time, each ends as it must, nothing is left over."""
    tasks: dict[str, dict[str, Any]] = {}
    for path in (*FAILED, *STORED):
        tasks[path] = store(newcomer, site.url(path))
        listed = newcomer.get(f"/api/v3/assets/{tasks[path]['asset_id']}").json()
        assert (listed["role"], listed["source_url"]) == ("download", site.url(path))

    def all_ended() -> bool:
        jobs = newcomer.get("/api/v3/jobs", params={"limit": 200}).json()["items"]
        assert sum(job["status"] in ("processing", "storing") for job in jobs) <= 2
        return all(job["status"] in ("completed", "failed") for job in jobs)

    until(all_ended, timeout=200, every=0.2, what=lambda: "all downloads to end")
    nothing_left(server)
    for path, (kind, filename) in STORED.items():
        job = shown(newcomer, tasks[path])
        assert (job["status"], job["stored"], job["progress"]) == ("completed", True, 1), job
        (asset,) = job["outputs"]
        assert (asset["kind"], asset["filename"]) == (kind, filename)
        assert asset["storage_key"].endswith(f"/output/{filename}")
        assert asset["storage_error"] is None
        data = httpx.get(asset["url"]).raise_for_status().content
        if path in site.files and path not in REMADE:
            assert data == site.files[path]
    for path, wanted in FAILED.items():
        job = shown(newcomer, tasks[path])
        assert (job["status"], job["error_code"]) == ("failed", wanted), (path, job)
        (asset,) = job["outputs"]
        assert asset["storage_state"] == "failed"
        assert asset["storage_error"]["type"] == wanted
        assert asset["storage_error"]["message"] == job["error_message"]
        assert str(server.folder) not in job["error_message"]
        assert newcomer.get(f"/api/v3/assets/{asset['id']}/data").status_code == 410


def test_a_trickle_is_not_waited_for(tmp_path: Path, site: Site) -> None:
    """A byte now and then is as good as none: after a while, here a second, it is given up."""
    others = settings(site, REELBASE_DOWNLOAD_STALL="1")
    with inside(tmp_path / "data", **others) as server, server.client() as client:
        job = ended(client, store(client, site.url("trickle.mp4"))["task_id"])
        assert (job["status"], job["error_code"]) == ("failed", "timeout"), job
        nothing_left(server)


def test_what_was_fetched_is_media_like_any_other(site: Site, client: httpx.Client) -> None:
    """Metadata and poster come by themselves; an index at the end is moved to the front."""
    jobs = [
        ended(client, store(client, site.url(path))["task_id"])
        for path in ("index-last.mp4", "page-hls")
    ]
    for job in jobs:
        path = f"/api/v3/assets/{job['outputs'][0]['id']}"
        until(lambda p=path: client.get(p).json()["poster_id"], what=lambda: "the poster")
        asset = client.get(path).json()
        assert (asset["width"], asset["height"], asset["codecs"]) == (160, 120, "h264, aac")
        assert asset["duration"] == pytest.approx(4, abs=0.2)
    scanner = BoxScanner()
    scanner.feed(client.get(f"/api/v3/assets/{jobs[0]['outputs'][0]['id']}/data").content)
    assert scanner.is_mp4
    assert not scanner.moov_last
    before = BoxScanner()
    before.feed(site.files["index-last.mp4"])
    assert before.moov_last


def test_passing_errors_are_tried_again(site: Site, client: httpx.Client) -> None:
    """A cut-off body three times, a 404 once: the job's notes say what happened."""
    notes = ended(client, store(client, site.url("cut.mp4"))["task_id"])["notes"]
    assert [note.partition(":")[0] for note in notes] == ["Attempt 1", "Attempt 2"]
    site.asked.clear()
    assert ended(client, store(client, site.url("missing"))["task_id"])["notes"] == []


def test_the_same_url_twice_is_one_task(
    site: Site, client: httpx.Client, newcomer: httpx.Client
) -> None:
    """While it is under way; elsewhere or later it is another asset with the same blob."""
    url = site.url("slow.mp4")
    first = store(newcomer, url, reference="mine-1")
    second = store(newcomer, url, reference="mine-2")
    assert second == {**first, "status": second["status"]}
    other_user, key = new_user(client, f"neighbour {time.time()}")
    theirs = client.post("/api/v3/media/store", json={"url": url}, headers={"X-API-Key": key})
    assert theirs.json()["task_id"] != first["task_id"]
    job = ended(newcomer, first["task_id"])
    assert (job["reference"], job["outputs"][0]["reference"]) == ("mine-1", "mine-1")
    assert ended(client, theirs.json()["task_id"])["outputs"][0]["storage_key"].startswith(
        f"users/{other_user}/"
    )
    again = store(newcomer, url)
    assert again["task_id"] != first["task_id"]
    after = ended(newcomer, again["task_id"])
    assert after["outputs"][0]["sha256"] == job["outputs"][0]["sha256"]
    assert after["outputs"][0]["filename"] == "slow-2.mp4"


def test_equal_bytes_are_kept_once(server: Server, site: Site, client: httpx.Client) -> None:
    """Three assets, one blob."""
    made = [
        ended(client, store(client, site.url(path))["task_id"])["outputs"][0]
        for path in ("clip.mp4", "clip.mp4?again", "redirect")
    ]
    ids = ", ".join(f"'{asset['id']}'" for asset in made)
    assert count(server, f"SELECT count(DISTINCT blob_id) FROM asset WHERE id IN ({ids})") == 1


def test_a_download_that_the_quota_has_no_room_for_fails(
    server: Server, site: Site, client: httpx.Client
) -> None:
    """Known before, or found out on the way; a retry works when there is room."""
    user_id, key = new_user(client, "limited")
    path = f"/api/v3/users/{user_id}"
    client.patch(path, json={"max_bytes": 100}).raise_for_status()
    with server.client(key) as mine:
        for name in ("clip.mp4", "master.m3u8"):
            task = store(mine, site.url(name))
            shown = ended(mine, task["task_id"])
            assert (shown["status"], shown["error_code"]) == ("failed", "quota_exceeded")
        client.patch(path, json={"max_bytes": None}).raise_for_status()
        mine.post(f"/api/v3/jobs/{task['task_id']}/retry").raise_for_status()
        assert ended(mine, task["task_id"])["status"] == "completed"


def test_names_and_the_older_address(site: Site, client: httpx.Client) -> None:
    """The caller's name with the extension of what came; `mongo_db_id` is a reference, too."""
    body = {"url": site.url("page"), "filename": "../holiday.mov", "mongo_db_id": "507f1f77"}
    answer = client.post("/api/v1/media/store", json=body)
    assert (answer.status_code, answer.json()["reference"]) == (202, "507f1f77")
    job = ended(client, answer.json()["task_id"])
    assert job["reference"] == "507f1f77"
    assert job["outputs"][0]["filename"] == "holiday.mp4"
    assert job["source_url"] == site.url("page")


def test_the_key_that_was_told_first_goes_on_working(site: Site, client: httpx.Client) -> None:
    """It is known with the 202; what comes may get another name, and another extension."""
    task = store(client, site.url("page"), filename="wanted.mov")
    first = client.get(f"/api/v3/assets/{task['asset_id']}").json()["storage_key"]
    output = ended(client, task["task_id"])["outputs"][0]
    assert output["storage_key"] != first
    data = client.get(f"/api/v3/assets/{output['id']}/data").content
    assert client.get(f"/api/v3/storage/{first}").content == data


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("ftp://example.org/a.mp4", "unsupported_url"),
        ("file:///etc/passwd", "unsupported_url"),
        ("--exec=id", "unsupported_url"),
        ("http://user:password@example.org/", "unsupported_url"),
        ("http://", "unsupported_url"),
        ("http://example.org/" + "a" * 2050, "unsupported_url"),
        ("http://127.0.0.1:1/", "blocked_address"),
        ("http://[::ffff:169.254.169.254]/", "blocked_address"),
        ("http://0x7f000001/", "blocked_address"),
        ("http://localhost/", "blocked_address"),
        ("http://nowhere.invalid/", "host_not_found"),
    ],
)
def test_what_cannot_be_is_said_before_the_202(client: httpx.Client, url: str, wanted: str) -> None:
    """By field, and no job is made of it."""

    def newest() -> list[str]:
        return [job["id"] for job in client.get("/api/v3/jobs?limit=1").json()["items"]]

    before = newest()
    answer = client.post("/api/v3/media/store", json={"url": url})
    assert code(answer) == (422, wanted)
    assert [error["field"] for error in answer.json()["errors"]] == ["url"]
    assert "password" not in answer.json()["detail"].replace("a password", "")
    assert newest() == before


def test_who_may(server: Server, site: Site, client: httpx.Client) -> None:
    """Fetching needs `write`, so do canceling and retrying it; places must be one's own."""
    url = site.url("endless.mp4?who")
    _, reader = new_user(client, "ingest reader", ["read"])
    writer_id, writer = new_user(client, "ingest writer", ["read", "write"])
    with server.client(None) as nobody:
        assert code(nobody.post("/api/v3/media/store", json={"url": url}))[0] == 401
    with server.client(reader) as asker:
        assert code(asker.post("/api/v3/media/store", json={"url": url}))[0] == 403
    with server.client(writer) as asker:
        for field in ("project_id", "scene_id"):
            answer = asker.post("/api/v3/media/store", json={"url": url, field: "none"})
            assert code(answer) == (422, "invalid_request")
            assert answer.json()["errors"][0]["field"] == field
        body = {"url": url, "reference": "a", "mongo_db_id": "b"}
        assert code(asker.post("/api/v3/media/store", json=body)) == (422, "invalid_request")
        task = store(asker, site.url("missing?who"))
        assert ended(asker, task["task_id"])["outputs"][0]["storage_key"].startswith(
            f"users/{writer_id}/"
        )
        path = f"/api/v3/jobs/{task['task_id']}"
        assert code(client.post(f"{path}/cancel")) == (409, "job_ended")
        assert asker.post(f"{path}/retry").status_code == 202
        assert ended(asker, task["task_id"])["error_code"] == "not_found"
    with server.client(reader) as asker:
        assert code(asker.post(f"{path}/retry"))[0] == 403


@pytest.mark.parametrize("path", ["slow.mp4", "page-slow"])
@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_download_is_canceled_in_the_middle(
    server: Server, site: Site, client: httpx.Client, path: str, how: str
) -> None:
    """Also by deleting what it is for; no process and no file stays. Retry begins anew."""
    with site.hold():
        task = store(client, site.url(f"{path}?{how}"))
        job = until(
            lambda: (now := shown(client, task))["progress"] > 0 and now, what=lambda: "progress"
        )
        assert job["speed"] > 0
        assert job["eta"] > 0
        if how == "cancel":
            client.post(f"/api/v3/jobs/{task['task_id']}/cancel").raise_for_status()
        else:
            client.delete(f"/api/v3/assets/{task['asset_id']}").raise_for_status()
        until(lambda: shown(client, task)["status"] == "canceled", what=lambda: "its end")
        nothing_left(server)
    if how == "cancel":
        asset = client.get(f"/api/v3/assets/{task['asset_id']}").json()
        assert (asset["storage_state"], asset["storage_error"]["type"]) == ("failed", "canceled")
    client.post(f"/api/v3/jobs/{task['task_id']}/retry").raise_for_status()
    assert ended(client, task["task_id"])["stored"]


def test_the_command_waits_and_prints_ids(server: Server, site: Site) -> None:
    """Ids on stdout, words on stderr, exit status 1 when one failed; `--json` says all."""

    def ingest(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = settings(site, REELBASE_DATA_DIR=str(server.folder))
        return run("ingest", *arguments, **environment)

    done = ingest(site.url("clip.mp4?cli"), site.url("tone.mp3?cli"))
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    with server.client() as client:
        for asset_id in done.stdout.split():
            assert client.get(f"/api/v3/assets/{asset_id}").json()["storage_state"] == "stored"
    done = ingest("--json", site.url("missing?cli"), "http://10.0.0.1/", site.url("picture.png"))
    assert done.returncode == 1
    assert [one["error_code"] for one in json.loads(done.stdout)] == [
        "not_found",
        "blocked_address",
        None,
    ]
    assert "There is nothing at this URL" in done.stderr


def test_the_command_needs_a_server(tmp_path: Path) -> None:
    """Without one nothing would be fetched: it says so, and does not wait for ever."""
    done = run("ingest", "http://example.org/", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No server is running")


def test_a_start_says_what_is_missing(tmp_path: Path, site: Site) -> None:
    """A cookies file that is not there: a line in the log, in words; the service runs."""
    others = settings(site, REELBASE_COOKIES_FILE=str(tmp_path / "none.txt"))
    with inside(tmp_path / "data", **others) as server:
        (line,) = [line for line in server.log() if "missing" in line]
        assert "cookies file" in line["missing"]
        assert line["level"] == "warning"
