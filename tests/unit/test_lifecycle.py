"""Every transition: which states may follow which, and what belongs to a change of state."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from server.catalog import assets, deliveries, events, jobs, tables, tokens
from server.catalog.records import Clip, Job
from server.library import lifecycle
from server.library.lifecycle import CLIP, JOB, STORAGE, IllegalTransition
from tests import rows
from tests.rows import NOW, put, read

DOCS = Path(__file__).parents[2] / "docs" / "generation.md"


def generation(conn: Connection, clips: int = 1) -> Job:
    """A queued job."""
    made = [jobs.NewClip(prompt=f"a fox {number}") for number in range(clips)]
    hook = "https://caller.example/hook"
    job_id = rows.generation(conn, rows.add_user(conn), made, combine=True, webhook_url=hook)
    return read(conn, job_id)


def download(conn: Connection) -> Job:
    """A queued download with its pending asset."""
    return read(conn, rows.download(conn, rows.add_user(conn)).job_id)


def expected(conn: Connection, user_id: str, project_id: str, role: Any, job_id: str | None) -> str:
    """An asset before its bytes; its id."""
    return assets.insert_asset(
        conn,
        user_id=user_id,
        project_id=project_id,
        role=role,
        kind="video",
        filename="a.mp4",
        content_type="video/mp4",
        now=NOW,
        job_id=job_id,
    )


def first_clip(conn: Connection, job: Job) -> Clip:
    return jobs.clips_of(conn, [job.id])[0]


# What each transition of a job leads to, on a job of its kind.
JOB_MOVES: dict[str, tuple[str, Callable[[Connection, Job], Any]]] = {
    "start": ("processing", lambda c, j: lifecycle.start_download(c, j, NOW)),  # type: ignore[arg-type]
    "await bytes": ("storing", lambda c, j: lifecycle.await_bytes(c, j, NOW)),
    "requeue": ("queued", lifecycle.requeue_job),
}
CLIP_MOVES: dict[str, tuple[str, Callable[[Connection, Clip], Any]]] = {
    "submit": (
        "submitting",
        lambda c, one: lifecycle.submit_clip(
            c, one, now=NOW, nonce="n", sent={"prompt": "a"}, again=False
        ),
    ),
    "store": ("storing", lambda c, one: lifecycle.store_clip(c, one.id)),
    "complete": ("completed", lambda c, one: lifecycle.complete_clip(c, one.id)),
    "fail": ("failed", lambda c, one: lifecycle.fail_clip(c, one.id, "x", "y", ended=True)),
    "cancel": ("canceled", lambda c, one: lifecycle.cancel_clip(c, one.id, ended=True)),
    "restart": ("queued", lambda c, one: lifecycle.restart_clip(c, one.id)),
    "resume": ("submitting", lifecycle.resume_clip),
}


@pytest.mark.parametrize("before", CLIP)
@pytest.mark.parametrize("nonce", ["n", "another's"])
def test_only_a_submission_itself_is_taken_back(conn: Connection, before: Any, nonce: str) -> None:
    """It may be said by an engine that has lost its lease: the clip may be elsewhere by then."""
    clip = first_clip(conn, generation(conn))
    put(conn, tables.clip, clip.id, status=before, nonce="n", submitting_at=NOW)
    lifecycle.unsubmit_clip(conn, clip.id, nonce)
    taken_back = before == "submitting" and nonce == "n"
    after = jobs.get_clip(conn, clip.id)
    assert (after.status, after.nonce) == (("queued", None) if taken_back else (before, "n"))


@pytest.mark.parametrize("before", JOB)
@pytest.mark.parametrize("move", JOB_MOVES)
def test_a_job_moves_as_the_table_says(conn: Connection, before: Any, move: str) -> None:
    """A transition that is not foreseen is a fault that is seen at once, not a state that lies."""
    job = download(conn)
    put(conn, tables.job, job.id, status=before)
    after, transition = JOB_MOVES[move]
    stays = move == "await bytes" and before == "storing"
    if after in JOB[before] or stays:
        transition(conn, read(conn, job.id))
        assert read(conn, job.id).status == after
    else:
        with pytest.raises(IllegalTransition, match=f"is {before}, which is not followed by"):
            transition(conn, read(conn, job.id))
        assert read(conn, job.id).status == before


@pytest.mark.parametrize("before", CLIP)
@pytest.mark.parametrize("move", CLIP_MOVES)
def test_a_clip_moves_as_the_table_says(conn: Connection, before: Any, move: str) -> None:
    """The same for clips, whose states say what was paid for."""
    clip = first_clip(conn, generation(conn))
    put(conn, tables.clip, clip.id, status=before)
    after, transition = CLIP_MOVES[move]
    now = jobs.get_clip(conn, clip.id)
    if after in CLIP[before]:
        transition(conn, now)
        assert jobs.get_clip(conn, clip.id).status == after
    else:
        with pytest.raises(IllegalTransition, match=f"is {before}, which is not followed by"):
            transition(conn, now)
        assert jobs.get_clip(conn, clip.id) == now


@pytest.mark.parametrize("before", STORAGE)
@pytest.mark.parametrize("after", ["url_only", "unsaved", "failed"])
def test_a_save_that_fails_moves_as_the_table_says(
    conn: Connection, before: Any, after: Any
) -> None:
    """What is stored, or was given up for good, is not taken back by a save that ends late."""
    job = generation(conn)
    asset_id = expected(conn, job.user_id, job.project_id, "clip", job.id)
    put(conn, tables.asset, asset_id, storage_state=before)
    asset = assets.get(conn, asset_id)
    assert asset is not None
    trouble = {"type": "download", "message": "gone", "at": NOW.isoformat()}

    def fail() -> None:
        lifecycle.fail_save(conn, asset, after, trouble=trouble, next_at=NOW)

    if after in STORAGE[before]:
        fail()
        changed = assets.get(conn, asset_id)
        assert changed is not None
        assert (changed.storage_state, changed.storage_error) == (after, trouble)
        assert (changed.save_attempts, changed.next_save_at) == (1, NOW)
    else:
        with pytest.raises(IllegalTransition):
            fail()


@pytest.mark.parametrize("status", ["completed", "failed", "canceled"])
def test_however_a_job_ends_its_tokens_end_with_it(conn: Connection, status: Any) -> None:
    """Giving a job up for an error of ours once left the provider's tokens good for 12 hours."""
    job = generation(conn, clips=2)
    lent = expected(conn, job.user_id, job.project_id, "upload", None)
    issued = [
        tokens.issue(
            conn,
            lent,
            purpose="provider",
            lifetime=timedelta(hours=12),
            now=NOW,
            clip_id=clip.id,
        )[0]
        for clip in jobs.clips_of(conn, [job.id])
    ]
    lifecycle.end_job(conn, job.id, status, NOW, code="c", message="m")
    for token_id in issued:
        token = tokens.get(conn, token_id)
        assert token is not None
        assert token.revoked_at == NOW
    ended = read(conn, job.id)
    assert (ended.status, ended.error_code, ended.ended_at) == (status, "c", NOW)


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_download_that_ends_badly_leaves_no_pending_asset(conn: Connection, status: Any) -> None:
    """An asset that waits for bytes which nobody fetches any more would wait for ever."""
    job = download(conn)
    lifecycle.end_job(conn, job.id, status, NOW, code="timeout", message="It took too long.")
    (asset,) = assets.of_job(conn, [job.id])
    assert asset.storage_state == "failed"
    assert asset.storage_error is not None
    assert asset.storage_error["type"] == "timeout"


def test_a_job_ends_once(conn: Connection) -> None:
    """Whoever comes second changes nothing, and the caller's webhook is told once."""
    job = generation(conn)
    lifecycle.end_job(conn, job.id, "completed", NOW)
    lifecycle.end_job(conn, job.id, "failed", NOW, code="c", message="m")
    assert read(conn, job.id).status == "completed"
    assert [one.event for one in deliveries.of_job(conn, job.id)] == ["job.completed"]


def test_each_move_is_an_event(conn: Connection) -> None:
    """Who follows hears of each state, in the transaction that made it."""
    job = generation(conn)
    last = events.newest(conn, job.user_id)
    assert lifecycle.start_job(conn, job.id, NOW) is not None
    lifecycle.await_bytes(conn, read(conn, job.id), NOW)
    lifecycle.end_job(conn, job.id, "failed", NOW, code="combine_unstored", message="m")
    lifecycle.resume_combine(conn, job.id)
    told = events.after(conn, job.user_id, last, 100) or []
    assert [one.data["status"] for one in told] == ["processing", "storing", "failed", "storing"]


@pytest.mark.parametrize(
    ("status", "code", "after", "job_after"),
    [
        ("submitting", None, "processing", "processing"),
        ("failed", "submission_unknown", "processing", "queued"),
        ("canceled", None, "canceled", "canceled"),
        # Nothing that was paid is lost by these, and nothing may be taken over.
        ("failed", "E006", None, "failed"),
        ("queued", None, None, "processing"),
        ("completed", None, None, "completed"),
    ],
)
def test_a_lost_prediction_that_a_webhook_names_is_its_clips(
    conn: Connection, status: Any, code: str | None, after: str | None, job_after: str
) -> None:
    """By the nonce of the submission alone, and only while it may be this clip's."""
    job = generation(conn)
    clip = first_clip(conn, job)
    job_status = {"submitting": "processing", "queued": "processing"}.get(status, status)
    put(conn, tables.job, job.id, status=job_status)
    put(conn, tables.clip, clip.id, status=status, error_code=code, nonce="the-nonce")
    adopt = lifecycle.adopt_lost_prediction
    assert adopt(conn, "replicate", "p1", {}, "another", NOW) is None
    assert adopt(conn, "fal", "p1", {}, "the-nonce", NOW) is None
    found = adopt(conn, "replicate", "p1", {}, "the-nonce", NOW)
    assert (found.status if found else None) == after
    assert read(conn, job.id).status == job_after
    if after is not None:
        assert jobs.get_clip(conn, clip.id).attempts == 1
        again = adopt(conn, "replicate", "p1", {}, None, NOW)
        assert again is not None
        assert jobs.get_clip(conn, clip.id).attempts == 1


def test_the_documentation_shows_the_same_tables() -> None:
    """A reader who plans with the states can rely on what is written there."""
    text = DOCS.read_text()

    def told(noun: str) -> dict[str, tuple[str, ...]]:
        table = text.split(f"| {noun} | may become |\n|---|---|\n")[1].split("\n\n")[0]
        rows = [line.strip("|").split("|") for line in table.splitlines()]
        return {
            re.findall(r"`(\w+)`", before)[0]: tuple(re.findall(r"`(\w+)`", after))
            for before, after in rows
        }

    assert told("a job that is") == JOB
    assert told("a clip that is") == CLIP
    assert told("an asset whose bytes are") == STORAGE
