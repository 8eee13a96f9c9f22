"""A download's rows, and how its progress is told."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row

from server.catalog import assets, jobs
from server.db import transaction
from server.ingest.output import Progress
from server.jobs import download, retry
from server.jobs.meter import Meter
from server.library import downloads, lifecycle
from tests import rows
from tests.rows import NOW


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    """An empty installation."""
    engine = rows.fresh(tmp_path)
    with transaction(engine) as opened:
        yield opened
    engine.dispose()


def order(conn: Connection, url: str, filename: str | None = None) -> downloads.Ordered:
    return rows.download(conn, rows.only_user(conn), url, filename)


def job_of(conn: Connection, ordered: downloads.Ordered) -> Row[Any]:
    row = jobs.get(conn, ordered.job_id)
    assert row is not None
    return row


def asset_of(conn: Connection, ordered: downloads.Ordered) -> Row[Any]:
    row = assets.get(conn, ordered.asset_id)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("url", "filename", "name", "content_type"),
    [
        ("https://a.example/watch?v=1", None, "watch.mp4", "video/mp4"),
        ("https://a.example/", None, "a.example.mp4", "video/mp4"),
        ("https://a.example/b/c%2Fd.WEBM?x=1#y", None, "d.WEBM", "video/webm"),
        ("https://a.example/song.mp3", None, "song.mp3", "audio/mpeg"),
        ("https://a.example/song.mp3", "mine", "mine.mp3", "audio/mpeg"),
        ("https://a.example/x", "../../Talk v1.5", "Talk v1.5.mp4", "video/mp4"),
        ("https://a.example/%2e%2e%2f%00", None, "_.mp4", "video/mp4"),
    ],
)
def test_an_asset_has_a_likely_name_before_its_bytes(
    conn: Connection, url: str, filename: str | None, name: str, content_type: str
) -> None:
    """Listed at once, under a safe name, `pending`."""
    row = asset_of(conn, order(conn, url, filename))
    assert (row.filename, row.content_type) == (name, content_type)
    assert (row.storage_state, row.role, row.source_url) == ("pending", "download", url)


def test_beginning_again_and_again_is_bounded(conn: Connection) -> None:
    """What is cut off by the server's end each time is given up; a retry counts from zero."""
    ordered = order(conn, "https://a.example/b.mp4")
    number = 0
    while not retry.DOWNLOAD.is_spent(number):
        assert download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD) is not None
        number += 1
        assert job_of(conn, ordered).attempts == number
    assert download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD) is None
    job = job_of(conn, ordered)
    assert (job.status, job.error_code) == ("failed", "interrupted")
    assert asset_of(conn, ordered).storage_state == "failed"
    assert downloads.again(conn, job, NOW)
    assert asset_of(conn, ordered).storage_state == "pending"
    assert download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD) is not None


def test_an_ordered_shutdown_is_not_counted(conn: Connection) -> None:
    """A deploy in the middle costs no attempt."""
    ordered = order(conn, "https://a.example/b.mp4")
    download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD)
    lifecycle.put_download_back(conn, ordered.job_id)
    job = job_of(conn, ordered)
    assert (job.status, job.attempts) == ("queued", 0)


def test_waiting_for_another_attempt(conn: Connection) -> None:
    """It is queued until then, is the same task for the same URL, and can be canceled."""
    ordered = order(conn, "https://a.example/b.mp4")
    download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD)
    later = NOW + timedelta(seconds=40)
    lifecycle.postpone_download(conn, ordered.job_id, later, "Attempt 1: The site was too slow.")
    job = job_of(conn, ordered)
    assert (job.status, job.next_try_at) == ("queued", NOW + timedelta(seconds=40))
    assert job.notes == ["Attempt 1: The site was too slow."]
    assert order(conn, "https://a.example/b.mp4").job_id == ordered.job_id
    jobs.change(conn, ordered.job_id, cancel_requested=True)
    assert order(conn, "https://a.example/b.mp4").job_id != ordered.job_id
    assert download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD) is None
    assert job_of(conn, ordered).status == "canceled"


def test_a_deleted_asset_ends_its_download(conn: Connection) -> None:
    """And a retry makes the asset anew."""
    ordered = order(conn, "https://a.example/b.mp4")
    assets.delete(conn, ordered.asset_id)
    assert download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD) is None
    job = job_of(conn, ordered)
    assert job.status == "canceled"
    assert downloads.again(conn, job, NOW)
    assert download._begin(conn, NOW, ordered.job_id, retry.DOWNLOAD) is not None


def test_the_meter() -> None:
    """Share, speed and time left come from the bytes; nothing new is nothing to tell."""
    now = 0.0
    meter = Meter(lambda: now)
    assert meter.news()["progress"] == 0
    assert meter.news() == {}
    for second in (1, 2, 3):
        now = float(second)
        meter.took(100 * second, 1000)
    assert meter.news() == {"progress": 0.297, "speed": 100, "eta": 7.0}
    now = 4.0
    meter.took(700, 1000)
    assert meter.news()["speed"] == 200  # of the last three seconds, not of all
    meter.storing()
    told = meter.news()
    assert (told["status"], told["progress"], told["speed"], told["eta"]) == (
        *("storing", 0.99),
        *(None, None),
    )


def test_the_meter_with_a_file_between() -> None:
    """What yt-dlp fetches is nine tenths; putting it into a blob is the rest, never less."""
    now = 0.0
    meter = Meter(lambda: now)
    meter.heard(Progress(downloaded=50, total=100))
    assert meter.news()["progress"] == 0.45
    meter.heard(Progress(downloaded=60, total=200))  # the estimate has grown
    assert meter.news() == {}
    meter.heard(Progress(downloaded=70, total=None))
    meter.arrived()
    assert meter.news() == {"status": "storing", "progress": 0.9}
    meter.took(50, 100)
    assert meter.news() == {"progress": 0.945}
