"""Twenty URLs at once: how soon each is answered, how many run, when all have ended; canceling."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import servers
from benchmarks.report import Report
from tests.integration.ingest.site import Site

URLS = 20
# Plain files, pages and playlists in turn: the first go straight into a blob, the rest by yt-dlp.
PATHS = ("clip.mp4", "page", "clip.webm", "master.m3u8")
ACTIVE = ("queued", "processing", "storing")


def ingest(report: Report, work: Path) -> None:
    report.say("ingest: twenty URLs at once, from a site on loopback")
    with (
        Site() as site,
        servers.ours(work, "ingest", REELBASE_ALLOW_PRIVATE_URLS=site.allowed) as server,
    ):
        _measure(report, site, server)
        _cancel(report, site, server)


def _measure(report: Report, site: Site, server: servers.Ours) -> None:
    begun = time.perf_counter()
    answers: list[float] = []
    tasks: list[str] = []
    for number in range(URLS):
        url = site.url(f"{PATHS[number % len(PATHS)]}?{number}")
        before = time.perf_counter()
        tasks.append(_post(server, url))
        answers.append(1000 * (time.perf_counter() - before))
    most = 0
    while True:
        jobs = server.call("/api/v3/jobs?limit=100")["items"]
        most = max(most, sum(job["status"] in ("processing", "storing") for job in jobs))
        if not any(job["status"] in ACTIVE for job in jobs):
            break
        if time.perf_counter() - begun > 300:
            raise RuntimeError("the downloads do not end")
        time.sleep(0.05)
    seconds = time.perf_counter() - begun
    stored = sum(job["stored"] for job in jobs if job["id"] in tasks)
    what = f"{URLS} URLs at once"
    report.add(
        what,
        "each 202",
        f"{median(answers):.0f} ms, at most {max(answers):.0f}",
        aim="at once: < 100 ms",
        met=max(answers) < 100,
    )
    report.add(what, "at a time", f"{most}", aim="2", met=most == 2)
    report.add(
        what, "all ended", f"{seconds:.1f} s, {stored} stored", aim="all", met=stored == URLS
    )


def _cancel(report: Report, site: Site, server: servers.Ours) -> None:
    """In the middle of one that has begun to come: until its job says so."""
    for who, path in (("a file", "slow.mp4"), ("a page, by yt-dlp", "page-slow")):
        took = []
        for number in range(5):
            with site.hold():
                job = f"/api/v3/jobs/{_post(server, site.url(f'{path}?cancel-{number}'))}"
                _wait(lambda job=job: server.call(job)["progress"] > 0)
                begun = time.perf_counter()
                server.call(f"{job}/cancel", method="POST")
                _wait(lambda job=job: server.call(job)["status"] == "canceled")
                took.append(1000 * (time.perf_counter() - begun))
        report.add(
            "canceling a download",
            who,
            f"{median(took):.0f} ms, at most {max(took):.0f}",
            aim="< 1000 ms",
            met=max(took) < 1000,
        )


def _wait(condition: Callable[[], bool]) -> None:
    end = time.perf_counter() + 60
    while not condition():
        if time.perf_counter() > end:
            raise RuntimeError("waited a minute in vain")
        time.sleep(0.01)


def _post(server: servers.Ours, url: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/v3/media/store",
        data=json.dumps({"url": url}).encode(),
        headers={"X-API-Key": servers.KEY, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        task: str = json.load(answer)["task_id"]
        return task
