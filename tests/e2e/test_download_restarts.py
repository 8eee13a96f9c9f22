"""Downloads whose server ends in the middle of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database import count
from tests.integration.ingest.processes import gone, processes
from tests.integration.ingest.site import Site
from tests.integration.ingest.test_downloads import nothing_left, settings, shown, store
from tests.running import Server, ended, until


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as made:
        yield made
        assert made.trespasses == []


def test_restarts_in_the_middle(tmp_path: Path, site: Site) -> None:
    """After SIGTERM and after `kill -9` both ways of fetching begin again, and complete."""
    server = Server(tmp_path / "data", **settings(site)).start()
    work = server.folder / "work"
    try:
        with site.hold():
            with server.client() as client:
                tasks = [store(client, site.url(path)) for path in ("slow.mp4", "page-slow")]
            for end in (server.stop, server.kill):
                with server.client() as client:
                    # What it was before a restart is told until a download is begun again.
                    until(lambda: len(processes(work)) >= 2, what=lambda: "yt-dlp to begin")
                    for task in tasks:
                        until(
                            lambda t=task: shown(client, t)["progress"] > 0,
                            what=lambda: "progress",
                        )
                assert len(processes(work)) >= 2  # the supervisor and yt-dlp
                end()
                assert gone(work), processes(work)
                server.start()
        with server.client() as client:
            for task in tasks:
                job = ended(client, task["task_id"])
                assert (job["status"], job["stored"]) == ("completed", True), job
                data = client.get(f"/api/v3/assets/{task['asset_id']}/data").content
                assert data == site.files["clip.mp4"]
            videos = client.get("/api/v3/assets", params={"kind": "video"}).json()["items"]
            assert sorted(one["id"] for one in videos) == sorted(t["asset_id"] for t in tasks)
        nothing_left(server)
        # A poster may be on its way.
        unfinished = "SELECT count(*) FROM blob WHERE state = 'open'"
        until(lambda: count(server, unfinished) == 0, what=lambda: "nothing to be half-written")
    finally:
        server.kill()
