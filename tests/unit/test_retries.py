"""Trying a job again: what is refused, what counts, and what is paid again."""

import pytest
from sqlalchemy import Connection

from server.catalog import jobs, tables
from server.catalog.jobs import NewClip
from server.catalog.records import Job
from server.errors import Conflict, QuotaExceeded, TooMany
from server.library import lifecycle, retries
from server.library.orders import Limits
from tests import rows
from tests.rows import NOW, put, read

LIMITS = Limits(active=100, daily=None)


def failed(conn: Connection, *states: str) -> Job:
    """A failed job whose clips are in these states."""
    job_id = rows.generation(conn, rows.add_user(conn), [NewClip(prompt="a fox") for _ in states])
    for clip, state in zip(jobs.clips_of(conn, [job_id]), states, strict=True):
        put(conn, tables.clip, clip.id, status=state)
    lifecycle.end_job(conn, job_id, "failed", NOW, code="clips_failed", message="m")
    return read(conn, job_id)


def failed_download(conn: Connection) -> tuple[Job, str]:
    """A failed download and its asset."""
    ordered = rows.download(conn, rows.add_user(conn))
    lifecycle.end_job(conn, ordered.job_id, "failed", NOW, code="timeout", message="m")
    return read(conn, ordered.job_id), ordered.asset_id


def test_only_what_failed_is_made_again(conn: Connection) -> None:
    """A clip that is there was paid for."""
    job = failed(conn, "completed", "failed", "canceled")
    retries.order(conn, job, LIMITS, NOW)
    assert read(conn, job.id).status == "queued"
    assert [one.status for one in jobs.clips_of(conn, [job.id])] == ["completed", *["queued"] * 2]


@pytest.mark.parametrize(("active", "goes"), [(2, True), (1, False)])
def test_a_retry_has_the_limits_of_an_order(conn: Connection, active: int, goes: bool) -> None:
    """It buys as an order does; what need not be made again does not count."""
    job = failed(conn, "completed", "failed", "failed")
    limits = Limits(active=active, daily=None)
    if goes:
        retries.order(conn, job, limits, NOW)
    else:
        with pytest.raises(TooMany):
            retries.order(conn, job, limits, NOW)
        assert read(conn, job.id).status == "failed"


@pytest.mark.parametrize("kind", ["generate", "download"])
def test_one_that_goes_on_is_not_begun_again(conn: Connection, kind: str) -> None:
    """A second click is told so, and starts nothing."""
    job = failed(conn, "failed") if kind == "generate" else failed_download(conn)[0]
    retries.order(conn, job, LIMITS, NOW)
    with pytest.raises(Conflict) as caught:
        retries.order(conn, read(conn, job.id), LIMITS, NOW)
    assert caught.value.code == "job_active"


@pytest.mark.parametrize("kind", ["generate", "download"])
def test_there_is_nothing_to_retry_of_a_success(conn: Connection, kind: str) -> None:
    """An answer of 202 would promise work that is never done."""
    job = failed(conn, "completed") if kind == "generate" else failed_download(conn)[0]
    put(conn, tables.job, job.id, status="completed")
    with pytest.raises(Conflict) as caught:
        retries.order(conn, read(conn, job.id), LIMITS, NOW)
    assert caught.value.code == "nothing_to_retry"


@pytest.mark.parametrize("deleted", [False, True], ids=["its asset is there", "it was deleted"])
def test_a_download_counts_for_the_quota_once(conn: Connection, deleted: bool) -> None:
    """Its pending asset counts already; only one that is made anew is one more."""
    job, asset_id = failed_download(conn)
    if deleted:
        conn.execute(tables.asset.delete().where(tables.asset.c.id == asset_id))
        rows.asset(conn, job.user_id)
    put(conn, tables.user, job.user_id, max_assets=1)
    if deleted:
        with pytest.raises(QuotaExceeded):
            retries.order(conn, job, LIMITS, NOW)
    else:
        retries.order(conn, job, LIMITS, NOW)
        assert read(conn, job.id).status == "queued"
